"""Nothing of tvtfast.kernels detaches in silence: what asks for a gradient gets it, or an error."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.kernels import dispatch
from tvtfast.kernels.dispatch import OPERATORS

NO_DERIVATIVE = "has no derivative.*tvtfast.kernels.*detach.*no_grad"


def parts(value: Any) -> Iterator[Any]:
    """What stands in nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from parts(part)
    else:
        yield value


def tensors(value: Any) -> list[Tensor]:
    return [x for x in parts(value) if isinstance(x, Tensor) and x.is_floating_point()]


def filled(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The arguments with every floating tensor changed."""
    if isinstance(value, (tuple, list)):
        return [filled(part, change) for part in value]
    return change(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def ramp(x: Tensor) -> Tensor:
    """Another number for every entry of ``x``."""
    return torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view_as(x)


def gradient(results: list[Tensor], x: Tensor) -> Tensor:
    known = [result for result in results if result.requires_grad]
    return torch.autograd.grad(known, x, [ramp(result) for result in known])[0]


@pytest.mark.parametrize("name", OPERATORS)
def test_registered_operators(name: str) -> None:
    """In fp64, with the gradient that autograd finds in the plain PyTorch of the reference."""
    definition = OPERATORS[name]
    reference = dispatch.IMPLEMENTATIONS[name][-1]
    example = filled(
        definition.example(), lambda x: x.double() + 0.1 * torch.rand(x.shape).double()
    )
    operator = getattr(torch.ops.tvtfast, name).default
    for chosen in range(len(tensors(example))):
        call = filled(example, torch.clone)
        x = tensors(call)[chosen].requires_grad_()
        if definition.derivative is None:
            with pytest.raises(RuntimeError, match=NO_DERIVATIVE):
                operator(*call, backend="reference")
            continue
        found = tensors(operator(*call, backend="reference"))
        wanted = tensors(reference.run(definition.call(*call)))
        known = [i for i, result in enumerate(found) if result.requires_grad]
        assert 0 in known, "results beside the first may be for the derivative alone"
        exact = gradient([wanted[i] for i in known], x)
        assert exact.abs().max() > 0
        torch.testing.assert_close(gradient([found[i] for i in known], x), exact)
    with torch.no_grad():
        operator(*call, backend="reference")


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def statistics(q: Tensor, k: Tensor, teacher: Tensor) -> list[Tensor]:
    names = ("class_row", "column_sums", "row_entropy", "head_mean")
    return [*kernels.self_attention_stats(q, k, teacher=teacher, statistics=names)]


SLICES = [(6, 4), (2, 3), (0, 4), (6, 1), (2, 3)]
RELATIONS = {
    name: (getattr(kernels, name), lambda: [rand(4, 3, 5), rand(4, 3, 5)])
    for name in kernels.__all__
    if name.startswith("relation_")
}
FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[], list[Tensor]]]] = {
    **RELATIONS,
    "attention_block": (
        lambda *given: kernels.attention_block(*given, num_heads=2, heads=(1, 2)),
        lambda: [rand(2, 5, 4), rand(12, 4), rand(12), rand(4, 4), rand(4)],
    ),
    "attention_jvp": (kernels.attention_jvp, lambda: [*rand(6, 2, 2, 5, 4)]),
    "attention_map": (
        lambda x: kernels.attention_map(x, size=(4, 5)),
        lambda: [rand(2, 6, 3, 3)],
    ),
    "attention_map_distance": (
        kernels.attention_map_distance,
        lambda: [rand(2, 6, 3, 3), rand(2, 9).abs()],
    ),
    "attention_map_distances": (
        lambda a, b, teacher: kernels.attention_map_distances([a, b], teacher),
        lambda: [rand(2, 6, 3, 3), rand(2, 4, 3, 3), rand(2, 9).abs()],
    ),
    "gram": (kernels.gram, lambda: [rand(2, 4, 5), rand(2, 3, 5)]),
    "layer_norm": (kernels.layer_norm, lambda: [rand(3, 5)]),
    "linear": (
        lambda x, w, b, r: kernels.linear(x, w, b, norm_eps=1e-5, gelu=True, residual=r),
        lambda: [rand(3, 5), rand(4, 5), rand(4), rand(3, 4)],
    ),
    "mlp_block": (
        lambda *given: kernels.mlp_block(*given, hidden=(3, 8)),
        lambda: [rand(3, 4), rand(8, 4), rand(8), rand(4, 8), rand(4)],
    ),
    "packed_attention": (lambda x: kernels.packed_attention(x, 2), lambda: [rand(2, 5, 12)]),
    "sample_gram": (kernels.sample_gram, lambda: [rand(3, 4, 5), rand(3, 4, 2)]),
    "segment_norms": (
        lambda *given: kernels.segment_norms(given),
        lambda: [rand(3, 4), rand(5), rand(2, 2)],
    ),
    "self_attention_stats": (statistics, lambda: [rand(2, 2, 5, 4), rand(2, 2, 5, 4), rand(2, 5)]),
    "slice_norms": (lambda weight: kernels.slice_norms(weight, SLICES), lambda: [rand(6, 4)]),
}
"""Every public function that maps tensors to tensors, and arguments for it."""
TABLES = {"pack_segments", "pack_slices"}
IN_PLACE = {"indexed_normal_", "indexed_uniform_"}


def test_no_function_is_left_out() -> None:
    public = {
        name
        for name in kernels.__all__
        if isinstance(function := getattr(kernels, name), types.FunctionType)
        and function.__module__.removeprefix("tvtfast.kernels.") in _operator_folders()
    }
    assert public == FUNCTIONS.keys() | TABLES | IN_PLACE


def _operator_folders() -> set[str]:
    return {folder.name for folder in kernels.folders()} - {"backend"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    """Every argument by itself, in fp64 against the plain PyTorch of ``torch.func`` and in fp32."""
    function, arguments = FUNCTIONS[name]
    given = arguments()
    results, pull_back = torch.func.vjp(lambda *xs: tensors(function(*xs)), *given)
    for position, exact in enumerate(pull_back([ramp(result) for result in results])):
        assert exact.abs().max() > 0
        for dtype, precision in (
            (torch.float64, {}),
            (torch.float32, {"rtol": 1e-3, "atol": 1e-4}),
        ):
            xs = [x.to(dtype) for x in given]
            xs[position].requires_grad_()
            found = tensors(function(*xs))
            assert found[-1].requires_grad
            actual = gradient(found, xs[position])
            assert actual.dtype == dtype
            torch.testing.assert_close(actual.double(), exact, **precision)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_gradient_no_history(name: str) -> None:
    """Under no_grad parameters are numbers like any others, for every backend."""
    function, arguments = FUNCTIONS[name]
    given = [x.float().requires_grad_() for x in arguments()]
    with torch.no_grad():
        found = tensors(function(*given))
    assert not any(x.requires_grad for x in found)
    expected = tensors(function(*(x.detach() for x in given)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", sorted(IN_PLACE))
def test_fills_leaves_and_refuses_results(name: str) -> None:
    fill = getattr(kernels, name)
    parameter = torch.nn.Parameter(torch.zeros(4, 3))
    assert fill(parameter, seed=0, name="w").requires_grad
    expected = parameter.detach().clone()
    fill(parameter[:2], seed=1, name="w")
    assert not torch.equal(parameter[:2], expected[:2])
    assert torch.equal(parameter[2:], expected[2:])
    for result in (parameter * 2, (parameter * 2)[:2]):
        with pytest.raises(RuntimeError, match="detach.*no_grad"):
            fill(result, seed=0, name="w")
        with torch.no_grad():
            fill(result, seed=0, name="w")
        assert torch.equal(result, expected[: len(result)])


@pytest.mark.parametrize("name", ("linear", "mlp_block", "attention_block"))
def test_out_refuses_gradients(name: str) -> None:
    shapes = {"linear": ((3, 5), (4, 5), (4,)), "mlp_block": ((3, 4), (8, 4), (8,), (4, 8), (4,))}
    shapes["attention_block"] = ((2, 5, 4), (12, 4), (12,), (4, 4), (4,))
    given = [torch.randn(shape, requires_grad=True) for shape in shapes[name]]
    options = {"num_heads": 2} if name == "attention_block" else {}
    out = torch.empty((3, 4) if name != "attention_block" else (2, 5, 4))
    with pytest.raises(RuntimeError, match="out.*gradients are recorded.*no_grad"):
        getattr(kernels, name)(*given, out=out, **options)
