"""Registration of operators with PyTorch; no other file registers any.

Every operator is ``tvtfast::<name>`` with the schema of its definition, one kernel for all devices
that hands real tensors to :mod:`.dispatch`, and a fake that gives shapes, dtypes and strides to the
compiler.
"""

from __future__ import annotations

from typing import Any

import torch

from . import dispatch
from .definition import Operator

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
    if operator.derivative is not None:
        _register_derivative(operator)


def _register_derivative(operator: Operator) -> None:
    derivative = operator.derivative
    assert derivative is not None

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
