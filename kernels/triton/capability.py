"""Why Triton cannot serve a call; nothing here imports triton or starts a driver."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from .._layout import differences
from .._segments import SegmentTable, tensor_kinds
from .._slices import SliceTable

HALF = (torch.float16, torch.bfloat16)
READABLE = (torch.float32, *HALF)
OLDEST_DEVICE = (8, 0)
"""Compute capability of the first NVIDIA devices with bf16."""
WIDEST_HEAD = 256
"""Channels of a head whose tiles fit into shared memory."""
WIDEST_DUAL_HEAD = 128
"""The same where every tensor comes with its tangent."""
WIDEST_BLOCK = 256
"""Channels of an MLP block whose sums fit into registers."""
NARROWEST_UNIT = 4
"""Channels and hidden units of an MLP block come in groups of as many: 8 bytes at a time."""
MOST_HIDDEN = 4
"""Widths of one call of an MLP block."""
WIDEST_MERGED_HEAD = 80
"""Channels of a head of an attention block whose sums fit into registers beside the result's."""
MOST_HEADS = 4
"""Numbers of heads of one call of an attention block."""
EVEN = 2
"""Channels of an attention block and of its heads are even: 4 bytes at a time."""
INTERPRETER_VARIABLE = "TRITON_INTERPRET"


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, which takes tensors on the CPU."""
    return os.environ.get(INTERPRETER_VARIABLE) == "1"


@functools.cache
def missing() -> tuple[str, ...]:
    """Why there is no Triton; empty where there is one."""
    if importlib.util.find_spec("triton") is None:
        return ("triton is not installed (pip install tvtfast[triton])",)
    return ()


def attention_map(x: Tensor, *others: Tensor | Sequence[int]) -> tuple[str, ...]:
    """Reasons for all three attention map operators."""
    found = _tensor("x", x)
    for other in others:
        if isinstance(other, Tensor) and other.device != x.device:
            found += (f"an argument is on {other.device}, x on {x.device} (allowed: one device)",)
    return missing() + found


def attention_map_distances(
    xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]
) -> tuple[str, ...]:
    """Reasons for distances of a list of features."""
    found = (reason for x in tensor_kinds(xs) for reason in _tensor("a tensor", x))
    reasons = (*missing(), *found, *differences(xs, teacher))
    if reasons or xs[0].device.type != "cuda" or not torch.cuda.is_current_stream_capturing():
        return reasons
    return (
        "a table cannot be copied to the device while a CUDA graph is captured (allowed: backend"
        " 'cuda')",
    )


def segment_norms(tensors: Sequence[Tensor] | SegmentTable) -> tuple[str, ...]:
    """Reasons for norms of a list or table of tensors."""
    kinds = tensors.kinds if isinstance(tensors, SegmentTable) else tensor_kinds(tensors)
    found = (reason for tensor in kinds for reason in _tensor("a tensor", tensor))
    return (*missing(), *found)


def slice_norms(weight: Tensor, table: SliceTable) -> tuple[str, ...]:
    """Reasons for norms of slices of ``weight``."""
    return missing() + _tensor("weight", weight)


def indexed(tensor: Tensor, key: int, first: float, second: float) -> tuple[str, ...]:
    """Reasons for both index-keyed fills; they write every dtype."""
    found = _device("tensor", tensor)
    if any(n > 1 and step == 0 for n, step in zip(tensor.shape, tensor.stride(), strict=True)):
        found += ("tensor has a stride of 0 (allowed: an address for every element)",)
    return missing() + found


def self_attention_stats(q: Tensor, *arguments: object) -> tuple[str, ...]:
    """Reasons for statistics of attention; the others are checked to be like ``q``."""
    return missing() + _wide_head(q, WIDEST_HEAD) + _tensor("q", q)


def attention_jvp(q: Tensor, *arguments: object) -> tuple[str, ...]:
    """Reasons for attention and its tangent; the others are checked to be like ``q``."""
    return missing() + _wide_head(q, WIDEST_DUAL_HEAD) + _tensor("q", q)


def mlp_block(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    *arguments: object,
) -> tuple[str, ...]:
    """Reasons for an MLP block; weights are checked to be like ``x``."""
    found = missing() + _tensor("x", x, HALF)
    if x.shape[-1] > WIDEST_BLOCK:
        found += (f"x has {x.shape[-1]} channels (allowed: up to {WIDEST_BLOCK})",)
    if any(width % NARROWEST_UNIT for width in (x.shape[-1], *hidden)):
        widths = f"{x.shape[-1]} channels and hidden={tuple(hidden)}"
        found += (f"{widths} are not all multiples of {NARROWEST_UNIT}",)
    if len(hidden) > MOST_HIDDEN:
        found += (f"hidden has {len(hidden)} widths (allowed: up to {MOST_HIDDEN})",)
    return found


def attention_block(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    *arguments: object,
) -> tuple[str, ...]:
    """Reasons for the attention half of a block; weights are checked to be like ``x``."""
    found = missing() + _tensor("x", x, HALF)
    channels, dim = x.shape[-1], w_proj.shape[1] // heads[-1]
    if channels > WIDEST_BLOCK:
        found += (f"x has {channels} channels (allowed: up to {WIDEST_BLOCK})",)
    if dim > WIDEST_MERGED_HEAD:
        found += (f"a head has {dim} channels (allowed: up to {WIDEST_MERGED_HEAD})",)
    if channels % EVEN or dim % EVEN:
        found += (f"{channels} channels and {dim} of a head are not both even",)
    if len(heads) > MOST_HEADS:
        found += (f"heads has {len(heads)} numbers (allowed: up to {MOST_HEADS})",)
    return found


def gram(x: Tensor, y: Tensor | None, relative: bool) -> tuple[str, ...]:
    """Reasons for inner products of rows."""
    return missing() + _tensor("x", x) + (() if y is None else _beside("y", y, "x", x))


def angle_distance(student: Tensor, teacher: Tensor) -> tuple[str, ...]:
    """Reasons for the distance of angles between samples."""
    found = _tensor("student", student) + _beside("teacher", teacher, "student", student)
    return missing() + found


def _wide_head(q: Tensor, widest: int) -> tuple[str, ...]:
    if q.shape[-1] <= widest:
        return ()
    return (f"a head has {q.shape[-1]} channels (allowed: up to {widest})",)


def _beside(name: str, other: Tensor, first_name: str, first: Tensor) -> tuple[str, ...]:
    if other.device == first.device:
        return ()
    return (f"{name} is on {other.device}, {first_name} on {first.device} (allowed: one device)",)


def _tensor(
    name: str, tensor: Tensor, readable: Sequence[torch.dtype] = READABLE
) -> tuple[str, ...]:
    reasons = _device(name, tensor)
    if tensor.dtype not in readable:
        allowed = ", ".join(_short(dtype) for dtype in readable)
        reasons += (f"{name} is {_short(tensor.dtype)} (allowed: {allowed})",)
    return reasons


def _device(name: str, tensor: Tensor) -> tuple[str, ...]:
    device = tensor.device
    if device.type == "cuda" and torch.version.hip is None:
        found = _capability(device.index)
        if found < OLDEST_DEVICE:
            return (
                f"{name} is on {device} of compute capability {_dotted(found)}"
                f" (allowed: {_dotted(OLDEST_DEVICE)} and above)",
            )
        return ()
    if device.type == "cuda" or (device.type == "cpu" and interpreting()):
        return ()
    return (f"{name} is on {device} (allowed: cuda, or cpu under {INTERPRETER_VARIABLE}=1)",)


@functools.cache
def _capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
