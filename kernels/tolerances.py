"""How far the result of an operator may be off, each bound with its derivation.

A rule of an operator is called as ``rule(dtype, length, extent=0)``: the bound for inputs of
``dtype``, ``length`` terms per sum and, where features are resized, a longest side of ``extent``.
What the bound is relative to, and any other argument, is stated at each rule. Notation: ``u`` is
the unit roundoff of the accumulation format, 2^-24 for inputs of at most 32 bits (fp16 and bf16 are
converted to fp32 exactly, before the first operation) and 2^-53 for fp64 inputs.
"""

from __future__ import annotations

import math

import torch

from .dtypes import accumulation_dtype, roundoff


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
    as many roundings. The result is rounded to the dtype, where a subnormal number may be 0; for
    16 bits the eighth power of a shorter polynomial does, off Q by 2.7e-6, and its roundings, 8 u,
    are small beside.
    """
    approximation = 0.0 if dtype in (torch.float32, torch.float64) else 3e-6
    return 4 * roundoff(accumulation_dtype(dtype)) + approximation + roundoff(dtype)


def linear_tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of a linear layer relative to ``1 + |out|``.

    ``length`` is the number of inputs, ``extent`` the largest
    ``|residual| + |bias| + sum_k |x_k W_k|``, of normalised ``x`` where it is normalised (the error
    of normalised values, :func:`layer_norm_tolerance`, enters as they do; callers add it). The
    random walk of the sum is sqrt(length) u of it with 4 standard deviations allowed, times the
    steepest slope of GELU, 1.13; GELU adds 4 u (:func:`gelu_tolerance`) and the other sums 4 u. In
    fp16 and bf16 normalised values, product and activation may each be rounded, and the result is;
    what GELU is off by is less than a rounding.
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


def attention_block_tolerance(
    dtype: torch.dtype, length: int, extent: float = 0, logits: float = 0, slope: float = 0
) -> float:
    """Error of the attention half of a block relative to the size of its terms,
    ``|x| + |b_proj| + s``, with ``s`` the root of ``sum_j w_proj_j^2 v_j^2`` over the channels j of
    the merged heads, and ``v_j`` the largest size of a value of the head of j.

    The size of a query, key or value is its magnitude or, where that is larger, the root of
    ``b^2 + sum_c w_c^2 (1 + |norm(x)_c|)^2``. ``length`` is the longest of channels, tokens and
    merged heads, ``extent`` that of :func:`layer_norm_tolerance`, ``logits`` the largest
    ``sum_i |q_i k_i| / sqrt(D)`` and ``slope`` the largest root of ``2 sum_i q_i^2 k_i^2 / D``,
    both of sizes.

    Roundings are independent, so a sum carries the root of their squares, with 4 standard
    deviations allowed. Queries, keys and values err by what the norm does
    (:func:`layer_norm_tolerance`), by the random walk of a sum, and by two roundings to the dtype,
    of the norm and of themselves, whose 4 standard deviations are less than 4 roundoffs; all of it
    relative to their sizes. That moves a logit by ``slope`` times as much, a weight by twice that
    (numerator and sum), and a value by as much again; :func:`packed_attention_tolerance` comes on
    top. The second product sums these errors, with a walk of its own. Residual and result are
    rounded, relative to all terms, of which the product may be 4 standard deviations large.
    """
    u, r = roundoff(accumulation_dtype(dtype)), roundoff(dtype)
    walk = u * (4 + 4 * math.sqrt(length) + length / 8)
    norm = layer_norm_tolerance(accumulation_dtype(dtype), length, extent)
    entering = 4 * (norm + r) + walk
    mixed = (1 + 2 * slope) * entering + packed_attention_tolerance(dtype, length, logits)
    return mixed + walk + 4 * r


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
