"""Which candidates are trained: the picks that a user might make, and others unlike them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast.pipeline.baseline import described_deit_like
from tvtfast.scoring import Calibration, ScoreTable
from tvtfast.scoring.ranking import rank_population
from tvtfast.spaces import METRICS, ModelOptions, Space

DEFAULT, PARAMS, SCORE = "default", "params", "score"
DIVERSE, PROPOSED = "diverse", "proposed"
_GOOD = 0.5
"""Share of the candidates, the best by score, that diverse ones are taken from."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finalist:
    """A candidate of a tournament.

    Args:
        name: Of its folder.
        roles: Why it takes part: ``default``, the DeiT-like ViT; ``params``, the most parameters;
            ``score``, the best score; the name of a proxy, the best by it; ``diverse``, unlike
            those; ``proposed``, by what the first rung told.
        described: Space, architecture and all it takes to build it, in the form of a search's
            ``best.json``.
        row: Of the table; ``None`` for a default that the table does not have.
    """

    name: str
    roles: tuple[str, ...]
    described: Mapping[str, Any]
    row: int | None

    @property
    def params(self) -> int:
        """Parameters."""
        return int(self.described["params"])

    @property
    def flops(self) -> int:
        """Floating-point operations of one image, two per multiply-add."""
        return int(self.described["flops"])

    @property
    def compared(self) -> bool:
        """Whether it is a pick that the winner is held against."""
        return bool(set(self.roles) - {DIVERSE, PROPOSED})


@dataclass(frozen=True, eq=False)
class Field:
    """The candidates of a table inside a budget.

    Args:
        table: Their scores.
        space: Their space.
        options: Model options that they were scored with.
        budget: Parameters.
        calibration: What the score is foretold by; ``None`` for the combination of the proxies.
    """

    table: ScoreTable
    space: Space[Any]
    options: ModelOptions
    budget: float
    calibration: Calibration | None = None

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """``[rows]``: within the budget and the constraints of the table."""
        within = self.table[PARAMS] <= self.budget
        return np.asarray(within & (self.table.violations == 0).to_numpy())

    @property
    def least(self) -> float:
        """Parameters below which the constraints of the table allow none."""
        low, _ = self.table.constraints.get(PARAMS, (0.0, self.budget))
        return low

    @property
    def score(self) -> Array:
        """``[rows]``, higher is better; NaN outside, and where a proxy has no value."""
        if self.calibration is None:
            # no warning: a tournament trains the pick by the parameter count too
            found = rank_population(self.table).to_numpy("float64", na_value=np.nan)
        else:
            found = self.calibration.predict(self.table)
        return np.where(self.inside, found, np.nan)

    def oriented(self, proxy: str) -> Array:
        """A column with higher as better; NaN outside the budget."""
        sign = 1.0 if self.table.higher_is_better[proxy] else -1.0
        values = sign * self.table[proxy]
        return np.where(self.inside & np.isfinite(values), values, np.nan)

    def find(self, described: Mapping[str, Any]) -> int | None:
        """The row of a candidate; ``None`` where the table does not have it."""
        if described["space"] != self.space.name:
            return None
        arch = self.space.decode(described["arch"])
        return self.table.candidates.index(arch) if arch in self.table.candidates else None

    def finalist(self, number: int, roles: Sequence[str], row: int) -> Finalist:
        """A row of the table as a finalist."""
        arch, options = self.table.candidates[row], asdict(self.options)
        flops = int(self.space.flops(arch, **options))
        described = {
            "space": self.space.name,
            "arch": self.space.to_dict(arch),
            "model_options": options,
            "params": int(self.space.params(arch, **options)),
            "flops": flops,
            "macs": flops // 2,
        }
        return Finalist(_name(number), tuple(roles), _plain(described), row)


