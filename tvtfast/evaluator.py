"""Filling a ledger: together what can be computed together, the rest one candidate at a time."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tvtfast.candidates import ArchCandidate, Candidate
from tvtfast.evaluation import CandidateInputs, Conditions, View
from tvtfast.joint_scoring import JointScorer, scorable_jointly, scores_of_many
from tvtfast.ledger import Ledger
from tvtfast.models import UnsupportedModelError
from tvtfast.population import is_out_of_memory
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.store import Cell, StoreError

ON_ERROR = ("record", "raise")


class ScoringError(RuntimeError):
    """A candidate could not be scored and ``on_error="raise"`` was asked for."""


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
    """

    conditions: Conditions
    view: View
    view_of: Callable[[Candidate], View]
    seeds: range
    memory: int | None
    on_error: str

    def joint(self, population: Sequence[Any], seed: int) -> JointScorer:
        """Scores of a population with the weights of one draw."""
        return JointScorer(population, seed, self.conditions, self.view, self.memory)

    def may_enter(self, cell: Cell) -> bool:
        """Whether it is not a failure that is to be raised, when it is met one by one."""
        return cell.status in ("ok", "partial") or self.on_error == "record"

    def score_jointly(self, ledger: Ledger, wanted: Sequence[Proxy]) -> None:
        """Score together what can be, with some of the proxies; what fails on the way is left to be
        scored one by one, which tells which candidate failed and why."""
        for seed in self.seeds:
            tasks = [
                (row, candidate, proxy)
                for row, proxy, draw in ledger.missing()
                if draw == seed
                and proxy in wanted
                and scorable_jointly(candidate := ledger.population[row], proxy)
            ]
            together = {row: candidate for row, candidate, _ in tasks}
            proxies = dict.fromkeys(proxy for _, _, proxy in tasks)
            if not together:
                continue
            rows = list(together)
            try:
                joint = self.joint(list(together.values()), seed)
                for found in joint.scores(list(proxies)):
                    ledger.put(
                        ((rows[row], proxy, seed), cell)
                        for row, proxy, cell in found
                        if self.may_enter(cell)
                    )
            except StoreError:
                raise
            except Exception:
                continue

    def score_as_populations(self, ledger: Ledger, proxies: Sequence[Proxy]) -> None:
        """Score with proxies that take several architectures; what fails is left as above."""
        for proxy in proxies:
            if proxy.compute_many is None:
                continue
            tasks = [
                (task, candidate)
                for task in ledger.missing()
                if task[1] is proxy
                and isinstance(candidate := ledger.population[task[0]], ArchCandidate)
            ]
            if not tasks:
                continue
            try:
                for found in scores_of_many(proxy, [candidate for _, candidate in tasks]):
                    ledger.put(
                        (tasks[place][0], cell) for place, cell in found if self.may_enter(cell)
                    )
            except StoreError:
                raise
            except Exception:
                continue

    def score_one_by_one(self, ledger: Ledger) -> None:
        """Score what is missing; the weight draws of a candidate at once where a proxy can."""
        for row, candidate in enumerate(ledger.population):
            tasks = list(ledger.missing([row]))
            if not tasks:
                continue
            view = self.view_of(candidate)
            prepared = {
                seed: CandidateInputs(candidate, seed, view, self.conditions)
                for _, _, seed in tasks
            }
            for proxy, group in itertools.groupby(tasks, key=lambda task: task[1]):
                draws = {task: prepared[task[2]] for task in group}
                found = self._evaluate_draws(proxy, list(draws.values()))
                if any(found):
                    ledger.put(
                        (task, cell) for task, cell in zip(draws, found, strict=True) if cell
                    )
                for task, cell in zip(draws, found, strict=True):
                    if cell is None:
                        ledger.put([(task, self._evaluate(proxy, draws[task]))])

    def _evaluate_draws(
        self, proxy: Proxy, draws: Sequence[CandidateInputs]
    ) -> Sequence[Cell | None]:
        """Cells of the weight draws of a candidate that can be computed at once; ``None`` for those
        to be computed one by one, which tells why they have no value."""
        left: list[Cell | None] = [None] * len(draws)
        if proxy.compute_draws is None or len(draws) == 1:
            return left
        started = time.perf_counter()
        try:
            with _grad_mode(proxy):
                values = proxy.compute_draws(draws)
        except Exception:
            return left
        share = (time.perf_counter() - started) / len(draws)
        return [Cell(value, seconds=share) if math.isfinite(value) else None for value in values]

    def _evaluate(self, proxy: Proxy, inputs: CandidateInputs) -> Cell:
        started = time.perf_counter()
        value, status, reason = math.nan, "ok", ""
        try:
            with _grad_mode(proxy):
                value = float(proxy.compute(inputs))
            if not math.isfinite(value):
                status, reason, value = "nan", f"the score is {value}", math.nan
        except Exception as error:
            status = _status_of(error)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
            if self.on_error == "raise":
                raise ScoringError(f"{inputs.candidate.label}, {proxy.name}: {reason}") from error
        if status == "nan" and self.on_error == "raise":
            raise ScoringError(f"{inputs.candidate.label}, {proxy.name}: {reason}")
        return Cell(value, status, reason, time.perf_counter() - started)


def _grad_mode(proxy: Proxy) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if "gradients" in proxy.needs else torch.no_grad()


def _status_of(error: Exception) -> str:
    if isinstance(error, UnsupportedModelError):
        return "unsupported"
    if isinstance(error, UndefinedScoreError):
        return "nan"
    return "oom" if isinstance(error, MemoryError) or is_out_of_memory(error) else "error"
