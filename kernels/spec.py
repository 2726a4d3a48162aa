"""What every operator promises: schema, error bound, bytes and floating-point operations.

This table is read by the registration (:mod:`.library`), the tests and the benchmarks, so a promise
is written once. Notation: ``u`` is the unit roundoff of the accumulation format, 2^-24 for inputs
of at most 32 bits (fp16 and bf16 are converted to fp32 exactly, before the first operation) and
2^-53 for fp64 inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Device = str | torch.device

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Input dtypes of every operator."""


STATISTICS = ("class_row", "column_sums", "row_entropy", "head_mean")
"""What ``self_attention_stats`` can be asked for; teacher products come with a teacher."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of results and, at least, of sums: fp64 for fp64 inputs, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def roundoff(dtype: torch.dtype) -> float:
    """Unit roundoff ``u`` of a floating-point dtype."""
    return torch.finfo(dtype).eps / 2


@dataclass(frozen=True)
class Operator:
    """One registered operator.

    Attributes:
        schema: Its ``torch.library`` schema; the name of the operator is the text before ``(``.
        tolerance: ``tolerance(dtype, length, extent=0)``: bound of the error for inputs of
            ``dtype``, ``length`` terms per sum and, where features are resized, a longest side of
            ``extent``. What the bound is relative to, and any other argument, is stated at each
            rule.
        traffic: Bytes that must cross the memory bus, from the arguments of the operator.
        flops: Floating-point operations that must be done, from the arguments of the operator.
        example: ``example(device="cpu")``: arguments of a typical call on a device, in fp32 where
            fast backends take it.
    """

    schema: str
    tolerance: Callable[..., float]
    traffic: Callable[..., int]
    flops: Callable[..., int]
    example: Callable[..., tuple[Any, ...]]

    @property
    def name(self) -> str:
        return self.schema.partition("(")[0]


def map_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map relative to the largest value of its image.

    A sum of ``length`` squares carries a random-walk error of about sqrt(length) u, the division by
    the norm doubles it, and 4 standard deviations are allowed; the rest of the arithmetic costs at
    most 8 u. A bilinear tap lies at a coordinate up to ``extent``, known to ``extent`` u, and
    enters squared twice (value and norm): 8 extent u covers both axes.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (8 + 4 * math.sqrt(length) + 8 * extent)


def distance_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map distance relative to 1 / positions.

    With d = ||t - a||^2 / positions and ||t - a|| <= 2, an error ||e|| of the map moves d by at
    most (4 ||e|| + ||e||^2) / positions; ||e|| <= map_tolerance since the map has unit norm.
    """
    return 5 * map_tolerance(dtype, length, extent)


def gradient_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of the input gradient relative to the largest gradient of its image.

    Twice the error of the map, which enters both factors of the projection ``g - a (g . a)``, and
    the final rounding to the dtype of the input.
    """
    return 4 * map_tolerance(dtype, length, extent) + 2 * roundoff(dtype)


def norm_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Relative error of a norm: fp64 sums of ``length`` squares, one rounding to the result."""
    return 1.01 * roundoff(accumulation_dtype(dtype)) + (length + 2) * roundoff(torch.float64)


def attention_tolerance(
    dtype: torch.dtype, length: int, extent: float = 0, tokens: int = 1
) -> float:
    """Error of statistics of attention weights over ``tokens`` keys and ``length`` channels.

    Relative to the weight or the sum of weights; for products to the sum of ``P |t|``; for
    entropies absolute, divided by ``1 + log(tokens)``. ``extent`` is the largest
    ``scale ||q|| ||k||``, which bounds every score. A score errs by at most 2 ``length`` u
    ``extent`` (tensor cores may truncate where they add), 12 u ``extent`` more where fp32 factors
    are split in two of 11 bits, and 2 u ``extent`` for scale and base; a weight has twice that
    error (numerator and sum), as much again from a log-sum-exp that is stored, and that of the
    exponential and the division, 16 u. A sum over tokens adds a random walk of sqrt(tokens) u, of
    which 4 standard deviations are allowed, once in the weight and once in the statistic. A weight
    below the smallest normal number may be 0.
    """
    u = roundoff(accumulation_dtype(dtype))
    weight = u * (16 + 4 * (length + 8) * extent + 4 * math.sqrt(tokens))
    return weight + 4 * u * math.sqrt(tokens)


def packed_attention_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of attention relative to the largest value of its head.

    ``length`` is the longer of tokens and head width, ``extent`` the largest
    ``scale sum_d |q_d k_d|``. A sum of ``length`` products carries a random-walk error of
    sqrt(length) u, with 4 standard deviations allowed, and 4 u more for the factor, the exponent
    and the exponential; in a logit it is relative to ``extent``, and enters numerator and
    denominator. The products with the values and the sum of probabilities carry the same error,
    relative to the largest value. In fp16 and bf16 a probability may be rounded before it weighs a
    value, and before it enters the sum, and the result is rounded: 3 roundoffs of the dtype.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (2 * extent + 2) * (4 + 4 * math.sqrt(length)) + 3 * roundoff(dtype)


def layer_norm_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of layer normalisation relative to ``1 + |out|``.

    ``length`` is the number of channels, ``extent`` the largest ``|x| / sqrt(var + eps)`` of a
    token. The mean carries the random walk of a sum, sqrt(length) u of the largest ``|x|`` with 4
    standard deviations allowed, and with the subtraction 2 u more; that is the error of a
    difference, ``extent`` times it that of a result. The scale carries half the error of a sum of
    squares and twice that of a difference, and 4 u of division and root, relative to the result,
    which is rounded to the dtype.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (2 * extent + 1) * (4 + 4 * math.sqrt(length)) + roundoff(dtype)


def gelu_tolerance(dtype: torch.dtype) -> float:
    """Error of GELU relative to ``|x|``.

    ``x Phi(x) = max(x, 0) - |x| Q(|x|)``: the fourth power of a polynomial is off Q by 1.7e-8 at
    most (relative to ``max(1, |x|)``), one of its roundings counts four times and the powers
    add 3 u, relative to ``Q <= 1/2``; the subtraction adds u. In sum 4 u. fp64 is PyTorch's, with
    as many roundings. The result is rounded to the dtype, where a subnormal number may be 0.
    """
    return 4 * roundoff(accumulation_dtype(dtype)) + roundoff(dtype)


def linear_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of a linear layer relative to ``1 + |out|``.

    ``length`` is the number of inputs, ``extent`` the largest
    ``|residual| + |bias| + sum_k |x_k W_k|``, of normalised ``x`` where it is normalised (the error
    of normalised values, :func:`layer_norm_tolerance`, enters as they do; callers add it). The
    random walk of the sum is sqrt(length) u of it with 4 standard deviations allowed, times the
    steepest slope of GELU, 1.13; GELU adds 4 u (:func:`gelu_tolerance`) and the other sums 4 u. In
    fp16 and bf16 normalised values, product and activation may each be rounded, and the result is.
    """
    u = roundoff(accumulation_dtype(dtype))
    rounded = 0.0 if dtype in (torch.float32, torch.float64) else 3 * roundoff(dtype)
    return extent * (u * (8 + 4.52 * math.sqrt(length)) + rounded) + roundoff(dtype)


def mlp_block_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of an MLP block relative to the size of its terms, ``|x| + |b2| + s``, with ``s`` the
    root of ``sum_h w2_h^2 (b1_h^2 + sum_c w1_hc^2 (1 + |norm(x)_c|)^2)``.

    ``length`` is the longer of channels and hidden width, ``extent`` that of
    :func:`layer_norm_tolerance`. Roundings are independent, so what ``length`` of them do to a sum
    is relative to the root of its squares, with 4 standard deviations allowed: those of the norm,
    of what GELU is given and gives, and of the residual and the result. GELU multiplies an error by
    1.13 at most. A sum carries a random walk of its own; tensor cores truncate, 2 u for 16
    products.
    """
    u, r = roundoff(accumulation_dtype(dtype)), roundoff(dtype)
    sums = u * (4 + 4 * math.sqrt(length) + length / 8)
    terms = 1.13 * (layer_norm_tolerance(dtype, length, extent) + r) + gelu_tolerance(dtype) + 2 * r
    return 4 * terms + 2.13 * sums


def attention_jvp_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
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


def gram_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an inner product relative to the product of both lengths.

    A random walk of ``length`` roundings, of which 4 standard deviations are allowed. Tensor cores
    truncate: 16 products at a time cost 2 u, without exception and in one direction, so they sum at
    most 1024 products, 128 u and within the bound, before the rest is rounded. Relative rows carry
    2 u from their subtraction.
    """
    return roundoff(accumulation_dtype(dtype)) * (8 + 4 * math.sqrt(length))


def angle_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an angle distance relative to the spread of the samples, the largest entry of a Gram
    matrix over the smallest squared distance of samples that do not coincide.

    A sum of four entries is off by 9 u of the largest, a squared distance by 6, so an angle is off
    by 21 u spread; two angles differ by at most 2, and the square of their difference moves by
    2 * 2 * 42 u spread. The mean adds what a random walk of ``length`` samples does.
    """
    return roundoff(accumulation_dtype(dtype)) * (176 + 4 * math.sqrt(length))


def exact(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Backends agree bit for bit."""
    return 0.0


def _map_bytes(x: Tensor, size: Sequence[int]) -> int:
    return x.nbytes + x.shape[0] * (size[0] * size[1] + 1) * accumulation_dtype(x.dtype).itemsize


def _map_flops(x: Tensor, size: Sequence[int]) -> int:
    images, height, width, channels = x.shape
    per_value = 2 if (height, width) == tuple(size) else 9
    return images * size[0] * size[1] * channels * per_value


def _distance_bytes(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return _map_bytes(x, size) + teacher.nbytes


def _distance_flops(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return _map_flops(x, size) + 3 * x.shape[0] * size[0] * size[1]


def _distances_bytes(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> int:
    results = len(xs) * xs[0].shape[0] * accumulation_dtype(xs[0].dtype).itemsize
    return sum(x.nbytes for x in xs) + teacher.nbytes + results


def _distances_flops(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> int:
    return sum(_distance_flops(x, teacher, size) for x in xs)


def _backward_bytes(x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]) -> int:
    return 2 * x.nbytes + map.nbytes + norm.nbytes + grad.nbytes


def _backward_flops(x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]) -> int:
    return 2 * _map_flops(x, size)


def _segment_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors) + 4 * len(tensors)


def _segment_flops(tensors: Sequence[Tensor]) -> int:
    return 2 * sum(tensor.numel() for tensor in tensors)


def _slice_bytes(weight: Tensor, sizes: Tensor) -> int:
    return weight.nbytes + sizes.nbytes + 4 * sizes.shape[0]


def _slice_flops(weight: Tensor, sizes: Tensor) -> int:
    return 2 * weight.numel()


def _fill_bytes(tensor: Tensor, key: int, first: float, second: float) -> int:
    return tensor.nbytes


def _fill_flops(tensor: Tensor, key: int, first: float, second: float) -> int:
    return 2 * tensor.numel()


def _attention_bytes(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, statistics: Sequence[str]
) -> int:
    images, heads, tokens, _ = q.shape
    rows = heads * (len(statistics) - ("head_mean" in statistics) + (teacher is not None))
    values = images * tokens * (rows + (tokens if "head_mean" in statistics else 0))
    read = q.nbytes + k.nbytes + (0 if teacher is None else teacher.nbytes)
    return read + values * accumulation_dtype(q.dtype).itemsize


def _attention_flops(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, statistics: Sequence[str]
) -> int:
    images, heads, tokens, channels = q.shape
    per_weight = 2 * channels + 3 + 2 * (len(statistics) + (teacher is not None))
    return images * heads * tokens * tokens * per_weight


def _packed_attention_bytes(qkv: Tensor, num_heads: int, scale: float) -> int:
    return qkv.nbytes + qkv.nbytes // 3


def _packed_attention_flops(qkv: Tensor, num_heads: int, scale: float) -> int:
    return 4 * qkv.shape[1] * qkv.numel() // 3


def _layer_norm_bytes(x: Tensor, eps: float) -> int:
    return 2 * x.nbytes


def _layer_norm_flops(x: Tensor, eps: float) -> int:
    return 6 * x.numel()


def _mlp_block_bytes(
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


def _mlp_block_flops(x: Tensor, w1: Tensor, *arguments: Any) -> int:
    hidden = arguments[3]
    return 4 * x.numel() * hidden[-1] + 26 * x.shape[0] * hidden[-1]


def _attention_jvp_bytes(
    q: Tensor, k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor, scale: float
) -> int:
    return sum(x.nbytes for x in (q, k, v, dq, dk, dv)) + 2 * q.nbytes


def _attention_jvp_flops(
    q: Tensor, k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor, scale: float
) -> int:
    return 12 * q.shape[2] * q.numel()


def _gram_bytes(x: Tensor, y: Tensor | None, relative: bool) -> int:
    matrices, rows, _ = x.shape
    columns = rows if y is None else y.shape[1]
    written = matrices * rows * columns * accumulation_dtype(x.dtype).itemsize
    return x.nbytes + (0 if y is None else y.nbytes) + written


def _gram_flops(x: Tensor, y: Tensor | None, relative: bool) -> int:
    matrices, rows, length = x.shape
    pairs = rows * (rows + 1) // 2 if y is None else rows * y.shape[1]
    return 2 * matrices * pairs * length


def _angle_bytes(student: Tensor, teacher: Tensor) -> int:
    return student.nbytes + teacher.nbytes + student.shape[0] * student.dtype.itemsize


def _angle_flops(student: Tensor, teacher: Tensor) -> int:
    matrices, samples, _ = student.shape
    return 13 * matrices * samples * samples * (samples + 1) // 2


def _features(device: Device) -> Tensor:
    return torch.ones(2, 14, 14, 192, device=device)


def _map_example(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), [14, 14]


def _distance_example(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), torch.full((2, 196), 1 / 14, device=device), [14, 14]


def _distances_example(device: Device = "cpu") -> tuple[Any, ...]:
    x, teacher, size = _distance_example(device)
    return [x, x[..., :96]], teacher, size


def _backward_example(device: Device = "cpu") -> tuple[Any, ...]:
    values = torch.full((2, 196), 1 / 14, device=device)
    norm = torch.full((2,), 14.0, device=device)
    return _features(device), values, norm, values, [14, 14]


def _segment_example(device: Device = "cpu") -> tuple[Any, ...]:
    return ([torch.ones(192, 192, device=device), torch.ones(192, device=device)],)


def _slice_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(192, 192, device=device), torch.tensor([[192, 192], [96, 144]])


def _fill_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.empty(192, 192, device=device), 0, 0.0, 1.0


def _linear_bytes(*arguments: object) -> int:
    return sum(tensor.nbytes for tensor in arguments if isinstance(tensor, Tensor))


def _linear_flops(out: Tensor, x: Tensor, weight: Tensor, *arguments: object) -> int:
    return 2 * out.numel() * weight.shape[1]


def _attention_example(device: Device = "cpu") -> tuple[Any, ...]:
    q, k = torch.ones(2, 2, 3, 197, 64, device=device)
    return q, k, torch.ones(2, 197, device=device), 0.125, list(STATISTICS)


def _packed_attention_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(2, 197, 3 * 192, device=device), 3, 0.125


def _layer_norm_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(197, 192, device=device), 1e-5


def _linear_example(device: Device = "cpu") -> tuple[Any, ...]:
    out, x = torch.ones(2, 197, 192, device=device)
    return out, x, torch.ones(192, 192, device=device), None, None, 1e-6, True


def _mlp_block_example(device: Device = "cpu") -> tuple[Any, ...]:
    x, w1, w2, out = (
        torch.ones(shape, dtype=torch.bfloat16, device=device)
        for shape in ((197, 192), (768, 192), (192, 768), (2, 197, 192))
    )
    return x, w1, None, w2, None, [672, 768], 1e-5, out


def _attention_jvp_example(device: Device = "cpu") -> tuple[Any, ...]:
    return *torch.ones(6, 2, 3, 197, 64, device=device).unbind(0), 0.125


def _gram_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(1, 32, 3072, device=device), None, False


def _angle_example(device: Device = "cpu") -> tuple[Any, ...]:
    gram = torch.eye(32, device=device).unsqueeze(0)
    return gram, gram


OPERATORS = {
    operator.name: operator
    for operator in (
        Operator(
            "attention_map(Tensor x, SymInt[] size, *, str? backend=None)"
            " -> (Tensor map, Tensor norm)",
            map_tolerance,
            _map_bytes,
            _map_flops,
            _map_example,
        ),
        Operator(
            "attention_map_distance(Tensor x, Tensor teacher, SymInt[] size,"
            " *, str? backend=None) -> (Tensor distance, Tensor map, Tensor norm)",
            distance_tolerance,
            _distance_bytes,
            _distance_flops,
            _distance_example,
        ),
        Operator(
            "attention_map_distances(Tensor[] xs, Tensor teacher, SymInt[] size,"
            " *, str? backend=None) -> Tensor",
            distance_tolerance,
            _distances_bytes,
            _distances_flops,
            _distances_example,
        ),
        Operator(
            "attention_map_backward(Tensor x, Tensor map, Tensor norm, Tensor grad_map,"
            " SymInt[] size, *, str? backend=None) -> Tensor",
            gradient_tolerance,
            _backward_bytes,
            _backward_flops,
            _backward_example,
        ),
        Operator(
            "segment_norms(Tensor[] tensors, *, str? backend=None) -> Tensor",
            norm_tolerance,
            _segment_bytes,
            _segment_flops,
            _segment_example,
        ),
        Operator(
            "slice_norms(Tensor weight, Tensor sizes, *, str? backend=None) -> Tensor",
            norm_tolerance,
            _slice_bytes,
            _slice_flops,
            _slice_example,
        ),
        Operator(
            "indexed_normal_(Tensor(a!) tensor, int key, float mean, float std,"
            " *, str? backend=None) -> ()",
            exact,
            _fill_bytes,
            _fill_flops,
            _fill_example,
        ),
        Operator(
            "indexed_uniform_(Tensor(a!) tensor, int key, float low, float high,"
            " *, str? backend=None) -> ()",
            exact,
            _fill_bytes,
            _fill_flops,
            _fill_example,
        ),
        Operator(
            "self_attention_stats(Tensor q, Tensor k, Tensor? teacher, float scale,"
            " str[] statistics, *, str? backend=None) -> Tensor[]",
            attention_tolerance,
            _attention_bytes,
            _attention_flops,
            _attention_example,
        ),
        Operator(
            "packed_attention(Tensor qkv, int num_heads, float scale, *, str? backend=None)"
            " -> Tensor",
            packed_attention_tolerance,
            _packed_attention_bytes,
            _packed_attention_flops,
            _packed_attention_example,
        ),
        Operator(
            "layer_norm(Tensor x, float eps, *, str? backend=None) -> Tensor",
            layer_norm_tolerance,
            _layer_norm_bytes,
            _layer_norm_flops,
            _layer_norm_example,
        ),
        Operator(
            "linear(Tensor(a!) out, Tensor x, Tensor weight, Tensor? bias, Tensor? residual,"
            " float? norm_eps, bool gelu, *, str? backend=None) -> ()",
            linear_tolerance,
            _linear_bytes,
            _linear_flops,
            _linear_example,
        ),
        Operator(
            "mlp_block(Tensor x, Tensor w1, Tensor? b1, Tensor w2, Tensor? b2, SymInt[] hidden,"
            " float eps, Tensor(a!) out, *, str? backend=None) -> ()",
            mlp_block_tolerance,
            _mlp_block_bytes,
            _mlp_block_flops,
            _mlp_block_example,
        ),
        Operator(
            "attention_jvp(Tensor q, Tensor k, Tensor v, Tensor dq, Tensor dk, Tensor dv,"
            " float scale, *, str? backend=None) -> (Tensor out, Tensor tangent)",
            attention_jvp_tolerance,
            _attention_jvp_bytes,
            _attention_jvp_flops,
            _attention_jvp_example,
        ),
        Operator(
            "gram(Tensor x, Tensor? y, bool relative, *, str? backend=None) -> Tensor",
            gram_tolerance,
            _gram_bytes,
            _gram_flops,
            _gram_example,
        ),
        Operator(
            "angle_distance(Tensor student, Tensor teacher, *, str? backend=None) -> Tensor",
            angle_tolerance,
            _angle_bytes,
            _angle_flops,
            _angle_example,
        ),
    )
}
"""Every registered operator by name."""
