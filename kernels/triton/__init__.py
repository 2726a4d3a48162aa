"""Triton on CUDA devices, or on the CPU through Triton's interpreter.

The files of operators import triton, so :mod:`.capability` answers without them whether a call can
be served, and :func:`launcher` imports them on the first call that is.

Every kernel accumulates in fp32 or fp64 and sums in an order fixed by the shapes: no atomics, the
same bits on every run of one device. Launches go to the current stream and synchronise with
nothing; operators that build tables on the host say so.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

NAME = "triton"


@functools.cache
def _load(module: str) -> Any:
    return importlib.import_module(f"{__name__}.{module}")


def launcher(module: str, function: str) -> Callable[..., Any]:
    """``function`` of ``module`` in this folder, imported when it is first called."""

    def launch(*arguments: Any) -> Any:
        return getattr(_load(module), function)(*arguments)

    return launch
