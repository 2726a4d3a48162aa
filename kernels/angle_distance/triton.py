"""The distance of angles between samples in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    student, teacher = call
    found = triton.tensor_reasons("student", student)
    found += triton.beside_reasons("teacher", teacher, "student", student)
    return triton.missing() + found


run = triton.launcher(__package__, "forward")
