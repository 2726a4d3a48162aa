"""Scoring by several workers: candidates that begin alike go to one of them.

What a unit is depends on the population alone: not on how many workers there are, nor on what they
are at. Scores that are sums over layers cost nothing, and are computed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from tvtfast.population.parts import parts
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.scoring.candidates import ArchCandidate, Candidate
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.context import ImagesUnit, Scored, ScoreUnit, ScoringContext
from tvtfast.scoring.evaluator import Evaluator
from tvtfast.scoring.executors import Executor
from tvtfast.scoring.failures import ScoringError
from tvtfast.scoring.joint import PerImage, joint_candidates
from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.setup import Setup

_UNITS = 64
"""Of a small population; that of a large one are smaller than a share of it."""
_FLOPS = {"cpu": 1e12, "cuda": 1e15}
"""Of a unit at most: some seconds of a core, or of a GPU."""


@dataclass(frozen=True)
class Distribution:
    """Scores populations by workers.

    Args:
        executor: Who runs units.
        context: What is sent to its workers.
        evaluator: Computes what is not worth sending.
    """

    executor: Executor
    context: ScoringContext
    evaluator: Evaluator

    def fill(self, ledger: Ledger) -> None:
        """Compute and enter what is missing, as soon as it arrives.

        The candidates of a unit that ended two workers are tried one by one; one that ends two by
        itself has status ``error``.

        Raises:
            ExecutorError: No worker begins, or something cannot be sent to them.
            ScoringError: ``on_error`` is ``raise``, and a candidate ended its workers.
            Exception: What `Evaluator` raises in a worker.
        """
        setup = self.context.setup
        if not setup.conditions.paper:
            sums = [proxy for proxy in setup.single if proxy.per_step is not None]
            self.evaluator.score_jointly(ledger, sums)
        groups = self._groups(ledger.population, ledger.open_rows())
        lost = self._score(ledger, groups, last=False)
        self._score(ledger, [[row] for row in lost], last=True)

    def joint(self, population: Sequence[Candidate], seed: int) -> SpreadImages:
        """Scores of single images of a population with the weights of one draw."""
        return SpreadImages(self.executor, self.context, population, seed)

    def _groups(self, population: Sequence[Candidate], rows: Sequence[int]) -> list[list[int]]:
        """The candidates of every unit, largest first."""
        setup = self.context.setup
        able = joint_candidates([population[row] for row in rows], setup.weights)
        together = [rows[place] for place in able]
        groups = _subtrees(setup, population, together, _image_count(setup))
        alone = set(rows).difference(together)
        largest_first = sorted(alone, key=lambda row: (-_flops(population[row]), row))
        return [*groups, *([row] for row in largest_first)]

    def _score(
        self,
        ledger: Ledger,
        groups: Sequence[Sequence[int]],
        *,
        last: bool,
    ) -> list[int]:
        """Score groups of candidates; returns those of lost units, which have status ``error``
        where they are the ``last`` to be tried."""
        columns = ledger.open_columns()
        units = [_unit(ledger.population, columns, rows) for rows in groups]
        proxies = {proxy.name: proxy for proxy in self.context.setup.single}
        lost: list[int] = []
        with closing(self.executor.batches(self.context, units)) as batches:
            for outcomes in batches:
                ledger.put(
                    ((groups[outcome.unit][place], proxies[name], seed), cell)
                    for outcome in outcomes
                    if not outcome.lost
                    for place, name, seed, cell in outcome.result.cells
                )
                for outcome in outcomes:
                    rows = groups[outcome.unit]
                    if not outcome.lost:
                        scored: Scored = outcome.result
                        for fallback in scored.fallbacks:
                            ledger.repeat(fallback)
                    elif last or len(rows) == 1:
                        self._give_up(ledger, rows, outcome.lost)
                    else:
                        lost += rows
        return lost

    def _give_up(self, ledger: Ledger, rows: Sequence[int], how: str) -> None:
        reason = f"it ended two workers: {how}"
        if self.context.on_error == "raise":
            raise ScoringError(f"{ledger.population[rows[0]].label}: {reason}")
        given_up = list(ledger.missing(rows))
        ledger.put((task, Cell(math.nan, "error", reason)) for task in given_up)


@dataclass(frozen=True)
class SpreadImages:
    """Scores of single images with one weight draw, by workers.

    Args:
        executor: Who runs units.
        context: What is sent to its workers.
        population: Candidates that can be computed together.
        seed: Of the weights.
    """

    executor: Executor
    context: ScoringContext
    population: Sequence[Candidate]
    seed: int

    def per_image(
        self, proxies: Sequence[Proxy], rows: Sequence[int], images: Sequence[int]
    ) -> Iterator[tuple[tuple[tuple[int, ...], ...], PerImage]]:
        """See `tvtfast.scoring.joint.JointScorer.per_image`.

        Raises:
            UndefinedScoreError: Some candidates ended two workers.
        """
        names = [proxy.name for proxy in proxies]
        groups = _subtrees(self.context.setup, self.population, rows, len(images))
        units = [
            ImagesUnit([self.population[row].label for row in group], names, self.seed, images)
            for group in groups
        ]
        with closing(self.executor.run(self.context, units)) as outcomes:
            for outcome in outcomes:
                group = groups[outcome.unit]
                if outcome.lost:
                    raise UndefinedScoreError(
                        f"{len(group)} candidates ended two workers: {outcome.lost}"
                    )
                for entries, found in outcome.result:
                    yield tuple(tuple(group[place] for place in one) for one in entries), found


def _unit(
    population: Sequence[Candidate],
    columns: Sequence[tuple[Proxy, int, frozenset[int]]],
    rows: Sequence[int],
) -> ScoreUnit:
    wanted = []
    for proxy, seed, missing in columns:
        places: Sequence[int] = [place for place, row in enumerate(rows) if row in missing]
        if places:
            wanted.append((proxy.name, seed, places))
    return ScoreUnit([_sendable(population[row]) for row in rows], wanted)


def _sendable(candidate: Candidate) -> Candidate | str:
    """See `ScoringContext.candidates`."""
    return candidate.label if isinstance(candidate, ArchCandidate) else candidate


def _subtrees(
    setup: Setup, population: Sequence[Candidate], rows: Sequence[int], images: int
) -> list[list[int]]:
    """Candidates that are computed together, in groups."""
    if not rows:
        return []
    candidates = _architectures(population, rows)
    first = candidates[0]
    paths = first.space.paths_of([one.source for one in candidates], first.options)
    most = _FLOPS[setup.conditions.device.type] / (2 * images * len(setup.seeds))
    found = parts(paths, range(len(rows)), _UNITS, most)
    return [[rows[place] for place in part.rows] for part in found]


def _architectures(population: Sequence[Candidate], rows: Sequence[int]) -> list[ArchCandidate]:
    found = [population[row] for row in rows]
    return [one for one in found if isinstance(one, ArchCandidate)]


def _image_count(setup: Setup) -> int:
    return 1 if setup.batch is None else len(setup.batch)


def _flops(candidate: Candidate) -> float:
    """Of one image; modules, which state none, come first."""
    return candidate.flops(None) if isinstance(candidate, ArchCandidate) else math.inf
