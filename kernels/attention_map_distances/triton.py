"""Distances of features that differ in width in Triton."""

from __future__ import annotations

from ..backend import triton
from ..backend.capture import copy_reasons
from ..features.reasons import extent_reasons
from ..layout import differences, tensor_kinds
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve these features, or not with this teacher map."""
    xs, teacher, size = call
    found = (reason for x in tensor_kinds(xs) for reason in triton.tensor_reasons("a tensor", x))
    declined = (*triton.missing(), *found, *differences(xs, teacher), *extent_reasons(xs[0], size))
    return declined or copy_reasons(xs[0].device, "backend 'cuda'")


run = triton.launcher(__package__, "distances")
