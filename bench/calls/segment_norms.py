"""Calls of norms of many tensors."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand
from tvtfast import kernels

VIT_TINY = (192 * 192 * 3, 192 * 3, 192 * 192, 192, 192 * 768, 768, 768 * 192, 192) * 12


def segment_norms(dtype: torch.dtype, kind: str, *lengths: int) -> Arguments:
    tensors = [rand(dtype, length) for length in lengths]
    return (kernels.pack_segments(tensors) if kind == "packed" else tensors,)


SHAPES = {
    "segment_norms": (
        segment_norms,
        (
            ("list", 1),
            ("list", *(64,) * 1000),
            ("packed", *(64,) * 1000),
            ("list", *VIT_TINY),
            ("packed", *VIT_TINY),
        ),
    ),
}
