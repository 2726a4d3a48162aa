"""self_attention_stats against softmax(scale q k^T) formed in full in fp64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tvtfast import kernels
from tvtfast.kernels import SelfAttentionStats, self_attention_stats
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.self_attention_stats import reference
from tvtfast.kernels.self_attention_stats.definition import STATISTICS, Arguments
from tvtfast.kernels.self_attention_stats.definition import tolerance as attention_tolerance
from tvtfast.kernels.self_attention_stats_backward import formula

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TINY = torch.finfo(torch.float32).tiny
PER_HEAD = ("class_row", "column_sums", "row_entropy", "teacher_products")


def formed(q: Tensor, k: Tensor, teacher: Tensor, scale: float) -> SelfAttentionStats:
    """The definition, from all weights."""
    weights = (q @ k.transpose(-2, -1) * scale).softmax(dim=-1)
    return SelfAttentionStats(
        class_row=weights[:, :, 0],
        column_sums=weights.sum(dim=-2),
        row_entropy=torch.special.entr(weights).sum(dim=-1),
        head_mean=weights.mean(dim=1),
        teacher_products=torch.einsum("bhij,bj->bhi", weights, teacher),
    )


def parts(qkv: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys ``[B, H, N, D]`` of a fused projection ``[B, N, 3, H, D]``."""
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


def assert_stats(q: Tensor, k: Tensor, backend: str, scale: float | None = None) -> None:
    teacher = torch.randn(q.shape[0], q.shape[2])
    actual = self_attention_stats(
        q, k, scale=scale, teacher=teacher, statistics=STATISTICS, backend=backend
    )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    wide = q.double(), k.double(), teacher.double()
    exact = formed(*wide, scale)
    tokens, channels = q.shape[2:]
    extent = abs(scale) * float(wide[0].norm(dim=-1).max() * wide[1].norm(dim=-1).max())
    bound = attention_tolerance(q.dtype, channels, extent, tokens)
    units = {
        **exact._asdict(),
        "row_entropy": torch.tensor(1 + math.log(tokens)),
        "teacher_products": formed(wide[0], wide[1], wide[2].abs(), scale).teacher_products,
    }
    for name, value in actual._asdict().items():
        expected = getattr(exact, name)
        assert value.shape == expected.shape and value.is_contiguous(), name
        assert value.dtype == (torch.float64 if q.dtype == torch.float64 else torch.float32)
        assert ((value - expected).abs() <= bound * units[name] + tokens * TINY).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", (1, 5, 6, 7, 15, 16, 17, 23, 24, 25, 49, 197))
def test_numbers_of_tokens(backend: str, dtype: torch.dtype, tokens: int) -> None:
    assert_stats(*parts(torch.randn(2, tokens, 3, 3, 16).to(dtype)), backend)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 2, 7, 48, 64, 80))
def test_numbers_of_channels(backend: str, dtype: torch.dtype, channels: int) -> None:
    assert_stats(*parts(torch.randn(3, 19, 3, 2, channels).to(dtype)), backend)


def test_fp64() -> None:
    q, k = parts(torch.randn(2, 9, 3, 2, 5, dtype=torch.float64))
    assert_stats(q, k, "auto")


def layouts() -> dict[str, tuple[Tensor, Tensor]]:
    q, k = torch.randn(2, 3, 2, 9, 8)
    wide = torch.randn(3, 4, 11, 16)
    return {
        "contiguous": (q, k),
        "tokens before heads": (q.transpose(1, 2).contiguous().transpose(1, 2), k),
        "channels before tokens": (q.mT.contiguous().mT, k.mT.contiguous().mT),
        "images innermost": (q.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0), k),
        "every other": (wide[:, ::2, 1:10, ::2], wide[:, 1::2, 2:, 1::2]),
        "cropped": (wide[:, :2, :9, 3:11], wide[:, 2:, 1:10, 5:13]),
        "one head for all": (q, k[:, :1].expand(3, 2, 9, 8)),
        "one image for all": (q[:1].expand(3, 2, 9, 8), k),
    }


@pytest.mark.parametrize("layout", layouts())
def test_strides(backend: str, layout: str) -> None:
    assert_stats(*layouts()[layout], backend)


@pytest.mark.parametrize("scale", (0.0, -0.3, 1.0, 40.0))
def test_scales(backend: str, scale: float) -> None:
    """From weights that are all alike to weights of which one is 1."""
    assert_stats(*parts(torch.randn(2, 33, 3, 2, 16)), backend, scale)


