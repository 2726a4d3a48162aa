"""Arguments of a typical call of every operator, in fp32 where fast backends take it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .reference.self_attention_stats import STATISTICS

Device = str | torch.device


def _features(device: Device) -> Tensor:
    return torch.ones(2, 14, 14, 192, device=device)


def attention_map(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), [14, 14]


def attention_map_distance(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), torch.full((2, 196), 1 / 14, device=device), [14, 14]


def attention_map_distances(device: Device = "cpu") -> tuple[Any, ...]:
    x, teacher, size = attention_map_distance(device)
    return [x, x[..., :96]], teacher, size


def attention_map_backward(device: Device = "cpu") -> tuple[Any, ...]:
    values = torch.full((2, 196), 1 / 14, device=device)
    norm = torch.full((2,), 14.0, device=device)
    return _features(device), values, norm, values, [14, 14]


def segment_norms(device: Device = "cpu") -> tuple[Any, ...]:
    return ([torch.ones(192, 192, device=device), torch.ones(192, device=device)],)


def slice_norms(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(192, 192, device=device), torch.tensor([[192, 192], [96, 144]])


def indexed(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.empty(192, 192, device=device), 0, 0.0, 1.0


def self_attention_stats(device: Device = "cpu") -> tuple[Any, ...]:
    q, k = torch.ones(2, 2, 3, 197, 64, device=device)
    return q, k, torch.ones(2, 197, device=device), 0.125, list(STATISTICS)


def packed_attention(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(2, 197, 3 * 192, device=device), 3, 0.125


def layer_norm(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(197, 192, device=device), 1e-5


def linear(device: Device = "cpu") -> tuple[Any, ...]:
    out, x = torch.ones(2, 197, 192, device=device)
    return out, x, torch.ones(192, 192, device=device), None, None, 1e-6, True


def mlp_block(device: Device = "cpu") -> tuple[Any, ...]:
    x, w1, w2, out = (
        torch.ones(shape, dtype=torch.bfloat16, device=device)
        for shape in ((197, 192), (768, 192), (192, 768), (2, 197, 192))
    )
    return x, w1, None, w2, None, [672, 768], 1e-5, out


def attention_block(device: Device = "cpu") -> tuple[Any, ...]:
    x, w_qkv, w_proj, out = (
        torch.ones(shape, dtype=torch.bfloat16, device=device)
        for shape in ((2, 197, 192), (3 * 256, 192), (192, 256), (2, 2, 197, 192))
    )
    return x, w_qkv, None, w_proj, None, [3, 4], 1e-5, out


def attention_jvp(device: Device = "cpu") -> tuple[Any, ...]:
    return *torch.ones(6, 2, 3, 197, 64, device=device).unbind(0), 0.125


def gram(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(1, 32, 3072, device=device), None, False


def angle_distance(device: Device = "cpu") -> tuple[Any, ...]:
    student = teacher = torch.eye(32, device=device).unsqueeze(0)
    return student, teacher
