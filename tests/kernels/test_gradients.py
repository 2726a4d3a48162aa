"""Nothing of tvtfast.kernels detaches in silence: what asks for a gradient gets it, or an error."""

from __future__ import annotations

import types

import pytest
import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.kernels import dispatch
from tvtfast.kernels.dispatch import OPERATORS

from .functions import FUNCTIONS, IN_PLACE, TABLES, filled, ramp, tensors

NO_DERIVATIVE = "has no derivative.*tvtfast.kernels.*detach.*no_grad"


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