def choose_finalists(field: Field, count: int) -> tuple[tuple[Finalist, ...], tuple[str, ...]]:
    """``count`` finalists, and the proxies whose pick found no place.

    First come the default, the largest candidate and the one of the best score; then the best by
    every proxy, in the order of the table. The other places go to candidates unlike all before:
    among the better half by score the one whose closed-form features, standardised, are farthest
    from the nearest finalist (Gonzalez, 1985).

    Raises:
        ValueError: Too few candidates inside the budget.
    """
    score = field.score
    default = described_deit_like(field.budget, **asdict(field.options))
    row = field.find(default)
    places = count if row is not None and np.isfinite(score[row]) else count - 1
    roles: dict[int, list[str]] = {} if row is None or places < count else {row: [DEFAULT]}
    able = int(np.isfinite(score).sum())
    if able < places:
        raise ValueError(
            f"finalists is {count}, and {able} candidates of the table have all scores and at most "
            f"{field.budget:g} parameters; score more, widen the budget, or ask for fewer"
        )
    _take(roles, PARAMS, np.where(field.inside, field.table[PARAMS], np.nan), places, score)
    _take(roles, SCORE, score, places, score)
    proxies = [proxy for proxy in field.table.scored if proxy not in METRICS]
    left_out = [
        proxy for proxy in proxies if not _take(roles, proxy, field.oriented(proxy), places, score)
    ]
    for unlike in _diverse(field, score, list(roles), places):
        roles[unlike] = [DIVERSE]
    first = () if places == count else (Finalist(_name(1), (DEFAULT,), _plain(default), None),)
    others = (
        field.finalist(number, names, chosen)
        for number, (chosen, names) in enumerate(roles.items(), len(first) + 1)
    )
    return (*first, *others), tuple(left_out)


def propose(
    field: Field, calibration: Calibration, taken: Sequence[Finalist], count: int
) -> tuple[Finalist, ...]:
    """Those of the largest expected improvement that take no part yet; fewer where there are not
    as many."""
    rows = {one.row for one in taken}
    foretold = calibration.predict(field.table)
    free = field.inside & np.isfinite(foretold)
    free &= ~np.isin(np.arange(len(field.table)), [row for row in rows if row is not None])
    wanted = min(count, int(free.sum()))
    if not wanted:
        return ()
    windows = {**field.table.constraints, PARAMS: (field.least, field.budget)}
    chosen = calibration.next_to_train(field.table, wanted, windows)
    fresh = [row for row in chosen if free[row]]
    first = len(taken) + 1
    return tuple(field.finalist(first + place, (PROPOSED,), row) for place, row in enumerate(fresh))


def _take(roles: dict[int, list[str]], role: str, values: Array, most: int, score: Array) -> bool:
    """Give the best row a role; of equals the one of the better score. False without a place."""
    able = np.flatnonzero(np.isfinite(values) & np.isfinite(score))
    if not len(able):
        return False
    best = int(able[np.lexsort([-score[able], -values[able]])[0]])
    if best not in roles and len(roles) >= most:
        return False
    roles.setdefault(best, []).append(role)
    return True


def _diverse(field: Field, score: Array, taken: Sequence[int], most: int) -> list[int]:
    """Rows that fill the places, each the farthest from all before it."""
    able = np.flatnonzero(np.isfinite(score))
    ordered = able[np.argsort(-score[able], kind="stable")]
    good = ordered[: max(int(np.ceil(_GOOD * len(ordered))), most)]
    features = field.table.features.to_numpy("float64")
    features = np.column_stack([features, np.log(field.table[PARAMS])])
    spread = features[able].std(axis=0)
    places = (features - features[able].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found: list[int] = []
    near = np.full(len(good), np.inf)
    for row in taken:
        near = np.minimum(near, np.linalg.norm(places[good] - places[row], axis=1))
    near[np.isin(good, taken)] = -1.0
    while len(taken) + len(found) < most:
        farthest = int(np.argmax(near))
        row = int(good[farthest])
        found.append(row)
        near = np.minimum(near, np.linalg.norm(places[good] - places[row], axis=1))
        near[farthest] = -1.0
    return found


def _name(number: int) -> str:
    return f"finalist-{number:02d}"


def _plain(described: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON knows it, which has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain
