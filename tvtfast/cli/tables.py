"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tvtfast.cli.output import width, wrapped
from tvtfast.spaces import Space

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring import ScoreTable

_UNITS = {"params": (1e6, "M"), "flops": (1e9, "G"), "macs": (1e9, "G")}


def counted(best: Mapping[str, Any]) -> str:
    """Parameters and cost of an architecture, as in ``best.json``."""
    return (
        f"{best['params'] / 1e6:.2f} M parameters, {best['flops'] / 1e9:.3g} GFLOPs "
        f"({best['flops'] / 2e9:.3g} GMACs)"
    )


def candidates_table(
    frame: pd.DataFrame, space: Space[Any] | None, marks: Mapping[int, str] | None = None
) -> str:
    """Rows of a score table with readable counts, and below them the architectures by number.

    Args:
        frame: The rows.
        space: Of architectures.
        marks: By index of the frame what a row is called, where any is.
    """
    import pandas as pd

    shown = pd.DataFrame(index=range(1, len(frame) + 1))
    for column in frame.columns:
        values = frame[column].tolist()
        if column == "arch":
            continue
        if column in _UNITS:
            scale, unit = _UNITS[column]
            shown[column] = ["-" if pd.isna(v) else f"{v / scale:.2f} {unit}" for v in values]
        else:
            shown[column] = ["-" if pd.isna(v) else f"{v:.5g}" for v in values]
    if marks:
        shown["is"] = [marks.get(row, "") for row in frame.index]
    architectures = [
        wrapped(f"{number}  {_readable(arch, space)}", indent="   ")
        for number, arch in enumerate(frame["arch"], start=1)
    ]
    return "\n".join([lines(shown), "", *architectures])


def lines(frame: pd.DataFrame) -> str:
    """A table, in several parts one below the other where its columns are too many."""
    return frame.to_string(line_width=width())


def candidate_rows(
    scored: ScoreTable, scores: pd.Series[float] | None, rows: Iterable[int]
) -> list[dict[str, Any]]:
    """Rows of a score table as plain values: combined score, and per proxy value, status and
    reason."""
    frame = scored.to_pandas()
    return [
        {
            "arch": frame["arch"][row],
            "score": None if scores is None else scores[row],
            "proxies": {
                name: {
                    "value": frame[name][row],
                    "status": scored.status[name][row],
                    "reason": scored.reasons[name][row],
                }
                for name in scored.higher_is_better
            },
        }
        for row in rows
    ]


def _readable(arch: str, space: Space[Any] | None) -> str:
    if space is None or not arch.startswith("{"):
        return arch
    fields = space.to_dict(space.decode(arch))
    return " ".join(f"{name}={_compact(value)}" for name, value in fields.items())


def _compact(value: Any) -> str:
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    entries = [_compact(entry) for entry in value]
    if len(set(entries)) == 1:
        return f"{entries[0]}x{len(entries)}"
    return ("" if all(len(entry) == 1 for entry in entries) else ",").join(entries)
