"""Operators in tiles against fp64. Formulas and tolerances are those of ``tests/kernels``."""

from __future__ import annotations

import torch
from torch import Tensor

from tvtfast.kernels import mlp_block
from tvtfast.kernels.linear import native as native_linear
from tvtfast.kernels.packed_attention import native as native_attention

from ..kernels import test_attention_block, test_linear, test_mlp_block, test_packed_attention
from ..kernels.test_linear import EPS, assert_linear, operands
from ..kernels.test_packed_attention import assert_attention

AMX, BF16 = "amx_bf16", torch.bfloat16
GUARD = 64
CANARY = 123.0
# One, around a tile of rows and around two; a row, a pair, around a row of a tile; around tiles of
# outputs and panels of two.
ROWS = (1, 2, 15, 16, 17, 31, 32, 33, 65)
INPUTS = (1, 2, 31, 32, 33, 64, 75)
OUTPUTS = (1, 15, 16, 17, 31, 32, 33, 65)
WIDTHS = (1, 16, 31, 54, 60, 64, 72, 80)


def guarded(*shape: int) -> tuple[Tensor, Tensor]:
    """NaN in a buffer with a margin that nothing may write, and all of the buffer."""
    size = torch.Size(shape).numel()
    buffer = torch.full((size + 2 * GUARD,), CANARY, dtype=BF16)
    return buffer[GUARD : GUARD + size].fill_(torch.nan).view(shape), buffer


def check_margin(buffer: Tensor) -> None:
    assert (buffer[:GUARD] == CANARY).all() and (buffer[-GUARD:] == CANARY).all()


def surrounded(tensor: Tensor, value: float = torch.nan) -> Tensor:
    """The same in the middle of NaN, which would poison every sum that it entered, or of numbers
    that would outweigh all others."""
    padded = torch.full([n + 40 for n in tensor.shape], value, dtype=tensor.dtype)
    return padded[tuple(slice(20, 20 + n) for n in tensor.shape)].copy_(tensor)


def check_linear(rows: int, inputs: int, outputs: int, every: bool, poisoned: bool) -> None:
    x, weight, bias, residual = operands(rows, inputs, outputs, BF16)
    given: list[Tensor | None] = [x, weight, *((bias, residual) if every else (None, None))]
    read = [surrounded(t) if poisoned and t is not None else t for t in given]
    out, buffer = guarded(rows, outputs)
    rest = (EPS, True) if every else (None, False)
    native_linear.run(native_linear.Arguments(out, *read, *rest), instruction_set=AMX)
    assert_linear(out, *given, *rest)
    check_margin(buffer)


def linear_edges() -> None:
    """Rows, inputs and outputs around tiles, with nothing around the product and with all."""
    for rows in ROWS:
        for inputs in INPUTS:
            outputs = OUTPUTS[(rows + inputs) % len(OUTPUTS)]
            check_linear(rows, inputs, outputs, every=False, poisoned=True)
            check_linear(rows, inputs, outputs, every=True, poisoned=True)
    for outputs in OUTPUTS:
        for rows in (16, 33):
            check_linear(rows, 75, outputs, every=True, poisoned=False)


def linear_layers() -> None:
    """Layers of candidates: read where they are, and more rows than are computed together."""
    check_linear(197, 216, 192, every=True, poisoned=False)
    check_linear(197, 192, 648, every=False, poisoned=False)
    check_linear(1201, 192, 40, every=False, poisoned=False)
    check_linear(70, 3000, 40, every=True, poisoned=False)
    # rows that lie 4,096 bytes apart are copied
    check_linear(40, 2048, 33, every=False, poisoned=False)


def linear_special_values() -> None:
    """NaN and infinities stay in their row."""
    for value in (torch.nan, torch.inf, -torch.inf):
        x, weight, *_ = operands(37, 70, 20, BF16)
        clean = test_linear.run(AMX, x, weight)
        x[21, 69] = value
        result = test_linear.run(AMX, x, weight)
        assert not result[21].isfinite().any()
        others = torch.arange(37) != 21
        assert torch.equal(result[others], clean[others])


