"""Angles between samples in Triton: B^3 differences are summed, none is stored.

One program sums over all pairs seen from one sample.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .definition import Arguments
from .reference import COINCIDENCE

BLOCK = 32
WARPS = 4
COINCIDENT = tl.constexpr(COINCIDENCE * 2.0**-24)


def forward(call: Arguments) -> Tensor:
    """Distance ``[K]``; matrix ``k`` of the student ``[K, B, B]`` meets ``k % T`` of the teacher
    ``[T, B, B]``."""
    student, teacher = (gram.to(torch.float32).contiguous() for gram in call)
    matrices, samples, _ = student.shape
    sums = torch.empty(matrices, samples, dtype=torch.float64, device=student.device)
    if sums.numel():
        with torch.cuda.device_of(student):
            _angle_kernel[(sums.numel(),)](
                student, teacher, sums, samples, teacher.shape[0], BLOCK=BLOCK, num_warps=WARPS
            )
    return (sums.sum(dim=1) / samples**3).to(torch.float32)


@triton.jit(do_not_specialize=["samples", "shared"])
def _angle_kernel(student, teacher, sums, samples, shared, BLOCK: tl.constexpr):
    i = tl.program_id(0) % samples
    matrix = (tl.program_id(0) // samples).to(tl.int64)
    student += matrix * samples * samples
    teacher += (matrix % shared) * samples * samples
    total = tl.zeros([], tl.float64)  # []
    for first in range(0, samples, BLOCK):
        j = first + tl.arange(0, BLOCK)  # [BLOCK]
        for second in range(0, samples, BLOCK):
            k = second + tl.arange(0, BLOCK)  # [BLOCK]
            difference = _angles(teacher, i, j, k, samples) - _angles(
                student, i, j, k, samples
            )  # [BLOCK, BLOCK]
            total += tl.sum(tl.sum(difference * difference, 1), 0).to(tl.float64)
    tl.store(sums + tl.program_id(0), total)


@triton.jit
def _angles(gram, i, j, k, samples):
    """Cosines of the angle at sample i between samples j and k; 0 for samples that are none."""
    own = tl.load(gram + i * (samples + 1))  # []
    mask = (j < samples)[:, None] & (k < samples)[None, :]  # [J, K]
    products = tl.load(gram + (j * samples)[:, None] + k[None, :], mask=mask, other=0.0)  # [J, K]
    to_j, inverse_j = _towards(gram, i, j, own, samples)
    to_k, inverse_k = _towards(gram, i, k, own, samples)
    products = products - to_j[:, None] - to_k[None, :] + own
    return products * inverse_j[:, None] * inverse_k[None, :]


@triton.jit
def _towards(gram, i, j, own, samples):
    """``G_ij``, and one over the distance of samples i and j: 0 where they coincide."""
    inside = j < samples
    product = tl.load(gram + i * samples + j, mask=inside, other=0.0)  # [J]
    scale = own + tl.load(gram + j * (samples + 1), mask=inside, other=0.0)  # [J]
    squared = scale - 2 * product
    coincident = squared <= scale * COINCIDENT
    inverse = tl.where(coincident, 0.0, tl.rsqrt(tl.where(coincident, 1.0, squared)))
    return product, tl.where(inside, inverse, 0.0)
