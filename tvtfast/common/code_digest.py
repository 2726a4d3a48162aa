"""A digest of what code does: what results depend on where the code is a caller's own."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_RELIED_ON = frozenset({*sys.stdlib_module_names, "numpy", "timm", "torch", "torchvision"})
"""Packages whose versions are recorded elsewhere."""
_OWN = "tvtfast"
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def code_digest(*roots: Any) -> str:
    """SHA-256 of functions and classes as they are compiled, and of what they use.

    Followed are base classes, methods, default values, closures, and the functions, classes and
    constants that they name in their modules, outside tvtfast and the packages it stands on. A
    module of the caller that is named as a whole counts with its file. Comments, line numbers and
    everything else in a file make no difference; the version of Python does.

    Args:
        roots: Functions, classes, or objects with fields.

    Returns:
        64 hexadecimal digits.
    """
    walk = _Walk()
    for root in roots:
        walk.visit(root)
    return walk.digest.hexdigest()


class _Walk:
    def __init__(self) -> None:
        self.digest = hashlib.sha256(sys.version.encode())
        self._met: dict[int, Any] = {}  # objects too, so that no identity is used twice

    def visit(self, value: Any) -> None:
        """Enter a value, and what it is made of."""
        if isinstance(value, _PLAIN):
            self._enter(repr(value))
            return
        if id(value) in self._met:
            return
        self._met[id(value)] = value
        if isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, (staticmethod, classmethod, MethodType)):
            self.visit(value.__func__)
        elif isinstance(value, property):
            self._all((value.fget, value.fset))
        elif isinstance(value, functools.partial):
            self._all((value.func, value.args, value.keywords))
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        else:
            self._object(value)

    def _enter(self, text: str) -> None:
        self.digest.update(f"{len(text)}:{text}".encode())

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.visit(value)

    def _function(self, function: FunctionType) -> None:
        self._enter(f"{function.__module__}.{function.__qualname__}")
        if not _is_followed(function.__module__):
            return
        self.visit(function.__code__)
        self._all((function.__defaults__, function.__kwdefaults__))
        self._all(cell.cell_contents for cell in function.__closure__ or () if _is_set(cell))
        for name in sorted(set(_names(function.__code__))):
            if name in function.__globals__:
                self._enter(name)
                self.visit(function.__globals__[name])

    def _class(self, kind: type) -> None:
        self._enter(f"{kind.__module__}.{kind.__qualname__}")
        if not _is_followed(kind.__module__):
            return
        self._all(kind.__bases__)
        for name, value in vars(kind).items():
            if not (name.startswith("__") and isinstance(value, (str, int, tuple, dict))):
                self._enter(name)
                self.visit(value)

    def _code(self, code: CodeType) -> None:
        self._enter(code.co_code.hex())
        self._all((code.co_names, code.co_varnames, code.co_freevars, code.co_consts))

    def _module(self, module: ModuleType) -> None:
        self._enter(module.__name__)
        file = getattr(module, "__file__", None)
        if file is not None and _is_followed(module.__name__):
            self.digest.update(Path(file).read_bytes())

    def _object(self, value: Any) -> None:
        self._enter(type(value).__qualname__)
        if isinstance(value, (tuple, list)):
            self._all(value)
        elif isinstance(value, (set, frozenset)):
            self._enter(repr(sorted(map(repr, value))))
        elif isinstance(value, dict):
            for key, one in value.items():
                self.visit(key)
                self.visit(one)
        elif is_dataclass(value):
            self._all(getattr(value, field.name) for field in fields(value))


def _is_followed(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top != _OWN and top not in _RELIED_ON


def _names(code: CodeType) -> Iterator[str]:
    """Names that a function and those inside it look up."""
    yield from code.co_names
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one)


def _is_set(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
