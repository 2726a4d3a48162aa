"""The gradient of attention maps in Triton."""

from __future__ import annotations

from ..backend import triton
from ..features.reasons import triton_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return triton_reasons(call)


run = triton.launcher(__package__, "backward")
