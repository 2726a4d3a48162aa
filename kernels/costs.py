"""What a call of an operator costs at least, from its arguments in the order of its schema.

``*_bytes`` cross the memory bus, ``*_flops`` are floating-point operations.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .dtypes import accumulation_dtype


def attention_map_bytes(x: Tensor, size: Sequence[int]) -> int:
    return x.nbytes + x.shape[0] * (size[0] * size[1] + 1) * accumulation_dtype(x.dtype).itemsize


def attention_map_flops(x: Tensor, size: Sequence[int]) -> int:
    images, height, width, channels = x.shape
    per_value = 2 if (height, width) == tuple(size) else 9
    return images * size[0] * size[1] * channels * per_value


def attention_map_distance_bytes(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return attention_map_bytes(x, size) + teacher.nbytes


def attention_map_distance_flops(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return attention_map_flops(x, size) + 3 * x.shape[0] * size[0] * size[1]


def attention_map_distances_bytes(
    xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]
) -> int:
    results = len(xs) * xs[0].shape[0] * accumulation_dtype(xs[0].dtype).itemsize
    return sum(x.nbytes for x in xs) + teacher.nbytes + results


def attention_map_distances_flops(
    xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]
) -> int:
    return sum(attention_map_distance_flops(x, teacher, size) for x in xs)


def attention_map_backward_bytes(
    x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]
) -> int:
    return 2 * x.nbytes + map.nbytes + norm.nbytes + grad.nbytes


def attention_map_backward_flops(
    x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]
) -> int:
    return 2 * attention_map_flops(x, size)


def segment_norms_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors) + 4 * len(tensors)


def segment_norms_flops(tensors: Sequence[Tensor]) -> int:
    return 2 * sum(tensor.numel() for tensor in tensors)


def slice_norms_bytes(weight: Tensor, sizes: Tensor) -> int:
    return weight.nbytes + sizes.nbytes + 4 * sizes.shape[0]


def slice_norms_flops(weight: Tensor, sizes: Tensor) -> int:
    return 2 * weight.numel()


def indexed_bytes(tensor: Tensor, key: int, first: float, second: float) -> int:
    return tensor.nbytes


def indexed_flops(tensor: Tensor, key: int, first: float, second: float) -> int:
    return 2 * tensor.numel()


def self_attention_stats_bytes(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, statistics: Sequence[str]
) -> int:
    images, heads, tokens, _ = q.shape
    rows = heads * (len(statistics) - ("head_mean" in statistics) + (teacher is not None))
    values = images * tokens * (rows + (tokens if "head_mean" in statistics else 0))
    read = q.nbytes + k.nbytes + (0 if teacher is None else teacher.nbytes)
    return read + values * accumulation_dtype(q.dtype).itemsize


def self_attention_stats_flops(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, statistics: Sequence[str]
) -> int:
    images, heads, tokens, channels = q.shape
    per_weight = 2 * channels + 3 + 2 * (len(statistics) + (teacher is not None))
    return images * heads * tokens * tokens * per_weight


def packed_attention_bytes(qkv: Tensor, num_heads: int, scale: float) -> int:
    return qkv.nbytes + qkv.nbytes // 3


def packed_attention_flops(qkv: Tensor, num_heads: int, scale: float) -> int:
    return 4 * qkv.shape[1] * qkv.numel() // 3


def layer_norm_bytes(x: Tensor, eps: float) -> int:
    return 2 * x.nbytes


def layer_norm_flops(x: Tensor, eps: float) -> int:
    return 6 * x.numel()


def linear_bytes(*arguments: object) -> int:
    return sum(tensor.nbytes for tensor in arguments if isinstance(tensor, Tensor))


def linear_flops(out: Tensor, x: Tensor, weight: Tensor, *arguments: object) -> int:
    return 2 * out.numel() * weight.shape[1]


def mlp_block_bytes(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    *arguments: object,
) -> int:
    weights = 2 * hidden[-1] * x.shape[1] * x.element_size()
    biases = sum(bias.nbytes for bias in (b1, b2) if bias is not None)
    return (1 + len(hidden)) * x.nbytes + weights + biases


def mlp_block_flops(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    *arguments: object,
) -> int:
    return 4 * x.numel() * hidden[-1] + 26 * x.shape[0] * hidden[-1]


def attention_block_bytes(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    *arguments: object,
) -> int:
    biases = sum(bias.nbytes for bias in (b_qkv, b_proj) if bias is not None)
    return (1 + len(heads)) * x.nbytes + w_qkv.nbytes + w_proj.nbytes + biases


def attention_block_flops(
    x: Tensor, w_qkv: Tensor, b_qkv: Tensor | None, w_proj: Tensor, *arguments: object
) -> int:
    images, tokens, channels = x.shape
    return images * tokens * w_proj.shape[1] * (8 * channels + 4 * tokens)


def attention_jvp_bytes(
    q: Tensor, k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor, scale: float
) -> int:
    return sum(x.nbytes for x in (q, k, v, dq, dk, dv)) + 2 * q.nbytes


def attention_jvp_flops(
    q: Tensor, k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor, scale: float
) -> int:
    return 12 * q.shape[2] * q.numel()


def gram_bytes(x: Tensor, y: Tensor | None, relative: bool) -> int:
    matrices, rows, _ = x.shape
    columns = rows if y is None else y.shape[1]
    written = matrices * rows * columns * accumulation_dtype(x.dtype).itemsize
    return x.nbytes + (0 if y is None else y.nbytes) + written


def gram_flops(x: Tensor, y: Tensor | None, relative: bool) -> int:
    matrices, rows, length = x.shape
    pairs = rows * (rows + 1) // 2 if y is None else rows * y.shape[1]
    return 2 * matrices * pairs * length


def angle_distance_bytes(student: Tensor, teacher: Tensor) -> int:
    return student.nbytes + teacher.nbytes + student.shape[0] * student.dtype.itemsize


def angle_distance_flops(student: Tensor, teacher: Tensor) -> int:
    matrices, samples, _ = student.shape
    return 13 * matrices * samples * samples * (samples + 1) // 2
