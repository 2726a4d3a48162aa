"""``find_measures`` of foresight (SamsungLabs/zero-cost-nas) and of its copies, on tvtfast.

Import it in place of ``foresight.pruners.predictive``: names, orders of arguments and results are
the host's, and every proxy of tvtfast is a measure. `register` adds proxies to the host instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tvtfast
from tvtfast.data import loader_batch
from tvtfast.proxies import refuse_other_loss

MEASURES = ("grad_norm", "snip", "grasp", "fisher", "jacob_cov", "plain", "synflow")
"""What the host computes where no measure is named."""
_scalar = partial(torch.tensor, dtype=torch.float64)


def find_measures_arrays(
    net_orig: nn.Module,
    trainloader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    measure_names: Sequence[str] | None = None,
    loss_fn: Callable[..., Tensor] = F.cross_entropy,
    **settings: Any,
) -> dict[str, list[Tensor] | float]:
    """Scores of one network as the host keeps them: ``jacob_cov`` a float, every other a list, here
    of one fp64 scalar in place of a tensor per layer; its sum is the measure.

    Args:
        net_orig: Scored in evaluation mode, then left on ``device`` in train mode as the host does.
        trainloader: See `tvtfast.data.loader_batch`, as is ``dataload_info``.
        measure_names: Names of `tvtfast.proxies.available`; default `MEASURES`.
        loss_fn: The cross entropy; gradients are of no other loss.
        **settings: ``teacher`` and the like, see `tvtfast.Measure`.

    Raises:
        ScoringError: The network has no such score; the message says why.
        ValueError: Another loss; or see `tvtfast.Measure` and `tvtfast.data.loader_batch`.
    """
    names = tuple(MEASURES if measure_names is None else measure_names)
    measure = _measure(names, **settings)
    refuse_other_loss(names, loss_fn)
    found = measure(net_orig.to(device), *loader_batch(trainloader, dataload_info, device))
    net_orig.train()
    values = found if isinstance(found, dict) else {names[0]: found}
    return {k: v if k == "jacob_cov" else [_scalar(v)] for k, v in values.items()}


def find_measures(
    net_orig: nn.Module,
    dataloader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    loss_fn: Callable[..., Tensor] = F.cross_entropy,
    measure_names: Sequence[str] | None = None,
    measures_arr: dict[str, list[Tensor] | float] | None = None,
    **settings: Any,
) -> dict[str, float]:
    """Scores of one network by name, see `find_measures_arrays`."""
    arrays = measures_arr or find_measures_arrays(
        net_orig, dataloader, dataload_info, device, measure_names, loss_fn, **settings
    )
    return {k: float(sum(v)) if isinstance(v, list) else v for k, v in arrays.items()}


def register(measures: Any, *names: str, **settings: Any) -> None:
    """Make proxies measures of the host, which takes their names from then on.

    Args:
        measures: ``foresight.pruners.measures``, or that package in a copy such as NASLib's.
        *names: Of `tvtfast.proxies.available`.
        **settings: ``teacher`` and the like, see `tvtfast.Measure`.

    Raises:
        KeyError: The host has a measure of that name. Other errors are those of `tvtfast.Measure`.
    """
    for name, measure in {name: _measure((name,), **settings) for name in names}.items():
        measures.measure(name, copy_net=False)(partial(_measured, name, measure))


def _measured(
    name: str, measure: Any, net: nn.Module, inputs: Tensor, targets: Tensor, **host: Any
) -> list[Tensor]:
    refuse_other_loss((name,), host.get("loss_fn"))
    return [_scalar(measure(net.to(inputs.device), inputs, targets))]


@lru_cache(maxsize=4)
def _measure(names: tuple[str, ...], **settings: Any) -> tvtfast.Measure:
    """Kept, since a measure remembers what its teacher said of a batch."""
    return tvtfast.Measure(names, **settings)
