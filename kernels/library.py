"""Registration of operators with PyTorch; no other file registers any.

Every operator is ``tvtfast::<name>`` with the schema of its definition, one kernel for all devices
that hands real tensors to :mod:`.dispatch`, and a fake that gives shapes, dtypes and strides to the
compiler.
"""

from __future__ import annotations

from typing import Any

import torch

from . import dispatch
from .definition import Derivative, Operator

NAMESPACE = "tvtfast"

_library = torch.library.Library(NAMESPACE, "DEF")


def register(operator: Operator) -> None:
    """Make ``torch.ops.tvtfast.<name>`` of an operator that :mod:`.dispatch` knows."""
    name = operator.name

    def kernel(*arguments: Any, backend: str | None = None) -> Any:
        return dispatch.run(name, operator.call(*arguments), backend)

    def fake(*arguments: Any, backend: str | None = None) -> Any:
        return operator.fake(operator.arguments(*arguments))

    _library.define(operator.schema)
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    if operator.derivative is None:
        _refuse_gradients(operator)
    else:
        _register_derivative(operator, operator.derivative)


def _refuse_gradients(operator: Operator) -> None:
    """Raise where gradients are recorded: results would have no history, without a word."""
    overload = getattr(getattr(torch.ops, NAMESPACE), operator.name).default

    def kernel(keys: torch._C.DispatchKeySet, *arguments: Any, backend: str | None = None) -> Any:
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*arguments):
            raise RuntimeError(
                f"{NAMESPACE}::{operator.name} has no derivative, and gradients of an argument are"
                " recorded; call the function of tvtfast.kernels that uses it, detach its"
                " arguments, or use torch.no_grad()"
            )
        below = keys & torch._C._after_autograd_keyset
        with torch._C._AutoDispatchBelowAutograd():
            return overload.redispatch(below, *arguments, backend=backend)

    _library.impl(operator.name, kernel, "Autograd", with_keyset=True)


def _register_derivative(operator: Operator, derivative: Derivative) -> None:
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Any
    ) -> None:
        call = operator.arguments(*inputs)
        derivative.setup_context(ctx, call, keyword_only_inputs["backend"], output)

    torch.library.register_autograd(
        f"{NAMESPACE}::{operator.name}",
        derivative.backward,
        setup_context=setup_context,
        lib=_library,
    )
