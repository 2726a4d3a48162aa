"""Values from outside as plain Python numbers, strings, lists and tuples: the door of the spaces.

Search engines hand out numbers and arrays of NumPy, models those of PyTorch, JSON anything.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NoReturn, TypeVar, cast

A = TypeVar("A")

_NESTED = 4
_SHOWN = 80


def plain(value: Any, nested: int = _NESTED) -> Any:
    """A value without numbers and arrays of other libraries (whatever has ``tolist``), inside
    mappings, lists and tuples too; what lies deeper than any architecture is left as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if nested and isinstance(value, Mapping):
        return {key: plain(entry, nested - 1) for key, entry in value.items()}
    if nested and type(value) in (list, tuple):
        return type(value)(plain(entry, nested - 1) for entry in value)
    return value


def plain_fields(arch: A) -> A:
    """A dataclass with `plain` values in its fields, and tuples where there are lists."""
    if not is_dataclass(arch):
        return arch
    values = {name: plain(getattr(arch, name)) for name in _field_names(cast(Hashable, type(arch)))}
    made: Any = type(arch)
    return made(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def types_of(arch: Any) -> tuple[Any, ...]:
    """The types of the values of a dataclass, and of the entries of tuples."""
    found = []
    for name in _field_names(cast(Hashable, type(arch))):
        value = getattr(arch, name)
        kind = type(value)
        found.append(frozenset(map(type, value)) if kind is tuple else kind)
    return tuple(found)


@cache
def _field_names(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def read_json(text: str) -> Any:
    """Parse JSON as its standard has it.

    Raises:
        ValueError: Not JSON, NaN or an infinite number, a number of thousands of digits, or nested
            too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def whole(where: str, decision: str, value: Any) -> int:
    """``value`` as an integer, whatever numeric type it came in.

    Args:
        where: What the message begins with, such as the name of the space.
        decision: Name of the value.
        value: The value.

    Raises:
        ValueError: Text, a truth value, or a number with a fraction or infinite.
    """
    value = plain(value)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != value or isinstance(value, bool):
        raise ValueError(f"{where}: {decision} is {shown(value)}; give an integer")
    return number


def real(where: str, decision: str, value: Any) -> float:
    """``value`` as a float; arguments as in `whole`.

    Raises:
        ValueError: No number, or one that no float is as large as.
    """
    value = plain(value)
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{where}: {decision} is {shown(value)}; give a number")


def shown(value: Any) -> str:
    """A value for a message, of at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
