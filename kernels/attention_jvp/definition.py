"""The definition of attention and its tangent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from ..layout import empty_tokens_first
from ..packed_attention.definition import tolerance as packed_attention_tolerance


class Arguments(NamedTuple):
    """Queries, keys and values with their tangents, ``[B, H, N, D]``, and the factor of scores."""

    q: Tensor
    k: Tensor
    v: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor
    scale: float


def fake(call: Arguments) -> tuple[Tensor, Tensor]:
    return empty_tokens_first(call.q), empty_tokens_first(call.q)


def tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of attention and of its tangent, ``length`` and ``extent`` as in
    :func:`packed_attention_tolerance`.

    Relative, per head, to the largest value ``v`` for attention, and to ``dv + 2 e v`` for the
    tangent, with ``dv`` the largest tangent of a value and ``e`` the largest
    ``scale sum_d |dq_d k_d| + |q_d dk_d|``, which bounds the tangent of a logit. A weight carries
    the error of attention, so its tangent does, and that of a product of ``length`` terms; what is
    taken off, the sum of the tangents times the result, doubles both. The series of small scores is
    off by 4 u more.
    """
    u = roundoff(accumulation_dtype(dtype))
    return 2 * packed_attention_tolerance(dtype, length, extent) + 4 * u


def traffic(call: Arguments) -> int:
    return sum(x.nbytes for x in call if isinstance(x, Tensor)) + 2 * call.q.nbytes


def flops(call: Arguments) -> int:
    return 12 * call.q.shape[2] * call.q.numel()


def example(device: Device = "cpu") -> Arguments:
    q, k, v, dq, dk, dv = torch.ones(6, 2, 3, 197, 64, device=device)
    return Arguments(q, k, v, dq, dk, dv, 0.125)


OPERATORS = (
    Operator(
        name="attention_jvp",
        arguments=Arguments,
        returns="(Tensor out, Tensor tangent)",
        backends=(
            "triton",
            "native",
            "reference",
        ),
        tolerance=tolerance,
        traffic=traffic,
        flops=flops,
        example=example,
        fake=fake,
    ),
)
