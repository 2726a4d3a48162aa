"""``find_measures`` of Auto-Prox (lliai/Auto-Prox-AAAI24), on tvtfast.

Import it in place of ``pycls.predictor.pruners.predictive``: names, order of arguments and results
are the host's, and every proxy of tvtfast is a measure. The host is not imported.
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
from tvtfast.proxies import refuse_other_loss

RENAMED = {
    "jacov": ("jacob_cov",),
    "nwot": ("naswot",),
    "tvt": ("teacher_aware", "weight_norm"),
}
"""Proxies of tvtfast by the host's names; all others have one name."""


def find_measures(
    net_orig: nn.Module,
    dataloader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    loss_fn: Callable[..., Tensor] = F.cross_entropy,
    measure_names: Sequence[str] = ("tvt",),
    **settings: Any,
) -> float | tuple[float, ...]:
    """Score of one network, for ``tvt`` the pair of its two scores.

    Args:
        net_orig: The host's wrapper around ``student_model`` and ``teacher_model``, or a student
            alone. It is moved to ``device`` and otherwise left as it was. Students are scored in
            evaluation mode; features are those that the host's hooks keep, where it has them.
        dataloader: See `tvtfast.data.loader_batch`, as is ``dataload_info``; features of a teacher
            beside images and labels are left alone.
        loss_fn: The cross entropy; gradients are of no other loss.
        measure_names: One of ``tvt``, ``jacov``, ``nwot`` and `tvtfast.proxies.available`.
        **settings: ``teacher`` and the like, see `tvtfast.Measure`, in place of the wrapper's.

    Raises:
        ScoringError: The network has no such score; the message says why.
        ValueError: No measure or several; another loss; or see `tvtfast.Measure` and
            `tvtfast.data.loader_batch`.
    """
    if len(measure_names) != 1:
        raise ValueError(
            f"measure_names is {list(measure_names)}; name one, one number is returned"
        )
    names = RENAMED.get(measure_names[0], (measure_names[0],))
    refuse_other_loss(names, loss_fn)
    student: Any = getattr(net_orig, "student_model", net_orig)
    network = getattr(net_orig, "teacher_model", None)
    settings = {"feature_fn": _reader(student), **settings}
    net_orig.to(device)
    measure = _measure(names, network, getattr(net_orig, "teacher_img_size", None), **settings)
    found = measure(student, *loader_batch(dataloader, dataload_info, device))
    return tuple(found.values()) if isinstance(found, dict) else found


def features(module: nn.Module, images: Tensor) -> list[Tensor]:
    """What the host's hooks keep in ``module.features``: one map ``[B, C, h, w]`` per block."""
    kept: list[Tensor] = module.features  # type: ignore[assignment]
    before = list(kept)
    module(images)
    found, kept[:] = list(kept), before
    return found


def _reader(module: nn.Module) -> Any:
    return features if isinstance(getattr(module, "features", None), list) else None


@lru_cache(maxsize=4)
def _measure(
    names: tuple[str, ...], network: nn.Module | None, size: int | None, **settings: Any
) -> tvtfast.Measure:
    """Kept, since a measure remembers what its teacher said of a batch."""
    if network is not None and "teacher" not in settings:
        read = {"input_size": size, "feature_fn": _reader(network)}
        settings["teacher"] = tvtfast.Teacher(network, name=type(network).__name__, **read)
    return tvtfast.Measure(names, **settings)
