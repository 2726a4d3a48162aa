"""Numbers as a reader wants them: three or four significant digits, units, no false precision."""

from __future__ import annotations

import math

MISSING = "–"
_NBSP = "\N{NO-BREAK SPACE}"
_PREFIXES = ("", "K", "M", "G", "T", "P")


def count(value: float) -> str:
    """Parameters or FLOPs to three significant digits: ``850``, ``6.10 M``, ``1.32 G``."""
    if not math.isfinite(value):
        return MISSING
    if abs(value) < 999.5:
        return f"{value:.3g}"
    rounded, power = float(f"{value:.3g}"), 0
    while abs(rounded) >= 1000 and power < len(_PREFIXES) - 1:
        rounded, power = rounded / 1000, power + 1
    return f"{_digits(rounded, 3)}{_NBSP}{_PREFIXES[power]}"


def axis_name(column: str) -> str:
    """What a column is called on an axis: its name, and of FLOPs the unit."""
    return {"flops": "FLOPs, two per multiply-add", "macs": "MACs"}.get(column, column)


def number(value: float) -> str:
    """A score to four significant digits; a dash where it is not finite."""
    return _digits(value, 4) if math.isfinite(value) else MISSING


def correlation(value: float) -> str:
    """A coefficient to two decimals with a typographic minus; a dash where it is undefined."""
    if not math.isfinite(value):
        return MISSING
    # adding zero turns a rounded -0.0 into 0.0
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """An accuracy to one decimal; a dash where it is not known."""
    return f"{value:.1f}{_NBSP}%" if math.isfinite(value) else MISSING


def duration(seconds: float) -> str:
    """``42 ms``, ``12.3 s``, ``3 min 05 s`` or ``2 h 07 min``; a dash where it is not known."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g}{_NBSP}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}{_NBSP}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{_NBSP}min {whole % 60:02d}{_NBSP}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{_NBSP}h {minutes % 60:02d}{_NBSP}min"


def _digits(value: float, significant: int) -> str:
    # trailing zeros are kept, so that the columns of a table line up
    return f"{value:#.{significant}g}".removesuffix(".")


def rate(items: int, seconds: float) -> str:
    """Items per second to three significant digits; a dash where no time was measured."""
    if seconds <= 0:
        return MISSING
    per_second = items / seconds
    return _digits(per_second, 3) if per_second < 999.5 else count(per_second)


def candidates(n: int) -> str:
    """``1 candidate`` or ``5,000 candidates``."""
    return f"{n:,} candidate" if n == 1 else f"{n:,} candidates"
