"""Which loss the gradients of proxies are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from torch import nn

from tvtfast.proxies.base import CombinedProxy, Proxy, get
from tvtfast.proxies.groups import expand_groups


def refuse_other_loss(
    names: Iterable[str | Proxy | CombinedProxy], loss_fn: Callable[..., Any] | None
) -> None:
    """Refuse a loss that the gradients of some proxies are not of: any but the mean cross entropy.

    Args:
        names: Proxies; those that read no labels take every loss.
        loss_fn: As search code hands it over; ``None`` leaves the choice open.

    Raises:
        ValueError: Another loss.
    """
    if loss_fn is None or loss_fn is F.cross_entropy or _is_plain(loss_fn):
        return
    for name in expand_groups(names):
        proxy = get(name)
        if isinstance(proxy, Proxy) and "labels" in proxy.needs:
            given = getattr(loss_fn, "__name__", type(loss_fn).__name__)
            raise ValueError(
                f"loss_fn is {given}, and {proxy.name!r} is made of gradients of the mean cross "
                "entropy; pass torch.nn.functional.cross_entropy, or a proxy that needs no labels"
            )


def _is_plain(loss_fn: Callable[..., Any]) -> bool:
    return (
        type(loss_fn) is nn.CrossEntropyLoss
        and loss_fn.weight is None
        and loss_fn.reduction == "mean"
        and loss_fn.label_smoothing == 0
    )
