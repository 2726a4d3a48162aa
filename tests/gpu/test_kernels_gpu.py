"""The Triton kernels on a real device, against fp64 on that device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import (
    attention_block,
    attention_jvp,
    attention_map,
    attention_map_distance,
    attention_map_distances,
    gram,
    indexed_normal_,
    indexed_uniform_,
    mlp_block,
    pack_segments,
    pack_slices,
    relation_rkd_angle,
    segment_norms,
    self_attention_stats,
    slice_norms,
)
from tvtfast.kernels.angle_distance import reference as reference_angle_distance
from tvtfast.kernels.attention_block import reference as reference_attention_block
from tvtfast.kernels.attention_jvp import reference as reference_jvp
from tvtfast.kernels.attention_jvp.definition import tolerance as attention_jvp_tolerance
from tvtfast.kernels.attention_map import reference
from tvtfast.kernels.attention_map_backward import reference as reference_backward
from tvtfast.kernels.attention_map_distance import reference as reference_distance
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.mlp_block import reference as reference_block
from tvtfast.kernels.self_attention_stats import reference as reference_attention
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.kernels.self_attention_stats.definition import tolerance as attention_tolerance

pytestmark = pytest.mark.gpu

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
GIB = 1 << 30


@pytest.fixture(autouse=True)
def device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    if capability.interpreting():
        pytest.skip("TRITON_INTERPRET=1: kernels are interpreted, not run on the device")
    if capability.missing():
        pytest.skip(capability.missing()[0])
    torch.manual_seed(0)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, device="cuda").to(dtype)


def feature_view(dtype: torch.dtype, layout: str, grid: int, channels: int) -> Tensor:
    """Features ``[B, H, W, C]``."""
    if layout == "tokens":
        return random(5, 1 + grid * grid, channels, dtype=dtype)[:, 1:].unflatten(1, (grid, grid))
    if layout == "cropped":
        whole = random(5, channels, grid + 2, grid + 3, dtype=dtype)
        return whole[:, :, 1:-1, 1:-2].permute(0, 2, 3, 1)
    return random(5, channels, grid, grid, dtype=dtype).permute(0, 2, 3, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features", "cropped"))
@pytest.mark.parametrize("channels", (1, 7, 192, 216, 513))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14), (14, 5), (33, 33), (7, 34)])
def test_attention_maps(
    dtype: torch.dtype, layout: str, channels: int, grid: int, size: int
) -> None:
    x, target = feature_view(dtype, layout, grid, channels), [size, size]
    teacher, _ = reference.run(OPERATORS["attention_map"].call(random(5, size, size, 3), target))
    extent = 0 if grid == size else grid

    def bound(operator: str) -> float:
        return OPERATORS[operator].tolerance(dtype, channels, extent)

    ops = torch.ops.tvtfast
    distance, values, norm = ops.attention_map_distance(x, teacher, target, backend="triton")
    exact = reference_distance.run(
        OPERATORS["attention_map_distance"].call(x.double(), teacher.double(), target)
    )
    error = (values - exact[1]).abs().amax(dim=1)
    assert (error <= bound("attention_map") * exact[1].amax(dim=1)).all()
    limit = bound("attention_map_distance") / teacher.shape[1]
    assert ((distance - exact[0]).abs() <= limit).all()

    grad_map = random(*values.shape)
    gradient = ops.attention_map_backward(x, values, norm, grad_map, target, backend="triton")
    arguments = (t.double() for t in (x, values, norm, grad_map))
    expected = reference_backward.run(OPERATORS["attention_map_backward"].call(*arguments, target))
    bounds = bound("attention_map_backward") * expected.abs().amax(dim=(1, 2, 3))
    assert ((gradient - expected).abs().amax(dim=(1, 2, 3)) <= bounds).all()
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features", "cropped"))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14), (33, 33)])
def test_distances_have_the_bits_of_the_dense_form(
    dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    views = [feature_view(dtype, layout, grid, channels) for channels in (1, 7, 192, 216, 240, 513)]
    xs, teacher = [view.permute(0, 3, 1, 2) for view in views], random(5, size * size).abs()
    options = {"size": (size, size), "backend": "triton"}
    expected = [attention_map_distance(x, teacher, **options) for x in xs]
    assert torch.equal(attention_map_distances(xs, teacher, **options), torch.stack(expected))


@pytest.mark.parametrize("packed", (False, True))
def test_segment_norms(packed: bool) -> None:
    lengths = (1, 7, 197, 0, 16383, 16384, 16385, 1_000_003)
    tensors = [random(n + 1, dtype=dtype)[k:] for n in lengths for dtype in DTYPES for k in (0, 1)]
    tensors.append(torch.full((9,), 1e20, device="cuda"))
    actual = segment_norms(pack_segments(tensors) if packed else tensors, backend="triton")
    exact = torch.stack([torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors])
    bound = OPERATORS["segment_norms"].tolerance(torch.float32, max(lengths))
    assert ((actual - exact).abs() <= bound * exact).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_slice_norms(dtype: torch.dtype) -> None:
    weight = random(640, 443, dtype=dtype)
    sizes = [(o, i) for o in (0, 1, 33, 192, 640) for i in (0, 5, 128, 216, 443)]
    for matrix in (weight, weight.t().contiguous().t(), weight[::2, ::2]):
        usable = [(o, i) for o, i in sizes if o <= matrix.shape[0] and i <= matrix.shape[1]]
        actual = slice_norms(matrix, usable, backend="triton")
        exact = torch.stack(
            [torch.linalg.vector_norm(matrix[:o, :i], dtype=torch.float64) for o, i in usable]
        )
        bound = OPERATORS["slice_norms"].tolerance(torch.float32, weight.numel())
        assert ((actual - exact).abs() <= bound * exact).all()


def gram_rows(dtype: torch.dtype, layout: str, rows: int, length: int) -> Tensor:
    """Rows ``[K, n, M]``."""
    if layout == "columns":
        return random(3, 1 + length, rows, dtype=dtype)[:, 1:].mT
    if layout == "unaligned":
        return random(3, rows, 1 + length, dtype=dtype)[:, :, 1:]
    return random(3, rows, length, dtype=dtype)


def assert_products(actual: Tensor, x: Tensor, y: Tensor, dtype: torch.dtype) -> None:
    bound = OPERATORS["gram"].tolerance(dtype, x.shape[-1])
    lengths = x.norm(dim=-1).unsqueeze(-1) * y.norm(dim=-1).unsqueeze(-2)
    assert ((actual - x @ y.mT).abs() <= bound * lengths).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("rows", "columns", "unaligned"))
@pytest.mark.parametrize(
    ("rows", "length"), [(1, 1), (7, 197), (64, 42336), (65, 1000), (128, 37632), (216, 196)]
)
def test_gram(dtype: torch.dtype, layout: str, rows: int, length: int) -> None:
    """Values of one sign, so that sums that truncate drift as far as they can."""
    x = gram_rows(dtype, layout, rows, length).abs_()
    y = random(1, 33, length, dtype=dtype).abs()
    exact = x.double()
    assert_products(gram(x, backend="triton"), exact, exact, dtype)
    assert_products(gram(x, y, backend="triton"), exact, y.double(), dtype)
    exact = exact - exact[:, :1]
    assert_products(gram(x, relative=True, backend="triton"), exact, exact, dtype)


@pytest.mark.parametrize("samples", (1, 2, 31, 64, 65, 128))
@pytest.mark.parametrize("shared", (1, 3))
def test_angle_distance(samples: int, shared: int) -> None:
    student, teacher = (
        gram(random(matrices, samples, 500), relative=True, backend="reference")
        for matrices in (3, shared)
    )
    actual = torch.ops.tvtfast.angle_distance(student, teacher, backend="triton")
    exact = reference_angle_distance.forward(student.double(), teacher.double())
    squared = reference_angle_distance.squared_distances(teacher)
    closest = torch.where(squared > 0, squared, torch.inf).min()
    spread = 2 * teacher.max() / closest if samples > 1 else 0
    bound = OPERATORS["angle_distance"].tolerance(torch.float32, samples)
    assert ((actual - exact).abs() <= bound * spread).all()


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize(
    "shape", ((), (7,), (1024, 1024), (33, 129), (64, 3, 16, 16), (4, 3, 5, 7))
)
def test_indexed_bits_are_those_of_the_cpu(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    for fill, limits in (
        (indexed_normal_, {"mean": 0.3, "std": 0.7}),
        (indexed_uniform_, {"low": -3, "high": 5}),
    ):
        here, there = (torch.full(shape, torch.nan, dtype=dtype, device=d) for d in ("cuda", "cpu"))
        fill(here, seed=9, name="b", backend="triton", **limits)
        fill(there, seed=9, name="b", backend="reference", **limits)
        assert torch.equal(here.cpu(), there)


def test_indexed_strides() -> None:
    expected = indexed_normal_(torch.empty(3, 4, 5), seed=1, name="w", backend="reference")
    padded = torch.zeros(3, 6, 9, device="cuda")
    for view in (padded[:, 1:5, 2:7], torch.zeros(5, 4, 3, device="cuda").permute(2, 1, 0)):
        indexed_normal_(view, seed=1, name="w", backend="triton")
        assert torch.equal(view.cpu(), expected)
    assert padded.count_nonzero() == 60


def queries_and_keys(
    images: int, heads: int, tokens: int, channels: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """``[B, H, N, D]`` as the parts of a fused projection."""
    qkv = random(images, tokens, 3, heads, channels, dtype=dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 48, 64, 65, 80, 256))
@pytest.mark.parametrize("tokens", (1, 7, 50, 63, 64, 65, 197, 577))
def test_self_attention_stats(dtype: torch.dtype, channels: int, tokens: int) -> None:
    q, k = queries_and_keys(3, 5, tokens, channels, dtype)
    teacher, scale = random(3, tokens), channels**-0.5
    actual = self_attention_stats(q, k, teacher=teacher, statistics=STATISTICS, backend="triton")
    wide = q.double(), k.double(), teacher.double()
    names = (*STATISTICS, "teacher_products")
    call = OPERATORS["self_attention_stats"].call(*wide, scale, STATISTICS)
    exact = dict(zip(names, reference_attention.run(call), strict=True))
    extent = scale * float(wide[0].norm(dim=-1).max() * wide[1].norm(dim=-1).max())
    bound = attention_tolerance(dtype, channels, extent, tokens)
    units = {
        **exact,
        "row_entropy": 1 + wide[2].new_tensor(tokens).log(),
        "teacher_products": reference_attention.run(
            call._replace(teacher=wide[2].abs(), statistics=[])
        )[0],
    }
    for name in names:
        error = (getattr(actual, name) - exact[name]).abs()
        assert (error <= bound * units[name] + tokens * 1e-37).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 8, 16, 65, 128))
@pytest.mark.parametrize("tokens", (1, 49, 64, 65, 196, 784))
def test_attention_jvp(dtype: torch.dtype, channels: int, tokens: int) -> None:
    both = random(2, 3, tokens, 3, 5, channels, dtype=dtype)
    dual = list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))
    q, k, v, dq, dk, dv = wide = [x.double() for x in dual]
    scale = channels**-0.5
    exact = reference_jvp.run(OPERATORS["attention_jvp"].call(*wide, scale))
    extent = scale * float((q.abs() @ k.abs().mT).max())
    change = scale * float((dq.abs() @ k.abs().mT + q.abs() @ dk.abs().mT).max())
    bound = attention_jvp_tolerance(dtype, max(tokens, channels), extent)
    units = v.abs().max(), dv.abs().max() + 2 * change * v.abs().max()
    for value, expected, unit in zip(
        attention_jvp(*dual, backend="triton"), exact, units, strict=True
    ):
        assert (value - expected).abs().max() <= bound * unit


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
@pytest.mark.parametrize("biases", (False, True))
@pytest.mark.parametrize("rows", (1, 7, 64, 128, 129, 197, 12_608))
@pytest.mark.parametrize(
    ("channels", "hidden"),
    [
        (4, (4,)),
        (48, (144, 192)),
        (192, (672, 768)),
        (216, (756,)),
        (216, (756, 864)),
        (240, (960,)),
        (256, (64, 132, 200, 1024)),
    ],
)
def test_mlp_block(
    dtype: torch.dtype, biases: bool, rows: int, channels: int, hidden: tuple[int, ...]
) -> None:
    """Weights are parts of larger ones, as those of candidates are."""
    x = 1 + 2 * random(rows, channels, dtype=dtype)
    w1 = random(hidden[-1] + 8, channels + 8, dtype=dtype)[: hidden[-1], :channels] / 8
    w2 = random(channels, hidden[-1] + 8, dtype=dtype)[:, : hidden[-1]] / 8
    b1, b2 = (random(n, dtype=dtype) if biases else None for n in (hidden[-1], channels))
    actual = mlp_block(x, w1, b1, w2, b2, hidden=hidden, backend="triton")
    wide = [None if t is None else t.double() for t in (x, w1, b1, w2, b2)]
    extent = (wide[0].abs() / (wide[0].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()).max()
    bound = OPERATORS["mlp_block"].tolerance(dtype, max(channels, hidden[-1]), float(extent))
    error = (actual - reference_block.forward(*wide, hidden, 1e-5)).abs()
    assert actual.dtype == dtype
    assert (error <= bound * reference_block.spread(*wide, hidden, 1e-5)).all()


def test_mlp_block_of_nans() -> None:
    x, w1, w2 = (random(*n).half() for n in ((300, 64), (256, 64), (64, 256)))
    clean = mlp_block(x, w1, None, w2, None, hidden=(100,), backend="triton")
    x[130, 5], w1[100:], w2[:, 100:] = torch.nan, torch.nan, torch.nan
    actual = mlp_block(x, w1, None, w2, None, hidden=(100, 256), backend="triton")
    assert actual[0, 130].isnan().all() and actual[1].isnan().all()
    assert torch.equal(actual[0, :130], clean[0, :130])
    assert torch.equal(actual[0, 131:], clean[0, 131:])


def test_mlp_block_beyond_32_bits() -> None:
    need_memory(24)
    x = torch.zeros(2**23 + 200, 256, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(256).bfloat16()
    w1, w2 = random(64, 256).bfloat16(), random(256, 64).bfloat16()
    every = mlp_block(x, w1, None, w2, None, hidden=(32, 64), backend="triton")
    alone = mlp_block(x[-1:], w1, None, w2, None, hidden=(32, 64), backend="triton")
    torch.testing.assert_close(every[:, -1:], alone)
    assert not every[:, :-1].any()


def attention_operands(shape: tuple[int, int, int], inner: int, dtype: torch.dtype) -> list[Tensor]:
    """Tokens, weights and biases of the attention half of a block."""
    channels = shape[-1]
    x = 1 + 2 * random(*shape)
    w_qkv = random(3 * inner, channels) / channels**0.5
    w_proj = random(channels, inner) / inner**0.5
    every = (x, w_qkv, random(3 * inner), w_proj, random(channels))
    return [tensor.to(dtype) for tensor in every]


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
@pytest.mark.parametrize("biases", (False, True))
@pytest.mark.parametrize(
    ("shape", "dim", "heads"),
    [
        ((1, 1, 2), 2, (1,)),
        ((3, 33, 48), 8, (2, 6)),
        ((5, 64, 128), 16, (1, 3, 5, 7)),
        ((64, 197, 192), 64, (3,)),
        ((64, 197, 192), 48, (4,)),
        ((64, 197, 216), 54, (4,)),
        ((64, 197, 240), 80, (2, 3)),
        ((2, 577, 256), 80, (4,)),
    ],
)
def test_attention_block(
    dtype: torch.dtype,
    biases: bool,
    shape: tuple[int, int, int],
    dim: int,
    heads: tuple[int, ...],
) -> None:
    arguments: list[Tensor | None] = [*attention_operands(shape, dim * heads[-1], dtype)]
    if not biases:
        arguments[2] = arguments[4] = None
    given = {"num_heads": heads[-1], "heads": heads}
    actual = attention_block(*arguments, **given, backend="triton")
    wide = [None if t is None else t.double() for t in arguments]
    spread, logits, slope = reference_attention_block.terms(*wide, heads, 1e-5)
    extent = (wide[0].abs() / (wide[0].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()).max()
    length = max(*shape[1:], dim * heads[-1])
    bound = OPERATORS["attention_block"].tolerance(dtype, length, float(extent), logits, slope)
    exact = attention_block(*wide, **given, backend="reference")
    assert actual.dtype == dtype and ((actual - exact).abs() <= bound * spread).all()
    # sharper: PyTorch's operators round the same values, one by one
    plain = attention_block(*arguments, **given, backend="reference")
    assert (actual - exact).norm() <= 2 * (plain - exact).norm()


def test_attention_block_of_nans() -> None:
    x, *weights = attention_operands((3, 197, 216), 3 * 72, torch.bfloat16)
    clean = attention_block(x, *weights, num_heads=3, backend="triton")
    x[1, 196, 5] = torch.nan
    actual = attention_block(x, *weights, num_heads=3, backend="triton")
    assert actual[1].isnan().all() and torch.equal(actual[::2], clean[::2])


def test_attention_block_beyond_32_bits() -> None:
    need_memory(32)
    x, *weights = attention_operands((1, 197, 256), 128, torch.bfloat16)
    images = x.new_zeros(43_000, 197, 256)
    assert images.numel() > 2**31
    images[-1] = x[0]
    every = attention_block(images, *weights, num_heads=2, heads=(1, 2), backend="triton")
    alone = attention_block(x, *weights, num_heads=2, heads=(1, 2), backend="triton")
    assert torch.equal(every[:, -1:], alone)


def test_self_attention_stats_of_nans_and_strides() -> None:
    q, k = random(2, 3, 2, 70, 24).unbind(0)
    q[0, 1, 66, 2], k[1, 0, 69, 3] = torch.nan, torch.nan
    expected = self_attention_stats(q, k, statistics=STATISTICS, backend="reference")
    for one, other in (
        (q, k),
        (q.mT.contiguous().mT, k.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)),
    ):
        actual = self_attention_stats(one, other, statistics=STATISTICS, backend="triton")
        for value, exact in zip(actual[:4], expected[:4], strict=True):
            torch.testing.assert_close(value, exact, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_self_attention_stats_hold_no_map() -> None:
    q, k = queries_and_keys(64, 3, 197, 64, torch.bfloat16)
    self_attention_stats(q, k, backend="triton")
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    self_attention_stats(q, k, backend="triton")
    used = torch.cuda.max_memory_allocated() - before
    assert used < 64 * 3 * 197 * 197 * q.element_size() / 10


def test_self_attention_stats_beyond_32_bits() -> None:
    need_memory(16)
    images = 60_000
    qkv = torch.zeros(images, 65, 3, 3, 64, dtype=torch.bfloat16, device="cuda")
    assert qkv.numel() > 2**31
    qkv[-1] = random(65, 3, 3, 64).bfloat16()
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    every = self_attention_stats(q, k, backend="triton")
    alone = self_attention_stats(q[-1:], k[-1:], backend="triton")
    for value, last in zip(every[:3], alone[:3], strict=True):
        assert torch.equal(value[-1:], last)


def calls() -> dict[str, Callable[[], Tensor]]:
    """Calls whose inputs exist already and stay where they are."""
    x, teacher = random(64, 1 + 196, 216).bfloat16(), random(64, 196)
    student = random(64, 65, 216)
    xs = [random(64, 1 + 196, channels).bfloat16() for channels in (192, 216, 240)]
    table = pack_segments([random(n) for n in (100_000, 5, 0, 33_333)])
    segment_norms(table, backend="triton")
    weight, slices = random(640, 443), pack_slices(torch.randint(443, (5000, 2)))
    slice_norms(weight, slices, backend="triton")
    target = torch.empty(640, 216, device="cuda")
    q, k = queries_and_keys(8, 3, 197, 64, torch.bfloat16)
    tokens, w1, w2 = (random(*n).bfloat16() for n in ((1000, 216), (864, 216), (216, 864)))
    halves = attention_operands((8, 197, 216), 4 * 54, torch.bfloat16)
    values, norm = torch.ops.tvtfast.attention_map(student[:, 1:].unflatten(1, (8, 8)), [14, 14])
    samples, others = x[:, 1:].flatten(1), random(64, 64 * 196).bfloat16()
    return {
        "map": lambda: attention_map(x, prefix_tokens=1, grid=(14, 14), backend="triton"),
        "distance": lambda: attention_map_distance(
            student, teacher, size=(14, 14), prefix_tokens=1, grid=(8, 8), backend="triton"
        ),
        "distances": lambda: attention_map_distances(
            xs, teacher, prefix_tokens=1, grid=(14, 14), backend="triton"
        ),
        "backward": lambda: torch.ops.tvtfast.attention_map_backward(
            student[:, 1:].unflatten(1, (8, 8)), values, norm, teacher, [14, 14], backend="triton"
        ),
        "segments": lambda: segment_norms(table, backend="triton"),
        "slices": lambda: slice_norms(weight, slices, backend="triton"),
        "normal": lambda: indexed_normal_(target, seed=1, name="w", backend="triton").clone(),
        "block": lambda: mlp_block(tokens, w1, None, w2, None, hidden=(756, 864), backend="triton"),
        "attention block": lambda: attention_block(*halves, num_heads=4, backend="triton"),
        "attention": lambda: torch.stack(self_attention_stats(q, k, backend="triton")[:3]),
        "gram": lambda: gram(samples, backend="triton"),
        "angles": lambda: relation_rkd_angle(samples, others, backend="triton"),
    }


CAPTURED = (
    "map",
    "distance",
    "backward",
    "segments",
    "slices",
    "normal",
    "block",
    "attention block",
    "attention",
    "gram",
    "angles",
)
CALLS = (*CAPTURED, "distances")


@pytest.mark.parametrize("name", CALLS)
def test_runs_have_the_same_bits(name: str) -> None:
    call = calls()[name]
    first = call()
    assert all(torch.equal(call(), first) for _ in range(5))


@pytest.mark.parametrize("name", CALLS)
def test_side_stream(name: str) -> None:
    call = calls()[name]
    expected = call()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        actual = call()
        same = torch.equal(actual, expected)
    assert same


@pytest.mark.parametrize("name", CAPTURED)
def test_graph_capture(name: str) -> None:
    call = calls()[name]
    expected = call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call()
    captured.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, expected)


def need_memory(gibibytes: int) -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < gibibytes * GIB:
        pytest.skip(f"needs {gibibytes} GiB of free device memory, {free / GIB:.1f} are free")


@pytest.mark.parametrize("layout", ("tokens", "features"))
def test_offsets_beyond_32_bits(layout: str) -> None:
    need_memory(12)
    images, channels, grid = 2**15 + 8, 512, 12
    shape = (images, grid, grid, channels) if layout == "tokens" else (images, channels, grid, grid)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(*shape[1:]).bfloat16()
    view = x if layout == "tokens" else x.permute(0, 2, 3, 1)
    values, norm = torch.ops.tvtfast.attention_map(view, [grid, grid], backend="triton")
    alone, _ = torch.ops.tvtfast.attention_map(view[-1:], [grid, grid], backend="triton")
    assert torch.equal(values[-1:], alone) and not values[:-1].any()
    grad_map = torch.ones_like(values).cumsum(1)
    gradient = torch.ops.tvtfast.attention_map_backward(
        view, values, norm, grad_map, [grid, grid], backend="triton"
    )
    exact = reference_backward.run(
        OPERATORS["attention_map_backward"].call(
            view[-1:].float(), values[-1:], norm[-1:], grad_map[-1:], [grid, grid]
        )
    )
    bound = OPERATORS["attention_map_backward"].tolerance(torch.bfloat16, channels)
    assert (gradient[-1:] - exact).abs().max() <= bound * exact.abs().max()
    assert not gradient[:-1].any()


def test_gram_beyond_32_bits() -> None:
    need_memory(12)
    x = torch.zeros(2**15 + 8, 4, 2**14 + 8, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(4, x.shape[2]).bfloat16()
    products = gram(x, backend="triton")
    exact = x[-1:].double()
    assert_products(products[-1:], exact, exact, torch.bfloat16)
    assert not products[:-1].any()


def test_fill_and_norm_beyond_32_bits() -> None:
    need_memory(16)
    rows, columns = 2**16 + 8, 2**15 + 8
    tensor = torch.empty(rows, columns, dtype=torch.bfloat16, device="cuda")
    assert tensor.numel() > 2**31
    indexed_uniform_(tensor, seed=3, name="w", low=1, high=1, backend="triton")
    assert torch.equal(tensor[-1].float(), torch.ones(columns, device="cuda"))
    actual = segment_norms([tensor, tensor[-1]], backend="triton").double().cpu()
    expected = torch.tensor([tensor.numel(), columns], dtype=torch.float64).sqrt()
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)
    slices = slice_norms(tensor, [(rows, columns), (rows - 1, 3)], backend="triton").double().cpu()
    expected = torch.tensor([rows * columns, 3 * (rows - 1)], dtype=torch.float64).sqrt()
    torch.testing.assert_close(slices, expected, rtol=1e-6, atol=0)
