"""The distance of angles between samples in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments

MOST_SAMPLES = 46_340
"""Whose Gram matrix is indexed in 32 bits."""


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    student, teacher = call
    found = triton.tensor_reasons("student", student)
    found += triton.beside_reasons("teacher", teacher, "student", student)
    samples = student.shape[-1]
    if samples > MOST_SAMPLES:
        found += (f"there are {samples} samples (allowed: up to {MOST_SAMPLES})",)
    return triton.missing() + found


run = triton.launcher(__package__, "forward")
