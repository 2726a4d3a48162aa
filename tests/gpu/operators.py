"""Small calls of every operator on a device, shared by the tests and the sanitizer run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.self_attention_stats.definition import STATISTICS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HALF = (torch.float16, torch.bfloat16)
BLOCKS = (
    (1, 4, (4,)),
    (7, 48, (144, 192)),
    (197, 192, (672, 768)),
    (129, 216, (756, 864)),
    (128, 240, (960,)),
    (65, 256, (64, 132, 200, 1024)),
)
"""Tokens, channels and hidden widths of MLP blocks: around a tile, and in every width of loads."""
ATTENTIONS = (
    (1, 1, 2, 2, (1,)),
    (3, 33, 48, 8, (2, 6)),
    (2, 197, 192, 64, (3,)),
    (2, 65, 216, 54, (4,)),
    (2, 197, 240, 80, (1, 2, 3)),
)
"""Images, tokens, channels, channels of a head and numbers of heads of attention blocks."""
SIZES = (None, (7, 9), (3, 2))
LONGEST_SEGMENT = 140_001


def feature_layouts(
    dtype: torch.dtype, channels: int, device: str = "cuda"
) -> Iterator[tuple[str, Tensor]]:
    """Features ``[3, C, 5, 8]`` in every layout the kernels tell apart."""
    features = torch.randn(3, channels, 5, 8, device=device).to(dtype)
    yield "planes", features
    yield "channels_last", features.contiguous(memory_format=torch.channels_last)
    padded = torch.randn(3, channels, 7, 13, device=device).to(dtype)
    yield "cropped", padded[:, :, 1:6, 3:11]
    wide = torch.randn(3, 2 * channels + 1, 5, 16, device=device).to(dtype)
    yield "every other", wide[:, 1::2, :, ::2]
    yield "unaligned", wide.flatten()[1 : 1 + features.numel()].view_as(features)
    yield "expanded", features[:1].expand(3, -1, -1, -1)


def segments(device: str = "cuda") -> list[Tensor]:
    """Tensors of every dtype, empty, one element, unaligned, longer than one chunk and than 32."""
    pool = torch.randn(LONGEST_SEGMENT + 3, device=device)
    lengths = (0, 1, 3, 31, 197, 4095, 4096, 4097, 20_011, LONGEST_SEGMENT)
    parts = [pool[offset : offset + length] for length in lengths for offset in (0, 1, 3)]
    return [part.to(dtype)[skip:] for dtype in DTYPES for part in parts for skip in (0, 1)] + parts


def calls(device: str = "cuda") -> Iterator[tuple[str, Callable[[], object]]]:
    """Every operator of CUDA C++ on shapes that reach every kernel."""
    for dtype in DTYPES:
        for channels in (1, 24, 200):
            for layout, x in feature_layouts(dtype, channels, device):
                for size in SIZES:
                    name = f"attention_map {dtype} {layout} C={channels} size={size}"
                    yield name, lambda x=x, size=size: _gradient(x, size)
    large = torch.randn(1, 8, 64, 80, device=device)
    yield "attention_map with scratch", lambda: _gradient(large, None)
    several = torch.randn(1, 640, 16, 16, device=device)
    yield "attention_map of several blocks", lambda: _gradient(several, None)
    ragged = [torch.randn(3, width, 5, 8, device=device) for width in (1, 24, 200)]
    teacher = torch.rand(40, device=device)
    yield (
        "attention_map_distances",
        lambda: kernels.attention_map_distances(ragged, teacher, backend="cuda"),
    )
    yield "segment_norms", lambda: kernels.segment_norms(segments(device), backend="cuda")
    for shape in ((), (1,), (7,), (5, 6), (2, 3, 4), (4, 3, 5, 7), (0, 5), (300, 1001)):
        for fill in (kernels.indexed_normal_, kernels.indexed_uniform_):
            target = torch.empty(shape, device=device)
            yield (
                f"{fill.__name__} {shape}",
                lambda fill=fill, target=target: fill(target, seed=1, name="x", backend="cuda"),
            )


def queries_and_keys(
    images: int, heads: int, tokens: int, channels: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """``[B, H, N, D]`` as the parts of a fused projection."""
    qkv = torch.randn(images, tokens, 3, heads, channels, device="cuda").to(dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


def joined_stats(q: Tensor, k: Tensor) -> Tensor:
    """All statistics of attention in one tensor."""
    teacher = torch.linspace(0, 1, q.shape[2], device="cuda")
    values = kernels.self_attention_stats(
        q, k, teacher=teacher, statistics=STATISTICS, backend="triton"
    )
    return torch.cat([value.flatten() for value in values if value is not None])


def triton_calls() -> Iterator[tuple[str, Callable[[], object]]]:
    """Operators that Triton alone serves on a device, and one for which it is the fastest."""
    if not capability.missing():
        ragged = [torch.randn(3, width, 5, 8, device="cuda") for width in (1, 24, 200)]
        teacher = torch.rand(40, device="cuda")
        yield "attention_map_distances", lambda: kernels.attention_map_distances(ragged, teacher)
    for dtype in () if capability.missing() else DTYPES:
        for tokens, channels in ((1, 1), (7, 65), (50, 64), (197, 80), (65, 256)):
            q, k = queries_and_keys(2, 3, tokens, channels, dtype)
            name = f"self_attention_stats {dtype} N={tokens} D={channels}"
            yield name, lambda q=q, k=k: joined_stats(q, k)
        for rows, length in ((1, 1), (7, 197), (65, 130)):
            x = torch.randn(2, 1 + rows, 1 + length, device="cuda").to(dtype)[:, 1:, 1:]
            for name, operand in (("rows", x), ("columns", x.mT)):
                yield f"gram {dtype} {rows} {name}", lambda x=operand: _relations(x)
        for tokens, channels in ((1, 1), (49, 8), (65, 17), (197, 64), (33, 128)):
            dual = dual_operands(2, 3, tokens, channels, dtype)
            name = f"attention_jvp {dtype} N={tokens} D={channels}"
            yield name, lambda dual=dual: joined_dual(dual)
    for dtype in () if capability.missing() else HALF:
        for rows, channels, hidden in BLOCKS:
            block = block_operands(rows, channels, hidden[-1], dtype)
            yield (
                f"mlp_block {dtype} M={rows} C={channels} H={hidden}",
                lambda block=block, hidden=hidden: kernels.mlp_block(
                    *block, hidden=hidden, backend="triton"
                ),
            )
        for images, tokens, channels, dim, heads in ATTENTIONS:
            attention = attention_operands(images, tokens, channels, dim * heads[-1], dtype)
            yield (
                f"attention_block {dtype} N={images} T={tokens} C={channels} D={dim} H={heads}",
                lambda attention=attention, heads=heads: kernels.attention_block(
                    *attention, num_heads=heads[-1], heads=heads, backend="triton"
                ),
            )


def attention_operands(
    images: int, tokens: int, channels: int, inner: int, dtype: torch.dtype
) -> list[Tensor]:
    """Tokens, weights and biases of the attention half of a block."""
    x = 1 + 2 * torch.randn(images, tokens, channels, device="cuda")
    w_qkv = torch.randn(3 * inner, channels, device="cuda") / channels**0.5
    w_proj = torch.randn(channels, inner, device="cuda") / inner**0.5
    b_qkv, b_proj = (torch.randn(n, device="cuda") for n in (3 * inner, channels))
    return [tensor.to(dtype) for tensor in (x, w_qkv, b_qkv, w_proj, b_proj)]


def block_operands(rows: int, channels: int, hidden: int, dtype: torch.dtype) -> list[Tensor]:
    """Tokens, weights and biases of an MLP block."""
    sizes = ((rows, channels), (hidden, channels), (hidden,), (channels, hidden), (channels,))
    x, w1, b1, w2, b2 = (torch.randn(size, device="cuda") for size in sizes)
    return [tensor.to(dtype) for tensor in (1 + 2 * x, w1 / 8, b1, w2 / 8, b2)]


def dual_operands(
    images: int, heads: int, tokens: int, channels: int, dtype: torch.dtype
) -> list[Tensor]:
    """q, k, v and their tangents ``[B, H, N, D]`` as the parts of two fused projections."""
    both = torch.randn(2, images, tokens, 3, heads, channels, device="cuda").to(dtype)
    return list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))


def joined_dual(dual: list[Tensor]) -> Tensor:
    """Attention and its tangent in one tensor."""
    return torch.cat(kernels.attention_jvp(*dual, backend="triton"))


def _gradient(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    x = x.detach().requires_grad_()
    positions = size[0] * size[1] if size else x.shape[2] * x.shape[3]
    teacher = torch.rand(positions, device=x.device)
    distance = kernels.attention_map_distance(x, teacher, size=size, backend="cuda")
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    return gradient


def _relations(x: Tensor) -> Tensor:
    kernels.gram(x, x[:1], backend="triton")
    return kernels.relation_rkd_angle(x, x, backend="triton")
