"""From the cells of a population to its table: means over weight draws, combined columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvtfast.scoring.cells import STATUSES, Cell
from tvtfast.scoring.constraints import violations
from tvtfast.scoring.identity import determined_by
from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.ranking import ADVICE, combine, incomparable
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.table import ScoreTable, integer_columns
from tvtfast.spaces import describe_windows

_SEVERITY = {"ok": 0, "partial": 1} | dict.fromkeys(STATUSES[2:], 2)


def tabulate(
    ledger: Ledger,
    setup: Setup,
    race: RaceSummary | None,
    reference: ScoreTable | None = None,
) -> ScoreTable:
    """One row per candidate, one column per proxy.

    Args:
        ledger: The cells, all known.
        setup: What they were scored with; a value outside a window of its constraints is marked as
            ``infeasible``.
        race: What a race spent, if there was one.
        reference: Scores that combined ones are relative to, with their parts as columns; without
            it they are relative to the population, and those of one in which no candidate can be
            told from another have no value.
    """
    import pandas as pd

    rows = range(len(ledger.population))
    values: dict[str, list[Any]] = {
        "arch": [candidate.label for candidate in ledger.population],
    }
    status: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for proxy in setup.single:
        draws = [ledger.cells(row, proxy) for row in rows]
        merged = [_merge(cells) for cells in draws]
        values[proxy.name] = [cell.value for cell in merged]
        status[proxy.name] = [cell.status for cell in merged]
        reasons[proxy.name] = [cell.reason for cell in merged]
        if len(draws[0]) > 1:
            values[f"{proxy.name}_std"] = [_deviation(cells) for cells in draws]
    frame = pd.DataFrame(values)
    directions = {proxy.name: proxy.higher_is_better for proxy in setup.single}
    for combination in setup.combined:
        name, parts = combination.name, list(combination.parts)
        estimated = pd.DataFrame({part: status[part] for part in parts}) == "partial"
        others = None if reference is None else reference.to_pandas()[parts].astype("float64")
        scaled = combine(frame[parts], directions, combination.method, estimated, others)
        why = incomparable(frame[parts], others)
        if why is not None:
            scaled[:] = math.nan
        frame[name] = scaled
        status[name] = [max((status[part][i] for part in parts), key=STATUSES.index) for i in rows]
        reasons[name] = [
            "; ".join(f"{part}: {reasons[part][i]}" for part in parts if reasons[part][i])
            for i in rows
        ]
        if why is not None:
            told = f"{' and '.join(parts)} cannot be combined: {why}; {ADVICE}"
            for i in rows:
                if status[name][i] in ("ok", "partial"):
                    status[name][i], reasons[name][i] = "unsupported", told
        directions[name] = combination.higher_is_better
    for name, bounds in setup.constraints.items():
        window = {name: bounds}
        for row, distance in enumerate(violations(frame, window)):
            if distance > 0 and status[name][row] == "ok":
                status[name][row] = "infeasible"
                reasons[name][row] = f"{frame[name][row]:g} and not {describe_windows(window)}"
    return ScoreTable(
        integer_columns(frame),
        pd.DataFrame(status),
        pd.DataFrame(reasons),
        candidates=[candidate.source for candidate in ledger.population],
        higher_is_better=directions,
        scored=setup.scored,
        race=race,
        constraints=setup.constraints,
        fallbacks=ledger.fallbacks,
        reference=reference,
        determined_by=determined_by(setup),
    )


def _merge(cells: Sequence[Cell]) -> Cell:
    """Mean over weight draws; the first draw that failed, or is partial, speaks for all."""
    worst = max(cells, key=lambda cell: _SEVERITY[cell.status])
    if _SEVERITY[worst.status] > 1:
        return worst._replace(value=math.nan)
    return worst._replace(value=math.fsum(cell.value for cell in cells) / len(cells))


def _deviation(cells: Sequence[Cell]) -> float:
    mean = _merge(cells).value
    variance = math.fsum((cell.value - mean) ** 2 for cell in cells) / (len(cells) - 1)
    return math.sqrt(variance)
