"""Inner products of rows in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    x, y, _ = call
    found = triton.missing() + triton.tensor_reasons("x", x)
    return found if y is None else found + triton.beside_reasons("y", y, "x", x)


run = triton.launcher(__package__, "forward")
