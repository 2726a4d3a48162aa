"""From the cells of a population to its table: means over weight draws, combined columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tvtfast.proxies import CombinedProxy, DerivedProxy, Proxy, macs_of
from tvtfast.scoring.candidates import ArchCandidate, Candidate, features_of, outside_notes
from tvtfast.scoring.cells import STATUSES, Cell, value_of
from tvtfast.scoring.constraints import violations
from tvtfast.scoring.derived import derive
from tvtfast.scoring.identity import determined_by
from tvtfast.scoring.ledger import DEFERRED, Ledger
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.ranking import ADVICE, combine, incomparable
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.table import Frames, ScoreTable, integer_columns
from tvtfast.spaces import describe_windows

if TYPE_CHECKING:
    import pandas as pd

_SEVERITY = {"ok": 0, "partial": 1} | dict.fromkeys(STATUSES[2:], 2)

Count = Callable[[Candidate, Proxy], Cell]
"""Computes a score that was put off."""

Make = Callable[["pd.DataFrame"], npt.ArrayLike]
"""Makes a column of the columns of its parts."""


def tabulate(
    ledger: Ledger,
    setup: Setup,
    count: Count,
    race: RaceSummary | None = None,
    reference: ScoreTable | None = None,
) -> ScoreTable:
    """One row per candidate, one column per proxy.

    Args:
        ledger: The cells, all known but those that are put off.
        setup: What they were scored with; a value outside a window of its constraints is marked as
            ``infeasible``.
        count: Computes what is put off, when the table is looked at.
        race: What a race spent, if there was one.
        reference: Scores that combined ones are relative to, with their parts as columns; without
            it they are relative to the population, and those of one in which no candidate can be
            told from another have no value.
    """
    columns = _with_macs({proxy.name: _Column(ledger, proxy, count) for proxy in setup.single})
    higher = {proxy.name: proxy.higher_is_better for proxy in setup.single}
    directions = {name: higher.get(name, True) for name in columns}
    directions |= {proxy.name: proxy.higher_is_better for proxy in setup.combined}
    return ScoreTable.when_asked(
        partial(_frames, ledger.population, columns, setup, reference),
        {name: column.values for name, column in columns.items()},
        candidates=[candidate.source for candidate in ledger.population],
        higher_is_better=directions,
        scored=setup.scored,
        race=race,
        constraints=setup.constraints,
        fallbacks=ledger.fallbacks,
        notes=outside_notes(ledger.population),
        reference=reference,
        determined_by=determined_by(setup),
        features=partial(features_of, ledger.population),
        fitted_on={
            proxy.name: proxy.fitted_on
            for proxy in setup.combined
            if isinstance(proxy, DerivedProxy)
        },
        space=_drawn_in(ledger, setup),
    )


def _drawn_in(ledger: Ledger, setup: Setup) -> str | None:
    """See `ScoreTable.space`."""
    drawn = setup.weights is None and all(
        isinstance(candidate, ArchCandidate) for candidate in ledger.population
    )
    return setup.space.name if drawn and setup.space is not None else None


class _Column:
    """The cells of one proxy, means over weight draws.

    Args:
        ledger: The cells.
        proxy: The proxy.
        count: Computes what is put off.
    """

    def __init__(self, ledger: Ledger, proxy: Proxy, count: Count) -> None:
        self._draws = ledger.cells(proxy)
        self._seconds = ledger.seconds_of_values(proxy)
        self._put_off = [
            (row, partial(count, ledger.population[row], proxy))
            for row, cell in enumerate(self._draws[0])
            if cell is DEFERRED
        ]

    def cells(self) -> Sequence[Cell | float]:
        """One per candidate; a number is a cell with status ``ok``."""
        first = self._draws[0]
        while self._put_off:
            row, count = self._put_off.pop()
            first[row] = count()
        if len(self._draws) == 1:
            return first
        return [_merge(cells) for cells in zip(*self._draws, strict=True)]

    def values(self) -> list[float]:
        """One per candidate, NaN where there is none."""
        return [value_of(cell) + 0.0 for cell in self.cells()]  # as a mean, never -0.0

    def seconds(self) -> float:
        """What a candidate took in the mean, over all weight draws; NaN where that is not known."""
        draws = zip(self._draws, self._seconds, strict=True)
        took = [
            cell.seconds if isinstance(cell, Cell) else of_values
            for cells, of_values in draws
            for cell in cells
        ]
        return math.fsum(took) / len(self._draws[0])

    def draws(self) -> npt.NDArray[np.float64] | None:
        """Values of every weight draw ``[draws, n]``, where there are several."""
        if len(self._draws) == 1:
            return None
        return np.array([[value_of(cell) for cell in cells] for cells in self._draws])

    def deviations(self) -> list[float] | None:
        """Of the weight draws, where there are several."""
        if len(self._draws) == 1:
            return None
        return [_deviation(cells) for cells in zip(*self._draws, strict=True)]


class _Macs:
    """Multiply-adds from the cells of FLOPs.

    Args:
        flops: Their column.
    """

    def __init__(self, flops: _Column) -> None:
        self._flops = flops

    def cells(self) -> Sequence[Cell | float]:
        """One per candidate, with the status and reason of its FLOPs."""
        return [
            cell._replace(value=macs_of(cell.value)) if isinstance(cell, Cell) else macs_of(cell)
            for cell in self._flops.cells()
        ]

    def values(self) -> list[float]:
        """One per candidate, NaN where there is none."""
        return [macs_of(value) for value in self._flops.values()]

    def seconds(self) -> float:
        """What counting the FLOPs took."""
        return self._flops.seconds()

    def draws(self) -> None:
        """A count has none."""

    def deviations(self) -> None:
        """A count has none."""


def _with_macs(columns: dict[str, _Column]) -> dict[str, _Column | _Macs]:
    """The columns with ``macs`` beside ``flops``: derived, where nobody asked for their score."""
    macs = columns.get("macs") or _Macs(columns["flops"])
    ordered: dict[str, _Column | _Macs] = {}
    for name, column in columns.items():
        ordered[name] = column
        if name == "flops":
            ordered["macs"] = macs
    return ordered


def _frames(
    population: Sequence[Candidate],
    columns: Mapping[str, _Column | _Macs],
    setup: Setup,
    reference: ScoreTable | None,
) -> Frames:
    """All that the table knows of its cells."""
    import pandas as pd

    values: dict[str, list[str] | list[float]] = {
        "arch": [candidate.label for candidate in population]
    }
    status: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    draws: dict[str, npt.NDArray[np.float64]] = {}
    seconds: dict[str, float] = {}
    for name, column in columns.items():
        cells = column.cells()
        values[name] = column.values()
        status[name] = [cell.status if isinstance(cell, Cell) else "ok" for cell in cells]
        reasons[name] = [cell.reason if isinstance(cell, Cell) else "" for cell in cells]
        deviations = column.deviations()
        if deviations is not None:
            values[f"{name}_std"] = deviations
        drawn = column.draws()
        if drawn is not None:
            draws[name] = drawn
        seconds[name] = column.seconds()
    frame = pd.DataFrame(values)
    directions = {proxy.name: proxy.higher_is_better for proxy in setup.single}
    for combination in setup.combined:
        _take_statuses(combination, status, reasons)
        parts = list(combination.parts)
        if isinstance(combination, DerivedProxy):
            features = features_of(population)
            derive(combination, frame, features, status, reasons)
            make: Make = partial(_derived, combination, features)
        else:
            others = None if reference is None else reference.to_pandas()[parts].astype("float64")
            make = _combine(combination, frame, status, reasons, directions, others)
        if any(part in draws for part in parts):
            draws[combination.name] = _of_every_draw(frame[parts], draws, make)
        seconds[combination.name] = math.fsum(seconds[part] for part in combination.parts)
    for name, bounds in setup.constraints.items():
        window = {name: bounds}
        for row, distance in enumerate(violations(frame, window)):
            if distance > 0 and status[name][row] == "ok":
                status[name][row] = "infeasible"
                reasons[name][row] = f"{frame[name][row]:g} and not {describe_windows(window)}"
    values_of = integer_columns(frame)
    return Frames(values_of, pd.DataFrame(status), pd.DataFrame(reasons), draws, seconds)


def _combine(
    combination: CombinedProxy,
    frame: pd.DataFrame,
    status: dict[str, list[str]],
    reasons: dict[str, list[str]],
    directions: dict[str, bool],
    others: pd.DataFrame | None,
) -> Make:
    """Add the values of a combination, and why there are none; how it is made of its parts."""
    import pandas as pd

    name, parts = combination.name, list(combination.parts)
    estimated = pd.DataFrame({part: status[part] for part in parts}) == "partial"

    def make(values: pd.DataFrame) -> pd.Series[float]:
        return combine(values, directions, combination.method, estimated, others)

    scaled = make(frame[parts])
    why = incomparable(frame[parts], others)
    if why is not None:
        scaled[:] = math.nan
    frame[name] = scaled
    if why is not None:
        reason = f"{' and '.join(parts)} cannot be combined: {why}; {ADVICE}"
        for row, found in enumerate(status[name]):
            if found in ("ok", "partial"):
                status[name][row], reasons[name][row] = "unsupported", reason
    return make


def _derived(
    proxy: DerivedProxy, features: pd.DataFrame, values: pd.DataFrame
) -> npt.NDArray[np.float64]:
    return proxy.derive({part: values[part].to_numpy("float64") for part in proxy.parts}, features)


def _take_statuses(
    combination: CombinedProxy, status: dict[str, list[str]], reasons: dict[str, list[str]]
) -> None:
    """Give a combination the worst status of its parts, and all their reasons."""
    parts = combination.parts
    status[combination.name] = [
        max(of_parts, key=STATUSES.index)
        for of_parts in zip(*(status[part] for part in parts), strict=True)
    ]
    reasons[combination.name] = [
        "; ".join(
            f"{part}: {reason}" for part, reason in zip(parts, of_parts, strict=True) if reason
        )
        for of_parts in zip(*(reasons[part] for part in parts), strict=True)
    ]


def _of_every_draw(
    parts: pd.DataFrame,
    draws: Mapping[str, npt.NDArray[np.float64]],
    make: Make,
) -> npt.NDArray[np.float64]:
    """What is made of some columns, of every weight draw ``[draws, n]``; columns that do not depend
    on it are the same in all."""
    drawn = {str(part): draws[str(part)] for part in parts if part in draws}
    number = len(next(iter(drawn.values())))
    found = [
        make(parts.assign(**{part: values[draw] for part, values in drawn.items()}))
        for draw in range(number)
    ]
    return np.array(found, dtype=np.float64)


def _merge(cells: Sequence[Cell | float]) -> Cell:
    """Mean over weight draws; the first draw that failed, or is partial, speaks for all."""
    worst = max((cell if isinstance(cell, Cell) else Cell(cell) for cell in cells), key=_severity)
    if _severity(worst) > 1:
        return worst._replace(value=math.nan)
    return worst._replace(value=math.fsum(map(value_of, cells)) / len(cells))


def _severity(cell: Cell) -> int:
    return _SEVERITY[cell.status]


def _deviation(cells: Sequence[Cell | float]) -> float:
    mean = _merge(cells).value
    variance = math.fsum((value_of(cell) - mean) ** 2 for cell in cells) / (len(cells) - 1)
    return math.sqrt(variance)
