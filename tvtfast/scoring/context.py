"""What workers know of a scoring, and the units that they are given."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from tvtfast import kernels
from tvtfast.common.fallbacks import Fallback, FallbackWarning
from tvtfast.common.memory import available_memory
from tvtfast.kernels.dispatch import requested
from tvtfast.proxies import Proxy
from tvtfast.scoring.candidates import Candidate
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.evaluator import Evaluator
from tvtfast.scoring.joint import PerImage
from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.store import ScoreStore

_KNOWN = Cell(0.0, "partial", "known elsewhere")


@dataclass(frozen=True, eq=False)
class ScoringContext:
    """What all units of a scorer share.

    Args:
        setup: What candidates are scored with; its store is not sent.
        memory: Bytes that activations may take; ``None`` for a share of what is available.
        on_error: ``record`` or ``raise``.
        workers: How many share the memory of a machine, at most.
        precision: Of products of fp32, see ``torch.set_float32_matmul_precision``.
        backend: Of operators, see `tvtfast.kernels.use_backend`.
    """

    setup: Setup
    memory: int | None
    on_error: str
    workers: int
    precision: str
    backend: str

    @classmethod
    def of(cls, setup: Setup, memory: int | None, on_error: str, workers: int) -> ScoringContext:
        """With the settings that hold in this process now."""
        precision = torch.get_float32_matmul_precision()
        bare = replace(setup, store=ScoreStore())
        return cls(bare, memory, on_error, workers, precision, requested(None))

    def candidates(self, given: Sequence[Candidate | str]) -> list[Candidate]:
        """Candidates of a unit, where architectures are canonical JSON: objects are some hundred
        bytes each, and take the process that sends them ten times as long."""
        texts = [one for one in given if isinstance(one, str)]
        archs = iter(self.setup.candidates(texts) if texts else ())
        return [next(archs) if isinstance(one, str) else one for one in given]

    def evaluator(self) -> Evaluator:
        """Computes scores in this process."""
        memory, device = self.memory, self.setup.conditions.device
        if memory is None and device.type == "cpu":
            memory = available_memory(device) // (2 * self.workers)
        return Evaluator.of(self.setup, memory, self.on_error)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """The settings hold, and fallbacks are kept and not shown."""
        torch.set_float32_matmul_precision(self.precision)
        with kernels.use_backend(self.backend), warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            yield


class Scored(NamedTuple):
    """What a unit found.

    Args:
        cells: Place of the candidate in the unit, name of the proxy, seed of the weights, cell.
        fallbacks: Fast paths that were left.
    """

    cells: list[tuple[int, str, int, Cell]]
    fallbacks: list[Fallback]


@dataclass(frozen=True)
class ScoreUnit:
    """Some candidates, to be scored in full.

    Args:
        given: The candidates, no two of them equal; architectures of the space as canonical JSON.
        wanted: Names of proxies, seeds of the weights and places of candidates.
    """

    given: Sequence[Candidate | str]
    wanted: Sequence[tuple[str, int, Sequence[int]]]

    def run(self, context: ScoringContext) -> Scored:
        """Their cells."""
        setup = context.setup
        wanted = {(name, seed): frozenset(places) for name, seed, places in self.wanted}
        names = {name for name, _ in wanted}
        proxies = [proxy for proxy in setup.single if proxy.name in names]
        candidates = context.candidates(self.given)
        ledger = Ledger(candidates, proxies, setup.seeds_of, _around, ScoreStore())
        known = [
            (row, proxy, seed)
            for row, proxy, seed in ledger.missing()
            if row not in wanted.get((proxy.name, seed), ())
        ]
        ledger.put((task, _KNOWN) for task in known)
        with context.holding():
            context.evaluator().fill(ledger, proxies)
        cells = []
        for proxy in proxies:
            draws = zip(setup.seeds_of(proxy), ledger.cells(proxy), strict=True)
            for seed, found in draws:
                for row in sorted(wanted.get((proxy.name, seed), ())):
                    cell = found[row]
                    whole = cell if isinstance(cell, Cell) else Cell(cell)
                    cells.append((row, proxy.name, seed, whole))
        return Scored(cells, ledger.fallbacks)


@dataclass(frozen=True)
class ImagesUnit:
    """Some candidates, to be scored on some images.

    Args:
        given: Architectures that are computed together, as canonical JSON.
        proxies: Names of proxies with ``per_image``.
        seed: Of the weights.
        images: Which images of the batch.
    """

    given: Sequence[str]
    proxies: Sequence[str]
    seed: int
    images: Sequence[int]

    def run(self, context: ScoringContext) -> list[tuple[tuple[tuple[int, ...], ...], PerImage]]:
        """As `tvtfast.scoring.joint.JointScorer.per_image` gives them."""
        proxies = [proxy for proxy in context.setup.single if proxy.name in self.proxies]
        candidates = context.candidates(self.given)
        with context.holding():
            joint = context.evaluator().joint(candidates, self.seed)
            return list(joint.per_image(proxies, images=self.images))


def _around(proxy: Proxy, seed: int) -> tuple[str, str]:
    """Keys of a ledger that keeps nothing."""
    return f"{proxy.name} {seed} ", ""
