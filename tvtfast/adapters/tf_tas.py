"""``find_indicators`` of TF_TAS (decemberzhou/TF_TAS) and of its copies, on tvtfast.

Import it in place of ``lib.training_free.compute_indicators``: names, orders of arguments and
results are the host's, and every proxy of tvtfast is an indicator. The host is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tvtfast
from tvtfast.data import loader_batch
from tvtfast.models import inherit
from tvtfast.proxies import refuse_other_loss

INDICATORS = ("dss",)
"""What the host computes where no indicator is named."""


def find_indicators_arrays(
    net_orig: nn.Module,
    trainloader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    indicator_names: Sequence[str] | None = None,
    loss_fn: Callable[..., Tensor] = F.cross_entropy,
    space: Any = "autoformer-original-tiny",
    **settings: Any,
) -> dict[str, list[Tensor]]:
    """Scores of one candidate as the host keeps them, here lists of one fp64 scalar in place of a
    tensor per layer; their sum is the indicator.

    Args:
        net_orig: The host's supernet, of which the candidate that ``set_sample_config`` set is cut
            out with its weights; any other module is the candidate itself. It is scored in
            evaluation mode; as the host does, ``net_orig`` is left on ``device`` in train mode.
        trainloader: See `tvtfast.data.loader_batch`, as is ``dataload_info``.
        indicator_names: Names of `tvtfast.proxies.available`; default `INDICATORS`.
        loss_fn: The cross entropy; gradients are of no other loss.
        space: Space of the candidate.
        **settings: ``teacher`` and the like, see `tvtfast.Measure`.

    Raises:
        ScoringError: The candidate has no such score; the message says why.
        ValueError: No candidate is set, or the supernet is of another form, see
            `tvtfast.models.inherit`; another loss; or see `tvtfast.Measure`.
    """
    names = tuple(INDICATORS if indicator_names is None else indicator_names)
    measure = _measure(names, **settings)
    refuse_other_loss(names, loss_fn)
    images, labels = loader_batch(trainloader, dataload_info, device)
    candidate = _candidate(net_orig.to(device), space, images)
    found = measure(candidate, images, labels)
    net_orig.train()
    values = found if isinstance(found, dict) else {names[0]: found}
    return {name: [torch.tensor(value, dtype=torch.float64)] for name, value in values.items()}


def find_indicators(
    net_orig: nn.Module,
    dataloader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    loss_fn: Callable[..., Tensor] = F.cross_entropy,
    indicator_names: Sequence[str] | None = None,
    indicators_arr: dict[str, list[Tensor]] | None = None,
    **settings: Any,
) -> dict[str, float]:
    """Scores of one candidate by name, see `find_indicators_arrays`."""
    arrays = indicators_arr or find_indicators_arrays(
        net_orig, dataloader, dataload_info, device, indicator_names, loss_fn, **settings
    )
    return {name: float(sum(array)) for name, array in arrays.items()}


def _candidate(net: Any, space: Any, images: Tensor) -> nn.Module:
    if not callable(getattr(net, "set_sample_config", None)):
        return net
    named = ("layer_num", "embed_dim", "mlp_ratio", "num_heads")
    config = {name: getattr(net, f"sample_{name}", None) for name in named}
    if None in config.values():
        raise ValueError(f"{type(net).__name__} has no candidate; call set_sample_config first")
    size = (images.shape[-2], images.shape[-1])
    return inherit(config, net, space=space, device=images.device, img_size=size)


@lru_cache(maxsize=4)
def _measure(names: tuple[str, ...], **settings: Any) -> tvtfast.Measure:
    """Kept, since a measure remembers what its teacher said of a batch."""
    return tvtfast.Measure(names, **settings)
