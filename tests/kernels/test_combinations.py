"""Every public function inside what a training is made of: it works, or refuses aloud."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tvtfast import kernels

from .functions import FUNCTIONS, PAGE, REFUSED, ramp, tensors, with_table

Flat = Callable[..., list[Tensor]]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""fp32 sums of these few terms in another order; half precision would be 1e-2 off."""


def arguments(name: str, dtype: torch.dtype = torch.float32) -> tuple[Flat, list[Tensor]]:
    """The function with its results as a list, and arguments."""
    function, given = FUNCTIONS[name]
    return lambda *xs: tensors(function(*xs)), [x.to(dtype) for x in given()]


def weighed(results: list[Tensor]) -> Tensor:
    return torch.stack([(ramp(result) * result).sum() for result in results]).sum()


def gradients(function: Flat, given: list[Tensor]) -> list[Tensor]:
    xs = [x.clone().requires_grad_() for x in given]
    return list(torch.autograd.grad(weighed(function(*xs)), xs))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_autocast_changes_nothing(name: str) -> None:
    function, xs = arguments(name)

    def inside(*given: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return function(*given)

    torch.testing.assert_close(inside(*xs), function(*xs), **CLOSE)
    torch.testing.assert_close(gradients(inside, xs), gradients(function, xs), **CLOSE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap(name: str) -> None:
    function, xs = arguments(name, torch.float64)
    stacks = [torch.stack([x, 0.5 * x + 0.1]) for x in xs]
    actual = torch.vmap(lambda *given: tuple(function(*given)))(*stacks)
    singly = [function(*(stack[i] for stack in stacks)) for i in range(2)]
    expected = [torch.stack(pair) for pair in zip(*singly, strict=True)]
    torch.testing.assert_close(list(actual), expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_mode(name: str) -> None:
    """``<u, J t> = <J^T u, t>``, with ``J^T u`` of backward."""
    function, xs = arguments(name, torch.float64)
    changes = [torch.randn_like(x) for x in xs]
    _, moved = torch.func.jvp(lambda *given: tuple(function(*given)), tuple(xs), tuple(changes))
    backward = zip(gradients(function, xs), changes, strict=True)
    pulled = sum((gradient * change).sum() for gradient, change in backward)
    torch.testing.assert_close(weighed(list(moved)), pulled)
    assert pulled != 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_gradient(name: str) -> None:
    function, xs = arguments(name, torch.float64)
    recorded = [x.clone().requires_grad_() for x in xs]

    def second() -> list[Tensor]:
        first = torch.autograd.grad(weighed(function(*recorded)), recorded, create_graph=True)
        return list(torch.autograd.grad(weighed(list(first)), recorded, materialize_grads=True))

    if (name, "second") in REFUSED:
        with pytest.raises(RuntimeError, match=REFUSED[name, "second"]):
            second()
        return
    places = tuple(range(len(xs)))
    first = torch.func.grad(lambda *given: weighed(function(*given)), argnums=places)
    expected = torch.func.grad(lambda *given: weighed(list(first(*given))), argnums=places)(*xs)
    torch.testing.assert_close(second(), list(expected))


class Every(nn.Module):
    """All functions, or some, one behind the other."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.functions = [(FUNCTIONS[name][0], len(FUNCTIONS[name][1]())) for name in names]

    def forward(self, *given: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        start = 0
        for function, count in self.functions:
            found += tensors(function(*given[start : start + count]))
            start += count
        return found


def groups(first: list[str]) -> list[Any]:
    """Some at once, which is faster, and all by themselves."""
    singly = (pytest.param([name], id=name, marks=pytest.mark.slow) for name in FUNCTIONS)
    return [pytest.param(first, id="several"), *singly]


PLAIN = ["attention_block", "attention_jvp", "layer_norm", "linear"]
PLAIN += ["mlp_block", "packed_attention"]
"""Functions whose operators have no derivative."""


@pytest.mark.parametrize("names", groups(PLAIN))
def test_compile_in_one_graph(names: list[str]) -> None:
    """Forward and backward; one operator of its own is one node, whatever serves it."""
    torch._dynamo.reset()
    module = Every(names)
    xs = [x for name in names for x in arguments(name)[1]]
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(gradients(compiled, xs), gradients(module, xs), **CLOSE)


@pytest.mark.parametrize("names", groups([*FUNCTIONS]))
def test_export(names: list[str]) -> None:
    module = Every(names)
    xs = [x for name in names for x in arguments(name)[1]]
    with torch.no_grad():
        program = torch.export.export(module, tuple(xs))
    torch.testing.assert_close(program.module()(*xs), module(*xs), **CLOSE)
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("tvtfast" in target for target in called)


def test_a_named_backend_is_obeyed_where_gradients_are_compiled() -> None:
    """Functions without a derivative take the reference there; a context that names another
    backend is seen, though compilers read no context variable."""
    x = torch.randn(3, 5, requires_grad=True)
    compiled = torch.compile(kernels.layer_norm, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), kernels.layer_norm(x))
    for make in (lambda: compiled(x), lambda: kernels.layer_norm(x)):
        with kernels.use_backend("native"), pytest.raises(Exception, match="'native' cannot serve"):
            make()
        with kernels.use_backend("reference"):
            torch.testing.assert_close(make(), kernels.layer_norm(x))


def test_norms_of_nothing_have_no_derivative_under_transforms() -> None:
    """As backward has it: 0 where a slice is empty or all zero, in both modes."""
    weight, sizes = torch.zeros(3, 4), [(0, 2), (2, 2), (3, 4)]
    weight[2, 3] = 2.0
    change = torch.randn(3, 4)
    _, moved = torch.func.jvp(lambda w: kernels.slice_norms(w, sizes), (weight,), (change,))
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.0, change[2, 3].item()]))
    pulled = torch.func.grad(lambda w: kernels.slice_norms(w, sizes).sum())(weight)
    torch.testing.assert_close(pulled, (weight != 0).float())


def blocks() -> list[Any]:
    if not PAGE.exists():
        return []
    found = re.findall(r"## (.*?)\n.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [pytest.param(code, id=title) for title, code in found]


@pytest.mark.parametrize("code", blocks())
def test_the_page_runs(code: str) -> None:
    """Each example by itself; its loss reaches what it trains."""
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["loss"].isfinite()
    parameters = [*names["student"].parameters()]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in parameters)


def test_the_page_has_the_table() -> None:
    if not PAGE.exists():
        pytest.skip(f"{PAGE} does not lie beside the tests")
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run: python tests/kernels/functions.py"
    assert len(blocks()) >= 4
