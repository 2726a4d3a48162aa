"""Numbers and choices that a caller gives, looked at before any work begins.

A message begins with the name of the argument; the command line puts its flag there.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from tvtfast.common.names import did_you_mean

SEEDS = 2**64
"""Seeds are whole numbers below this: keys of `tvtfast.initialize_`."""


def whole(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number, as a plain ``int``; NumPy's are taken, truth values and floats are not.

    Raises:
        ValueError: Anything else, or a number out of range.
    """
    wanted = _wanted("a whole number", least, most)
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; give {wanted}") from None
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        raise ValueError(f"{name} is {value!r}; give {wanted}")
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} is {number}; give {wanted}")
    return number


def seed(value: Any, name: str = "seed", *, draws: int = 1) -> int:
    """A seed, with room for some that follow it.

    Raises:
        ValueError: No whole number in ``[0, 2**64)``.
    """
    number = whole(name, value, least=0)
    if number > SEEDS - draws:
        raise ValueError(f"{name} is {number}; give a whole number from 0 to {SEEDS - draws}")
    return number


def real(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number, as a plain ``float``; truth values and text are none.

    Raises:
        ValueError: Anything else, or a number out of range.
    """
    bounds = {"above": above, "of at least": least, "below": below, "at most": most}
    words = " and ".join(f"{how} {bound:g}" for how, bound in bounds.items() if bound is not None)
    number = _float(value)
    if (
        not math.isfinite(number)
        or (above is not None and number <= above)
        or (least is not None and number < least)
        or (below is not None and number >= below)
        or (most is not None and number > most)
    ):
        raise ValueError(f"{name} is {value!r}; give a number {words}".rstrip())
    return number


def choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """One of some values.

    Raises:
        ValueError: Another one.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        texts = [str(one) for one in allowed]
        raise ValueError(
            f"{name} is {value!r}; allowed: {', '.join(texts)}{did_you_mean(value, texts)}"
        )


def _float(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)) or "bool" in str(getattr(value, "dtype", "")):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _wanted(what: str, least: int | None, most: int | None) -> str:
    if least is None:
        return what if most is None else f"{what} of at most {most}"
    return f"{what} of at least {least}" if most is None else f"{what} from {least} to {most}"