def mlp() -> None:
    """The block against fp64 and, to the bit, against its layers."""
    test_mlp_block.test_formula("native", BF16, True)
    arguments = test_mlp_block.operands(70, 40, hidden=96, dtype=BF16)
    x, w1, b1, w2, b2 = arguments
    for width, result in zip(
        (33, 64, 96), mlp_block(*arguments, hidden=(33, 64, 96), eps=EPS), strict=True
    ):
        inner = test_linear.run(AMX, x, w1[:width], b1[:width], None, EPS, True)
        assert torch.equal(result, test_linear.run(AMX, inner, w2[:, :width], b2, x))


def check_attention(tokens: int, heads: int, dim: int, around: float | None = None) -> None:
    qkv = torch.randn(2, tokens, 3 * heads * dim).to(BF16)
    read = qkv if around is None else surrounded(qkv, around)
    assert_attention(test_packed_attention.run(AMX, read, heads), qkv, heads)


def attention_edges() -> None:
    """Tokens around tiles of rows and panels, and widths of heads around pairs and tiles."""
    for tokens in (1, 2, 15, 16, 17, 31, 32, 33, 49, 65):
        check_attention(tokens, 2, WIDTHS[tokens % len(WIDTHS)], torch.nan)
    for dim in WIDTHS:
        check_attention(50, 1, dim, torch.nan)
        check_attention(41, 1, dim, 1e4)


def attention_layer() -> None:
    check_attention(197, 3, 64)


def attention_long() -> None:
    """Rows of scores that would evict each other without their odd stride."""
    check_attention(1030, 1, 8)


def attention_special_values() -> None:
    test_packed_attention.test_nan_goes_where_the_formula_takes_it(AMX, BF16)
    test_packed_attention.test_logits_far_apart(AMX, BF16)
    qkv = torch.randn(2, 97, 3 * 60).bfloat16()
    qkv[:, :, 120:] = qkv[:, :1, 120:]
    assert torch.equal(test_packed_attention.run(AMX, qkv, 1), qkv[:, :, 120:])


def attention_output() -> None:
    """Every element is written, and nothing beside."""
    extension = native_attention.extension()
    for tokens, dim in ((19, 11), (33, 72)):
        qkv = torch.randn(2, tokens, 3 * 2 * dim).to(BF16)
        out, buffer = guarded(2, tokens, 2 * dim)
        strides = qkv.stride()[:2]
        extension.packed_attention(
            qkv.data_ptr(), 2, (2, tokens, 2, dim), strides, 0.3, out.data_ptr(), 0, 1
        )
        assert_attention(out, qkv, 2, 0.3)
        check_margin(buffer)


def attention_blocks() -> None:
    """The block against fp64 and, to the bit, against its operators."""
    for shape, heads, dim in (((1, 1, 1), 1, 1), ((1, 17, 33), 2, 9), ((3, 50, 65), 4, 20)):
        test_attention_block.test_formula("native", BF16, True, shape, heads, dim)
    for shape, heads, dim in (((7, 5, 31), 2, 7), ((4, 49, 48), 2, 40)):
        test_attention_block.test_native_is_the_operators_to_the_bit(
            AMX, BF16, shape, heads, dim, None
        )


def threads() -> None:
    """Threads have tiles of their own, and any number of them makes the same bits."""
    x, weight, bias, _ = operands(333, 192, 200, BF16)
    qkv = torch.randn(3, 70, 3 * 2 * 40).to(BF16)
    results = []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        results.append(
            (
                test_linear.run(AMX, x, weight, bias),
                test_packed_attention.run(AMX, qkv, 2),
            )
        )
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


CASES = {
    case.__name__: case
    for case in (
        linear_edges,
        linear_layers,
        linear_special_values,
        mlp,
        attention_edges,
        attention_layer,
        attention_long,
        attention_special_values,
        attention_output,
        attention_blocks,
        threads,
    )
}
