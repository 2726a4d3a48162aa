"""Calls of layer norms."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def layer_norm(dtype: torch.dtype, rows: int, channels: int) -> Arguments:
    return rand(dtype, rows, channels), 1e-6


SHAPES = {
    "layer_norm": (layer_norm, ((1, 1), (1, 192), (197, 192), (1576, 216), (12608, 384))),
}