def test_one_key_takes_everything(backend: str) -> None:
    q, k = torch.zeros(1, 1, 20, 4), torch.zeros(1, 1, 20, 4)
    q[..., 0], k[:, :, 3, 0] = 1e3, 1e3
    actual = self_attention_stats(q, k, statistics=STATISTICS, backend=backend)
    one = torch.eye(20)[3]
    assert torch.equal(actual.class_row[0, 0], one)
    assert torch.equal(actual.column_sums[0, 0], 20 * one)
    assert torch.equal(actual.row_entropy[0, 0], torch.zeros(20))
    assert torch.equal(actual.head_mean[0], one.expand(20, 20))


def test_equal_keys_share_evenly(backend: str) -> None:
    q, k = torch.randn(1, 2, 50, 8), torch.randn(1, 2, 1, 8).expand(-1, -1, 50, -1)
    actual = self_attention_stats(q, k, backend=backend)
    torch.testing.assert_close(actual.class_row, torch.full((1, 2, 50), 0.02))
    torch.testing.assert_close(actual.column_sums, torch.ones(1, 2, 50))
    torch.testing.assert_close(actual.row_entropy, torch.full((1, 2, 50), math.log(50)))


@pytest.mark.parametrize("name", STATISTICS)
def test_one_statistic_alone(backend: str, name: str) -> None:
    q, k = parts(torch.randn(2, 40, 3, 3, 8))
    together = self_attention_stats(q, k, statistics=STATISTICS, backend=backend)
    alone = self_attention_stats(q, k, statistics=[name], backend=backend)
    assert torch.equal(getattr(alone, name), getattr(together, name))
    assert sum(value is not None for value in alone) == 1


def test_order_and_teacher(backend: str) -> None:
    q, k = parts(torch.randn(2, 10, 3, 3, 8))
    teacher = torch.rand(10)
    expected = formed(q, k, teacher.expand(2, 10), 8**-0.5)
    for given_teacher in (teacher, teacher[None], teacher.expand(2, 10), teacher.double()):
        actual = self_attention_stats(
            q, k, teacher=given_teacher, statistics=["row_entropy", "class_row"], backend=backend
        )
        assert actual.column_sums is None and actual.head_mean is None
        torch.testing.assert_close(actual.class_row, expected.class_row)
        torch.testing.assert_close(actual.row_entropy, expected.row_entropy)
        torch.testing.assert_close(actual.teacher_products, expected.teacher_products)
    only = self_attention_stats(q, k, teacher=teacher, statistics=(), backend=backend)
    assert torch.equal(only.teacher_products, actual.teacher_products)
    assert only[:4] == (None,) * 4


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 3, 0, 4), (0, 0, 0, 1)])
def test_nothing_to_do(backend: str, shape: tuple[int, ...]) -> None:
    images, heads, tokens, _ = shape
    x = torch.ones(shape)
    teacher = torch.ones(images, tokens)
    actual = self_attention_stats(x, x, teacher=teacher, statistics=STATISTICS, backend=backend)
    assert all(getattr(actual, name).shape == shape[:3] for name in PER_HEAD)
    assert actual.head_mean.shape == (images, tokens, tokens)
    assert actual.head_mean.isnan().all(), "a mean over no heads"


def test_nans_stay_in_their_head(backend: str) -> None:
    q, k = torch.randn(2, 2, 3, 30, 8).unbind(0)
    q[0, 1, 4, 2], k[1, 0, 28, 3] = torch.nan, torch.nan
    teacher = torch.ones(30)
    actual = self_attention_stats(q, k, teacher=teacher, statistics=STATISTICS, backend=backend)
    bad_rows = torch.zeros(2, 3, 30, dtype=torch.bool)
    bad_rows[0, 1, 4] = bad_rows[1, 0] = True
    bad_heads = bad_rows.any(dim=-1, keepdim=True).expand_as(bad_rows)
    assert torch.equal(actual.row_entropy.isnan(), bad_rows)
    assert torch.equal(actual.teacher_products.isnan(), bad_rows)
    assert torch.equal(actual.class_row.isnan(), bad_rows[..., :1].expand_as(bad_rows))
    assert torch.equal(actual.column_sums.isnan(), bad_heads)
    assert torch.equal(actual.head_mean.isnan(), bad_rows.any(1)[..., None].expand(2, 30, 30))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(1, 20), st.data())
