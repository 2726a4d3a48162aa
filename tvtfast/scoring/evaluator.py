"""Filling a ledger: together what can be computed together, the rest one candidate at a time."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from tvtfast.common.memory import is_out_of_memory
from tvtfast.models import InheritedWeights, SharedDraws
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.scoring.candidates import ArchCandidate, Candidate
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.failures import ScoringError, failure_cell, may_fall_back
from tvtfast.scoring.frame import SpoiledInputsError, frame
from tvtfast.scoring.inputs import CandidateInputs, Conditions, View
from tvtfast.scoring.joint import JointScorer, joint_candidates, scorable_jointly, scores_of_many
from tvtfast.scoring.ledger import Ledger, Task, value_cell
from tvtfast.scoring.setup import Setup

_ONE_BY_ONE = (
    "candidates are scored one by one, each built as a module; that took 1.7 to 3.2 (fp32) "
    "and 3.1 to 6.1 (bf16) times as long on two CPU cores (bench/results/population-cpu.md)"
)


@dataclass(frozen=True)
class Evaluator:
    """Computes scores and enters them, each as soon as it is known.

    Args:
        conditions: Device, number format and protocol.
        view: What all candidates see.
        view_of: What one candidate sees.
        seeds: Of the weight draws.
        memory: Bytes that the activations of a population may take.
        on_error: ``record``, or ``raise`` at the first cell that fails.
        weights: What architectures inherit; ``None`` where weights are drawn.
    """

    conditions: Conditions
    view: View
    view_of: Callable[[Candidate], View]
    seeds: range
    memory: int | None
    on_error: str
    weights: InheritedWeights | None = None

    @classmethod
    def of(cls, setup: Setup, memory: int | None, on_error: str) -> Evaluator:
        """What computes the scores of a setup."""
        return cls(
            setup.conditions,
            setup.view,
            setup.shown_to,
            setup.seeds,
            memory,
            on_error,
            setup.weights,
        )

    def fill(self, ledger: Ledger, proxies: Sequence[Proxy]) -> None:
        """Compute and enter all that is missing: together what can be, the rest one by one."""
        if not self.conditions.paper:
            self.score_jointly(ledger, proxies)
        self.score_as_populations(ledger, proxies)
        self.score_one_by_one(ledger)

    def joint(self, population: Sequence[Any], seed: int) -> JointScorer:
        """Scores of a population with the weights of one draw."""
        return JointScorer(population, seed, self.conditions, self.view, self.memory, self.weights)

    def may_enter(self, cell: Cell) -> bool:
        """Whether it is not a failure that is to be raised, when it is met one by one."""
        return cell.status in ("ok", "partial") or self.on_error == "record"

    def score_jointly(self, ledger: Ledger, wanted: Sequence[Proxy]) -> None:
        """Score together what can be, with some of the proxies.

        Where there is no memory for it, or no layer for a step, the rest is left to be scored one
        by one, and the ledger has a note of that. Failures of a proxy are entered; any other error
        is raised."""
        able = joint_candidates(ledger.population, self.weights)
        for seed in self.seeds:
            missing = {
                proxy: [row for row in ledger.missing_rows(proxy, seed) if row in able]
                for proxy in wanted
                if scorable_jointly(proxy) and seed in ledger.seeds_of(proxy)
            }
            proxies = [proxy for proxy, rows in missing.items() if rows]
            if not proxies:
                continue
            rows = sorted(set().union(*missing.values()))
            try:
                joint = self.joint([able[row] for row in rows], seed)
                for proxy in proxies:
                    if proxy.per_step is not None:
                        self._enter_sums(ledger, joint, rows, proxy, seed)
                others = [proxy for proxy in proxies if proxy.per_step is None]
                blocks = [proxy for proxy in others if proxy.per_block is not None]
                last = [proxy for proxy in others if proxy.per_block is None]
                for found in itertools.chain(
                    joint.of_features(last) if last else (),
                    joint.of_blocks(blocks) if blocks else (),
                ):
                    self._enter(ledger, [((rows[row], p, seed), cell) for row, p, cell in found])
            except Exception as error:
                if not may_fall_back(error):
                    raise
                ledger.note(f"scoring {len(rows):,} candidates together", _ONE_BY_ONE, error)
                return

    def score_as_populations(self, ledger: Ledger, proxies: Sequence[Proxy]) -> None:
        """Score with proxies that take several architectures. What they leave out is left to be
        scored one by one, and so is everything where memory is short; other errors are raised."""
        for proxy in proxies:
            if proxy.compute_many is None:
                continue
            tasks = [
                ((row, proxy, seed), candidate)
                for seed in ledger.seeds_of(proxy)
                for row in ledger.missing_rows(proxy, seed)
                if isinstance(candidate := ledger.population[row], ArchCandidate)
            ]
            if not tasks:
                continue
            try:
                for found in scores_of_many(proxy, [candidate for _, candidate in tasks]):
                    self._enter(ledger, [(tasks[place][0], cell) for place, cell in found])
            except Exception as error:
                if not may_fall_back(error):
                    raise
                what = f"{proxy.name} of {len(tasks):,} candidates together"
                ledger.note(what, "they are scored one by one", error)

    def score_one_by_one(self, ledger: Ledger) -> None:
        """Score what is missing; the weight draws of a candidate at once where a proxy can.

        Weights that candidates share are drawn once, except under the protocol of unrelated ones.
        """
        draw_weights = self.weights or (None if self.conditions.paper else SharedDraws())
        for row, candidate in enumerate(ledger.population):
            tasks = list(ledger.missing([row]))
            if not tasks:
                continue
            view = self.view_of(candidate)
            prepared = {
                seed: CandidateInputs(candidate, seed, view, self.conditions, draw_weights)
                for _, _, seed in tasks
            }
            for proxy, group in itertools.groupby(tasks, key=itemgetter(1)):
                draws = {task: prepared[task[2]] for task in group}
                found = self._evaluate_draws(ledger, proxy, list(draws.values()))
                if any(found):
                    ledger.put(
                        (task, cell) for task, cell in zip(draws, found, strict=True) if cell
                    )
                for task, cell in zip(draws, found, strict=True):
                    if cell is None:
                        ledger.put([(task, self.evaluate(proxy, draws[task]))])

    def count(self, candidate: Candidate, proxy: Proxy) -> Cell:
        """The cell of a proxy that needs no weights, and that nobody asked for by name: a failure
        of it is recorded."""
        inputs = CandidateInputs(candidate, self.seeds[0], self.view, self.conditions, self.weights)
        return replace(self, on_error="record").evaluate(proxy, inputs)

    def _evaluate_draws(
        self, ledger: Ledger, proxy: Proxy, draws: Sequence[CandidateInputs]
    ) -> Sequence[Cell | None]:
        """Cells of the weight draws of a candidate that can be computed at once; ``None`` for those
        to be computed one by one, which tells why they have no value."""
        left: list[Cell | None] = [None] * len(draws)
        if proxy.compute_draws is None or len(draws) == 1:
            return left
        started = time.perf_counter()
        try:
            with frame(proxy, draws) as seen:
                values = proxy.compute_draws(seen)
        except SpoiledInputsError:
            raise
        except UndefinedScoreError:
            return left
        except Exception as error:
            if may_fall_back(error):
                what = f"{proxy.name} of {len(draws)} weight draws in one computation"
                ledger.note(what, "the draws of a candidate are computed one by one", error)
                return left
            share = (time.perf_counter() - started) / len(draws)
            return [self._failure(draw, proxy, error, share) for draw in draws]
        share = (time.perf_counter() - started) / len(draws)
        return [Cell(value, seconds=share) if math.isfinite(value) else None for value in values]

    def evaluate(self, proxy: Proxy, inputs: CandidateInputs) -> Cell:
        """The cell of one proxy, of one candidate with one weight draw.

        Raises:
            SpoiledInputsError: The proxy changed what others read.
            ScoringError: It failed, and ``on_error`` is ``raise``.
        """
        started = time.perf_counter()
        try:
            with frame(proxy, [inputs]) as (seen,):
                value = float(proxy.compute(seen))
        except SpoiledInputsError:
            raise
        except Exception as error:
            return self._failure(inputs, proxy, error, time.perf_counter() - started)
        cell = value_cell(value, time.perf_counter() - started)
        if cell.status == "nan" and self.on_error == "raise":
            raise ScoringError(f"{inputs.candidate.label}, {proxy.name}: {cell.reason}")
        return cell

    def _failure(
        self, inputs: CandidateInputs, proxy: Proxy, error: Exception, seconds: float
    ) -> Cell:
        cell = failure_cell(error, seconds)
        if self.on_error == "raise":
            label = inputs.candidate.label
            raise ScoringError(f"{label}, {proxy.name}: {cell.reason}") from error
        return cell

    def _enter_sums(
        self, ledger: Ledger, joint: JointScorer, rows: Sequence[int], proxy: Proxy, seed: int
    ) -> None:
        """Compute and enter scores that are sums over layers."""
        started = time.perf_counter()
        try:
            values = joint.sums(proxy).astype(np.float64)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            share = (time.perf_counter() - started) / len(rows)
            cells = [failure_cell(error, share)] * len(rows)
        else:
            share = (time.perf_counter() - started) / len(rows)
            if np.isfinite(values).all():
                ledger.put_values(proxy, seed, rows, values.tolist(), share)
                return
            cells = [value_cell(value, share) for value in values.tolist()]
        self._enter(
            ledger, [((row, proxy, seed), cell) for row, cell in zip(rows, cells, strict=True)]
        )

    def _enter(self, ledger: Ledger, found: Sequence[tuple[Task, Cell]]) -> None:
        """Enter cells; the first that failed is raised where that was asked for."""
        ledger.put((task, cell) for task, cell in found if self.may_enter(cell))
        for (row, proxy, _), cell in found:
            if not self.may_enter(cell):
                label = ledger.population[row].label
                raise ScoringError(f"{label}, {proxy.name}: {cell.reason}")
