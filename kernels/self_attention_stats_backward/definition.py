"""The definition of the gradient of statistics of attention weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import roundoff
from ..self_attention_stats.definition import Arguments as StatsArguments
from ..self_attention_stats.definition import example as stats_example
from ..self_attention_stats.definition import fake as stats_fake
from ..self_attention_stats.definition import flops as stats_flops
from ..self_attention_stats.definition import tolerance as stats_tolerance


class Arguments(NamedTuple):
    """Those of the statistics, and gradients of the results in their order."""

    q: Tensor
    k: Tensor
    teacher: Tensor | None
    scale: float
    statistics: Sequence[str]
    grads: Sequence[Tensor]


def fake(call: Arguments) -> list[Tensor]:
    like = [call.q, call.k, *(() if call.teacher is None else (call.teacher,))]
    return [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in like]


def tolerance(dtype: torch.dtype, length: int, extent: float = 0, tokens: int = 1) -> float:
    """Error of gradients, arguments as in :func:`stats_tolerance`.

    Relative to the same sums with absolute values throughout, in which an entropy counts for
    ``1 + |log P|``. A weight has the error of the statistics and enters as itself, and twice in the
    mean that is taken off; a logarithm of it is off by that error, absolutely. A product with the
    keys or queries is a sum over the tokens like those of the statistics; at the end all is rounded
    to the dtype.
    """
    return 5 * stats_tolerance(dtype, length, extent, tokens) + 2 * roundoff(dtype)


def traffic(call: Arguments) -> int:
    inputs = (call.q, call.k, *(() if call.teacher is None else (call.teacher,)))
    return 2 * sum(x.nbytes for x in inputs) + sum(x.nbytes for x in call.grads)


def flops(call: Arguments) -> int:
    return 3 * stats_flops(StatsArguments(*call[:-1]))


def example(device: Device = "cpu") -> Arguments:
    call = stats_example(device)
    return Arguments(*call, [torch.ones_like(result) for result in stats_fake(call)])


OPERATORS = (
    Operator(
        name="self_attention_stats_backward",
        arguments=Arguments,
        returns="Tensor[]",
        backends=("reference",),
        tolerance=tolerance,
        traffic=traffic,
        flops=flops,
        example=example,
        fake=fake,
    ),
)
