"""What a strategy is told about a population it proposed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload


@dataclass(frozen=True)
class Column:
    """One score of every candidate of a population.

    Args:
        values: In the order of the population; NaN where a candidate has none.
        higher_is_better: Direction.
    """

    values: tuple[float, ...]
    higher_is_better: bool


class Scores(Sequence[float]):
    """Scores of a population.

    As a sequence: the combined score of every candidate, higher is better, NaN where there is none.
    How proxies are combined may depend on all candidates at once (min-max scaling does), so scores
    of different populations do not compare; these are combined over everything proposed so far.

    Args:
        combined: One per candidate of the population.
        columns: By name what was scored, unscaled; ``params`` and ``flops`` are always there.
        archive: Combined scores of everything proposed so far, this population included, on the
            scale of this moment, in the order of first proposal.
        violations: Per candidate of the population how far its scores are outside the windows of
            the search: 0 inside, infinite where one is missing (`tvtfast.scoring.constraints`).
            Who is outside has no combined score. Default: all inside.
    """

    def __init__(
        self,
        combined: Sequence[float],
        columns: Mapping[str, Column],
        archive: Mapping[Any, float],
        violations: Sequence[float] | None = None,
    ) -> None:
        self._combined = tuple(combined)
        self.columns = columns
        self.archive = archive
        self.violations = (0.0,) * len(self._combined) if violations is None else tuple(violations)

    def best(self, k: int) -> list[Any]:
        """The ``k`` best architectures proposed so far, best first; of equal ones the earlier.
        Fewer, where fewer have a score."""
        scored = [arch for arch, score in self.archive.items() if not math.isnan(score)]
        return sorted(scored, key=self.archive.__getitem__, reverse=True)[:k]

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...
    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        return self._combined[index]

    def __len__(self) -> int:
        return len(self._combined)

    def __iter__(self) -> Iterator[float]:
        return iter(self._combined)

    def __repr__(self) -> str:
        return f"Scores({list(self._combined)}, {len(self.archive)} architectures so far)"
