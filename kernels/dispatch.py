"""Which backend serves a call, and why the others do not.

A backend is asked for by name, in this order of precedence: the ``backend`` argument, the
:func:`use_backend` context, the environment variable ``TVTFAST_BACKEND``; ``auto`` is the default.
The choice is made inside the registered operator, on real tensors, so a compiled graph holds one
operator whichever backend serves it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .backend import DEVICES
from .backend.reference import NAME as REFERENCE
from .backend.reference import reasons as serves_all
from .definition import Device, Operator

AUTO = "auto"
ENVIRONMENT_VARIABLE = "TVTFAST_BACKEND"


class BackendError(RuntimeError):
    """A backend asked for by name cannot serve the call."""


@dataclass(frozen=True)
class Implementation:
    """One operator on one backend.

    Attributes:
        backend: Name of the backend.
        reasons: ``reasons(call)``: why it cannot serve the call; empty where it can. Pure and
            cheap: it reads metadata, never values.
        run: ``run(call)``: the operator itself, for a call without reasons.
        device: Type of the only device ``auto`` tries it on; None for any. Passing over a backend
            this way is much cheaper than gathering its reasons.
    """

    backend: str
    reasons: Callable[[Any], tuple[str, ...]]
    run: Callable[[Any], Any]
    device: str | None = None


OPERATORS: dict[str, Operator] = {}
"""Every registered operator by name."""
IMPLEMENTATIONS: dict[str, tuple[Implementation, ...]] = {}
"""Implementations of every operator, fastest first."""


def add(operator: Operator, folder: str) -> None:
    """Enter an operator and its backends, which are files of the package ``folder``."""
    if operator.name in OPERATORS:
        raise ValueError(f"operator {operator.name!r} is registered already; give it another name")
    entry = tuple(_implementation(operator, backend, folder) for backend in operator.backends)
    OPERATORS[operator.name] = operator
    IMPLEMENTATIONS[operator.name] = entry


def _implementation(operator: Operator, backend: str, folder: str) -> Implementation:
    if backend not in DEVICES:
        raise ValueError(
            f"operator {operator.name!r}: backend {backend!r} is unknown; known are"
            f" {', '.join(DEVICES)}"
        )
    module = importlib.import_module(f"{folder}.{backend}")
    reasons = serves_all if backend == REFERENCE else module.reasons
    return Implementation(backend, reasons, getattr(module, operator.run), DEVICES[backend])


_context: ContextVar[str | None] = ContextVar("tvtfast_backend", default=None)
_entered: tuple[str, ...] = ()
"""Backends of the contexts of all threads: compilers guard it, and read no context variable."""
_lock = threading.Lock()


def backends() -> tuple[str, ...]:
    """Names of all backends."""
    return tuple(DEVICES)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run the operators of this context (thread or task) on one backend.

    Args:
        name: ``auto``, or one of :func:`backends`. A named backend works or raises
            :class:`BackendError`; it is never replaced silently.
    """
    token = _context.set(_known(name, "use_backend"))
    _count(name, 1)
    try:
        yield
    finally:
        _count(name, -1)
        _context.reset(token)


def _count(name: str, change: int) -> None:
    global _entered
    with _lock:
        others = list(_entered)
        others.append(name) if change > 0 else others.remove(name)
        _entered = tuple(others)


def requested(backend: str | None) -> str:
    """The backend asked for by argument, context or environment; ``auto`` where none is."""
    if backend is not None:
        return _known(backend, "backend")
    context = _traced() if torch.compiler.is_compiling() else _context.get()
    if context is not None:
        return context
    return _known(os.environ.get(ENVIRONMENT_VARIABLE, AUTO), ENVIRONMENT_VARIABLE)


def _traced() -> str | None:
    """The backend of a context while a compiler traces; one that was named comes before ``auto``,
    in whichever thread."""
    named = [name for name in _entered if name != AUTO]
    return named[-1] if named else None


def run(operator: str, call: tuple[Any, ...], backend: str | None) -> Any:
    """Run an operator on the fastest backend that can serve it, or on the one asked for by name."""
    return _select(operator, call, backend).run(call)


def serving(operator: str, *arguments: Any) -> str:
    """Name of the backend that serves a call, for callers that prepare it differently.

    Args:
        operator: Name of the operator.
        *arguments: Of its schema, in their order; where results go may be left out.

    Raises:
        BackendError: The backend asked for by name cannot serve the call.
    """
    return _select(operator, OPERATORS[operator].call(*arguments), None).backend


def _select(operator: str, call: tuple[Any, ...], backend: str | None) -> Implementation:
    name = requested(backend)
    device = _device_type(call[0]) if name == AUTO else None
    declined: list[str] = []
    for implementation in IMPLEMENTATIONS[operator]:
        if name == AUTO:
            if implementation.device not in (None, device):
                continue
        elif name != implementation.backend:
            continue
        reasons = implementation.reasons(call)
        if not reasons:
            return implementation
        declined.append(f"backend {implementation.backend!r}: {'; '.join(reasons)}")
    if declined:
        raise BackendError(
            f"tvtfast::{operator} cannot serve this call: {'. '.join(declined)}."
            " Use backend='auto', or change what the reasons name."
        )
    names = ", ".join(repr(i.backend) for i in IMPLEMENTATIONS[operator])
    raise BackendError(
        f"tvtfast::{operator} has no backend {name!r} (it has {names}). Use one of these,"
        " or backend='auto'."
    )


def _device_type(first: Tensor | Sequence[Tensor]) -> str:
    """Device type of the leading argument: a tensor, or tensors that share a device."""
    tensor = first if isinstance(first, Tensor) else next(iter(first))
    return tensor.device.type


@dataclass(frozen=True)
class Explanation:
    """Who serves an operator, and why not somebody faster.

    Attributes:
        operator: Name of the operator.
        device: Where the call was to run.
        backend: The backend ``auto`` takes.
        declined: Faster backends and their reasons.
    """

    operator: str
    device: str
    backend: str
    declined: Mapping[str, tuple[str, ...]]


def explain(operator: str | None = None, *, device: Device = "cpu") -> tuple[Explanation, ...]:
    """Which backend ``auto`` takes for a typical call (`Operator.example`).

    Args:
        operator: Name of one operator; every operator where none is given.
        device: Device of the tensors of the call.
    """
    if operator is not None and operator not in IMPLEMENTATIONS:
        raise ValueError(
            f"operator {operator!r} is unknown; known are {', '.join(sorted(OPERATORS))}"
        )
    return tuple(_explain(name, device) for name in sorted(OPERATORS) if operator in (None, name))


def _explain(operator: str, device: Device) -> Explanation:
    call = OPERATORS[operator].call(*OPERATORS[operator].example(device))
    declined: dict[str, tuple[str, ...]] = {}
    for implementation in IMPLEMENTATIONS[operator]:
        reasons = implementation.reasons(call)
        if not reasons:
            return Explanation(operator, str(device), implementation.backend, declined)
        declined[implementation.backend] = reasons
    raise BackendError(f"no backend serves a typical call of tvtfast::{operator}: {declined}")


_NAMES = (AUTO, *DEVICES)


def _known(name: str, origin: str) -> str:
    if name not in _NAMES:
        close = difflib.get_close_matches(str(name), _NAMES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"{origin}: backend {name!r} is unknown; known are {', '.join(_NAMES)}{hint}"
        )
    return name