def test_any_shape(
    images: int, heads: int, tokens: int, channels: int, data: st.DataObject
) -> None:
    names = data.draw(st.permutations(STATISTICS))
    q, k = parts(torch.randn(images, tokens, 3, heads, channels))
    actual = self_attention_stats(q, k, statistics=names)
    ones = torch.ones(())
    torch.testing.assert_close(actual.class_row.sum(-1), ones.expand(images, heads))
    torch.testing.assert_close(actual.column_sums.sum(-1), (tokens * ones).expand(images, heads))
    torch.testing.assert_close(actual.head_mean.sum(-2), actual.column_sums.mean(1))
    assert (actual.row_entropy >= -1e-6).all()
    assert (actual.row_entropy <= math.log(tokens) + 1e-5).all()
    # What all keys have in common moves all scores of a row alike.
    moved = self_attention_stats(q, k + torch.randn(channels), statistics=names)
    for value, expected in zip(moved, actual, strict=True):
        if expected is not None:
            torch.testing.assert_close(value, expected, rtol=2e-4, atol=2e-5)


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    q, k = parts(torch.randn(5, 130, 3, 3, 64))
    results = []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        for names in (STATISTICS, STATISTICS[:3]):
            results.append(self_attention_stats(q, k, statistics=names, backend=native)[:3])
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_native_writes_its_outputs_and_nothing_else(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, buffers, empty = 32, [], torch.empty

    def guarded(*shape: int) -> Tensor:
        size = math.prod(shape)
        buffers.append(empty(size + 2 * guard).fill_(123.0))
        return buffers[-1][guard : guard + size].fill_(torch.nan).view(shape)

    q, k = parts(torch.randn(2, 17, 3, 3, 5))
    monkeypatch.setattr(torch, "empty", guarded)
    results = self_attention_stats(
        q, k, teacher=torch.ones(17), statistics=STATISTICS, backend=native
    )
    monkeypatch.undo()
    assert len(buffers) == len(results)
    assert not any(result.isnan().any() for result in results)
    for buffer in buffers:
        assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()


def loss(statistics: SelfAttentionStats, weights: SelfAttentionStats) -> Tensor:
    pairs = zip(statistics, weights, strict=True)
    return sum((s * w.to(s)).sum() for s, w in pairs if s is not None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", (*((name,) for name in STATISTICS), (), STATISTICS))
def test_gradients(
    backend: str, dtype: torch.dtype, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the bound of the definition of what autograd finds in fp64; heads in several parts."""
    monkeypatch.setattr(formula, "CHUNK_ELEMENTS", 2 * 19 * 19)
    scale = 0.4
    q, k = (x.requires_grad_() for x in parts(torch.randn(2, 19, 3, 3, 7).to(dtype)))
    teacher = torch.randn(2, 19, requires_grad=True)
    inputs = (q, k, teacher)
    wide = [x.detach().double().requires_grad_() for x in inputs]
    exact = formed(*wide, scale)
    weights = SelfAttentionStats(*(torch.randn(s.shape).double() for s in exact))
    chosen = {*names, "teacher_products"}
    exact = exact._replace(**{name: None for name in exact._fields if name not in chosen})
    actual = self_attention_stats(
        q, k, scale=scale, teacher=teacher, statistics=names, backend=backend
    )
    found = torch.autograd.grad(loss(actual, weights), inputs)
    wanted = torch.autograd.grad(loss(exact, weights), wide)
    longest = [float(x.detach().norm(dim=-1).max()) for x in wide[:2]]
    extent = scale * longest[0] * longest[1]
    bound = OPERATORS["self_attention_stats_backward"].tolerance(dtype, 7, extent, 19)
    for x, actual_gradient, gradient, unit in zip(
        inputs, found, wanted, absolute_gradients(wide, weights, chosen, scale), strict=True
    ):
        assert actual_gradient.dtype == x.dtype
        assert ((actual_gradient - gradient).abs() <= bound * unit).all()


def absolute_gradients(
    wide: list[Tensor], weights: SelfAttentionStats, chosen: set[str], scale: float
) -> list[Tensor]:
    """What errors are relative to: the formula with absolute values throughout."""
    q, k, teacher = (x.detach() for x in wide)
    logarithms = (q @ k.mT * scale).log_softmax(-1)
    p = logarithms.exp()
    of_weights = torch.zeros_like(p)
    size = SelfAttentionStats(*(w.abs() for w in weights))
    if "class_row" in chosen:
        of_weights[:, :, 0] += size.class_row
    if "column_sums" in chosen:
        of_weights += size.column_sums.unsqueeze(-2)
    if "row_entropy" in chosen:
        of_weights += size.row_entropy.unsqueeze(-1) * (1 + logarithms.abs())
    if "head_mean" in chosen:
        of_weights += size.head_mean.unsqueeze(1) / q.shape[1]
    products = size.teacher_products.unsqueeze(-1)
    of_weights += products * teacher.abs()[:, None, None]
    shares = p * of_weights
    of_scores = scale * (shares + p * shares.sum(-1, keepdim=True))
    of_teacher = (products * p).sum((1, 2))
    return [of_scores @ k.abs(), of_scores.mT @ q.abs(), of_teacher]


def test_second_derivatives() -> None:
    q, k = (x.requires_grad_() for x in torch.randn(2, 1, 2, 4, 3).double())
    teacher = torch.rand(1, 4, dtype=torch.float64, requires_grad=True)

    def ours(q: Tensor, k: Tensor, teacher: Tensor) -> tuple[Tensor, ...]:
        return tuple(self_attention_stats(q, k, teacher=teacher, statistics=STATISTICS))

    assert torch.autograd.gradcheck(ours, (q, k, teacher))
    assert torch.autograd.gradgradcheck(ours, (q, k, teacher))


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 3, 0, 4)])
def test_gradients_of_nothing(backend: str, shape: tuple[int, ...]) -> None:
    q, k = (torch.ones(shape, requires_grad=True) for _ in range(2))
    actual = self_attention_stats(q, k, statistics=STATISTICS, backend=backend)
    for gradient in torch.autograd.grad(
        [x for x in actual if x is not None],
        (q, k),
        [torch.ones_like(x) for x in actual if x is not None],
    ):
        assert torch.equal(gradient, torch.zeros(shape))


def test_autocast(backend: str) -> None:
    q, k = torch.randn(2, 2, 3, 9, 8)
    plain = self_attention_stats(q, k, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = self_attention_stats(q, k, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(mixed[:3], plain[:3], strict=True))


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_neither_results_nor_gradients_hold_all_weights() -> None:
    q, k = (x.requires_grad_() for x in parts(torch.randn(64, 101, 3, 3, 4)))
    with LargestTensor() as largest:
        reference.run(Arguments(q.detach(), k.detach(), None, 0.5, STATISTICS))
    assert largest.elements <= max(reference.CHUNK_ELEMENTS, 64 * 101 * 101)
    assert largest.elements < 64 * 3 * 101 * 101 / 2
    results = self_attention_stats(q, k)
    with LargestTensor() as largest:
        torch.autograd.grad(sum(x.sum() for x in results[:3]), (q, k))
    assert largest.elements <= formula.CHUNK_ELEMENTS


@pytest.mark.parametrize("layout", layouts())
def test_opcheck(backend: str, layout: str) -> None:
    q, k = layouts()[layout]
    operator = torch.ops.tvtfast.self_attention_stats
    for teacher, names in ((None, ["class_row"]), (torch.rand(3, 9), list(STATISTICS))):
        torch.library.opcheck(operator, (q, k, teacher, 0.5, names), {"backend": backend})
        results = [x.detach() for x in operator(q, k, teacher, 0.5, names)]
        inputs = (x.detach().requires_grad_() for x in (q, k))
        torch.library.opcheck(operator, (*inputs, teacher, 0.5, names), {"backend": backend})
        torch.library.opcheck(
            torch.ops.tvtfast.self_attention_stats_backward,
            (q, k, teacher, 0.5, names, results),
        )


def test_compile_full_graph() -> None:
    def entropy(q: Tensor, k: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        actual = self_attention_stats(q, k, teacher=teacher)
        return actual.row_entropy * 2, actual.teacher_products

    compiled = torch.compile(entropy, fullgraph=True, backend="aot_eager", dynamic=True)
    for tokens, channels in ((5, 8), (9, 6)):
        q, k = torch.randn(2, 3, 2, tokens, channels).unbind(0)
        arguments = q.requires_grad_(), k, torch.rand(tokens)
        expected, actual = entropy(*arguments), compiled(*arguments)
        torch.testing.assert_close(actual, expected)
        (exact,), (gradient,) = (
            torch.autograd.grad([x.square().sum() for x in results], q)
            for results in (expected, actual)
        )
        torch.testing.assert_close(gradient, exact)


TRANSFORMED = (*PER_HEAD, "head_mean")


def stacked(statistics: Callable[..., SelfAttentionStats]) -> Callable[..., Tensor]:
    """A function of queries and keys ``[B, H, N, D]`` that returns all statistics in one tensor."""

    def function(q: Tensor, k: Tensor) -> Tensor:
        values = statistics(q, k)
        return torch.cat([getattr(values, name).flatten() for name in TRANSFORMED])

    return function


TEACHER = torch.rand(5, dtype=torch.float64)
OURS = stacked(lambda q, k: self_attention_stats(q, k, teacher=TEACHER, statistics=STATISTICS))
PLAIN = stacked(lambda q, k: formed(q, k, TEACHER.expand(len(q), 5), q.shape[-1] ** -0.5))


def test_jvp_matches() -> None:
    inputs, tangents = torch.randn(2, 2, 3, 2, 5, 4, dtype=torch.float64).unbind(0)
    expected = torch.func.jvp(PLAIN, tuple(inputs), tuple(tangents))
    actual = torch.func.jvp(OURS, tuple(inputs), tuple(tangents))
    torch.testing.assert_close(actual, expected)
    assert expected[1].abs().max() > 0


@pytest.mark.parametrize("transform", (torch.func.jacrev, torch.func.jacfwd))
def test_derivatives_match(transform: Callable[..., Callable[..., Tensor]]) -> None:
    q, k = torch.randn(2, 1, 2, 5, 4, dtype=torch.float64).unbind(0)
    torch.testing.assert_close(transform(OURS)(q, k), transform(PLAIN)(q, k))


def test_vmap_matches() -> None:
    q, k = torch.randn(2, 3, 2, 2, 5, 4, dtype=torch.float64).unbind(0)
    expected = torch.stack([PLAIN(*pair) for pair in zip(q, k, strict=True)])
    torch.testing.assert_close(torch.vmap(OURS)(q, k), expected)


def test_named_backends_raise_inside_transforms() -> None:
    x = torch.randn(1, 2, 5, 4)
    with kernels.use_backend("native"), pytest.raises(kernels.BackendError, match="torch.func"):
        torch.func.jvp(lambda q: self_attention_stats(q, q).row_entropy, (x,), (x,))


def test_wrong_arguments() -> None:
    x = torch.ones(2, 3, 5, 4)
    with pytest.raises(TypeError, match="q is a list"):
        self_attention_stats([1.0], x)
    with pytest.raises(TypeError, match="k has dtype int64"):
        self_attention_stats(x, x.long())
    with pytest.raises(TypeError, match=r"float32 and k is torch\.float16"):
        self_attention_stats(x, x.half())
    for q, k in ((x[0], x[0]), (x, x[:, :1]), (x[..., :0], x[..., :0])):
        with pytest.raises(ValueError, match=r"\[B, H, N, D\]"):
            self_attention_stats(q, k)
    with pytest.raises(ValueError, match="q is on cpu, k on meta"):
        self_attention_stats(x, x.to("meta"))
    for names in ("class_row", ["row_sums"], ["class_row", "class_row"], ["teacher_products"]):
        with pytest.raises(ValueError, match="class_row, column_sums, row_entropy, head_mean"):
            self_attention_stats(x, x, statistics=names)
    for teacher in (torch.ones(4), torch.ones(3, 5), torch.ones(2, 1, 5), torch.ones(())):
        with pytest.raises(ValueError, match=r"map over the keys, \(2, 5\).*pad"):
            self_attention_stats(x, x, teacher=teacher)
    with pytest.raises(ValueError, match="teacher is on meta"):
        self_attention_stats(x, x, teacher=torch.ones(5, device="meta"))


def test_traffic_counts_what_is_asked_for() -> None:
    q, k, _, scale, _ = OPERATORS["self_attention_stats"].example()
    operator = OPERATORS["self_attention_stats"]
    traffic, arguments = operator.traffic, operator.arguments
    least = traffic(arguments(q, k, None, scale, ["class_row"]))
    assert least == q.nbytes + k.nbytes + 4 * 2 * 3 * 197
    assert (
        traffic(arguments(q, k, None, scale, ["class_row", "head_mean"])) == least + 4 * 2 * 197**2
    )
