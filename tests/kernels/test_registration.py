"""The operators as PyTorch sees them: opcheck, torch.compile, torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from tvtfast import kernels
from tvtfast.kernels import attention_map, attention_map_distance, segment_norms, slice_norms

SIZES = [[4, 5], [6, 3]]


def feature_layouts() -> dict[str, Tensor]:
    return {
        "channels": torch.randn(2, 4, 5, 3),
        "positions": torch.randn(2, 3, 4, 5).permute(0, 2, 3, 1),
        "images": torch.randn(4, 5, 3, 2).permute(3, 0, 1, 2),
        "prefix": torch.randn(2, 21, 3)[:, 1:].unflatten(1, (4, 5)),
        "bf16": torch.randn(2, 4, 5, 3).bfloat16(),
    }


@pytest.mark.parametrize("layout", feature_layouts())
@pytest.mark.parametrize("size", SIZES)
def test_opcheck_attention_map(backend: str, layout: str, size: list[int]) -> None:
    ops = torch.ops.tvtfast
    x = feature_layouts()[layout]
    values, norm = ops.attention_map(x, size)
    gradient = torch.randn_like(values)
    torch.library.opcheck(
        ops.attention_map_backward, (x, values, norm, gradient, size), {"backend": backend}
    )
    x.requires_grad_()
    torch.library.opcheck(ops.attention_map, (x, size), {"backend": backend})
    teacher = torch.rand(2, size[0] * size[1], requires_grad=True)
    for rows in (teacher, teacher[:1].detach()):
        torch.library.opcheck(ops.attention_map_distance, (x, rows, size), {"backend": backend})


def test_opcheck_norms(backend: str) -> None:
    ops = torch.ops.tvtfast
    tensors = [torch.randn(3, 4).t(), torch.randn(5).half(), torch.randn(4, 4)[:, ::2]]
    torch.library.opcheck(ops.segment_norms, (tensors,), {"backend": backend})
    recorded = [tensors[0].contiguous().requires_grad_(), *tensors[1:]]
    torch.library.opcheck(ops.segment_norms, (recorded,), {"backend": backend})
    sizes = torch.tensor([[1, 2], [3, 4]])
    for weight in (torch.randn(3, 4), torch.randn(4, 3).t()):
        torch.library.opcheck(ops.slice_norms, (weight, sizes), {"backend": backend})
        recorded = (weight.detach().requires_grad_(), sizes)
        torch.library.opcheck(ops.slice_norms, recorded, {"backend": backend})


@pytest.mark.parametrize("name", ("indexed_normal_", "indexed_uniform_"))
def test_opcheck_indexed(backend: str, name: str) -> None:
    operator = getattr(torch.ops.tvtfast, name)
    for tensor in (torch.zeros(3, 5), torch.zeros(4, 3).t(), torch.zeros(2, 8)[:, ::2].half()):
        torch.library.opcheck(operator, (tensor, -5, 0.5, 2.0), {"backend": backend})


def scores(x: Tensor, teacher: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    filled = kernels.indexed_normal_(torch.empty(6, 6), seed=1, name="w")
    return (
        attention_map(x, prefix_tokens=1, grid=(4, 4), size=(6, 6)),
        attention_map_distance(x, teacher, prefix_tokens=1, grid=(4, 4)),
        segment_norms([weight, filled]),
        slice_norms(weight, torch.tensor([[2, 3]])),
        filled,
    )


def test_compile_full_graph() -> None:
    compiled = torch.compile(scores, fullgraph=True, backend="aot_eager", dynamic=True)
    for images, channels in ((2, 8), (3, 6), (5, 6)):
        x = torch.randn(images, 17, channels, requires_grad=True)
        teacher, weight = torch.rand(16), torch.randn(4, channels, requires_grad=True)
        expected, actual = scores(x, teacher, weight), compiled(x, teacher, weight)
        for value, exact in zip(actual, expected, strict=True):
            torch.testing.assert_close(value, exact)
        gradient, exact = (
            torch.autograd.grad(
                values[1].sum() + values[0][:, 0].sum() + values[2].sum() + values[3].sum(),
                (x, weight),
            )
            for values in (actual, expected)
        )
        torch.testing.assert_close(gradient, exact)


def test_one_operator_whichever_backend_serves() -> None:
    """The backend is chosen when the compiled code runs, not when it is traced."""
    compiled = torch.compile(attention_map, fullgraph=True, backend="aot_eager")
    x = torch.ones(1, 2, 3, 3)
    for name in ("reference", "auto"):
        with kernels.use_backend(name):
            torch.testing.assert_close(compiled(x), attention_map(x))
    with pytest.raises(kernels.BackendError), kernels.use_backend("native"):
        compiled(x.double())


@pytest.mark.slow
def test_compile_with_inductor() -> None:
    def loss(x: Tensor, teacher: Tensor) -> Tensor:
        return attention_map_distance(x * 2, teacher, size=(5, 5)).mean()

    x, teacher = torch.randn(2, 4, 3, 3, requires_grad=True), torch.rand(2, 25)
    expected = torch.autograd.grad(loss(x, teacher), x)
    actual = torch.autograd.grad(torch.compile(loss, fullgraph=True)(x, teacher), x)
    torch.testing.assert_close(actual, expected)


def plain_distance(x: Tensor, teacher: Tensor) -> Tensor:
    squares = x.square().mean(dim=-3).flatten(-2)
    values = squares / squares.norm(dim=-1, keepdim=True)
    return (teacher - values).square().mean(dim=-1)


def distance(x: Tensor, teacher: Tensor) -> Tensor:
    return attention_map_distance(x, teacher)


DIFFERENTIABLE = {
    "attention_map_distance": (distance, plain_distance),
    "segment_norms": (
        lambda x, t: segment_norms([x, t]),
        lambda x, t: torch.stack([x.norm(), t.norm()]),
    ),
    "slice_norms": (
        lambda x, t: slice_norms(t, [(2, 3), (1, 9)]),
        lambda x, t: torch.stack([t[:2, :3].norm(), t[:1, :9].norm()]),
    ),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("compiled", (False, True))
def test_jvp_matches(name: str, compiled: bool) -> None:
    ours, plain = DIFFERENTIABLE[name]
    x, teacher = torch.randn(2, 4, 3, 3), torch.rand(2, 9)
    tangents = (torch.randn_like(x), torch.randn_like(teacher))

    def tangent(x: Tensor, teacher: Tensor) -> Any:
        return torch.func.jvp(ours, (x, teacher), tangents)

    if compiled:
        tangent = torch.compile(tangent, backend="aot_eager")
    expected = torch.func.jvp(plain, (x, teacher), tangents)
    torch.testing.assert_close(tangent(x, teacher), expected)
    assert expected[1].abs().max() > 0


def test_forward_mode_duals_match() -> None:
    x, teacher = torch.randn(2, 4, 3, 3), torch.rand(2, 9)
    tangent = torch.randn_like(x)
    with forward_ad.dual_level():
        result = attention_map_distance(forward_ad.make_dual(x, tangent), teacher)
        actual = forward_ad.unpack_dual(result).tangent
    _, expected = torch.func.jvp(lambda x: plain_distance(x, teacher), (x,), (tangent,))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("size", (None, (5, 4)))
def test_vmap_matches(size: tuple[int, int] | None) -> None:
    x, teacher = torch.randn(3, 2, 4, 3, 3), torch.rand(20 if size else 9)

    def ours(x: Tensor) -> Tensor:
        return attention_map_distance(x, teacher, size=size)

    torch.testing.assert_close(torch.vmap(ours)(x), torch.stack([ours(one) for one in x]))
    torch.testing.assert_close(
        torch.vmap(segment_norms_of)(x), torch.stack([*map(segment_norms_of, x)])
    )


def segment_norms_of(x: Tensor) -> Tensor:
    return segment_norms([x, x[0]])


@pytest.mark.parametrize("transform", (torch.func.grad, torch.func.hessian, torch.func.jacfwd))
def test_derivatives_match(transform: Callable[..., Any]) -> None:
    x, teacher = torch.randn(1, 3, 2, 2, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    actual = transform(lambda x: distance(x, teacher).sum())(x)
    torch.testing.assert_close(actual, transform(lambda x: plain_distance(x, teacher).sum())(x))


def test_named_backends_raise_inside_transforms() -> None:
    x, teacher = torch.randn(2, 4, 3, 3), torch.rand(2, 9)

    def native(x: Tensor) -> Tensor:
        return attention_map_distance(x, teacher, backend="native")

    with pytest.raises(kernels.BackendError, match="torch.func"):
        torch.func.jvp(native, (x,), (x,))
    with kernels.use_backend("native"), pytest.raises(kernels.BackendError, match="torch.func"):
        torch.func.jvp(lambda x: attention_map(x), (x,), (x,))


def test_filling_raises_inside_transforms() -> None:
    def fill(x: Tensor) -> Tensor:
        return kernels.indexed_normal_(torch.empty(3), seed=0, name="w") * x

    for transform in (torch.vmap(fill), torch.func.grad(lambda x: fill(x).sum())):
        with pytest.raises(RuntimeError, match="torch.func"):
            transform(torch.ones(3))
