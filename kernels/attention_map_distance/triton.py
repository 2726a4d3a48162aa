"""The distance of attention maps to a teacher in Triton, by the kernels of the maps."""

from __future__ import annotations

from ..attention_map import triton as attention_map
from ..backend import triton
from ..features.reasons import triton_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return triton_reasons(call)


run = triton.launcher(attention_map.__package__, "distance")
