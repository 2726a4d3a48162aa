"""How a topology grows into a family of models of increasing size. Sees a score, never a model.

Source: Chen et al., "Auto-scaling Vision Transformers without Training", ICLR 2022, Algorithm 2 and
its published ``search/grow.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvtfast.common import checks

Scoring: TypeAlias = Callable[[list[Any]], Mapping[str, Sequence[float]]]
"""Scores of every proxy, one per architecture; NaN where there is none."""

Count: TypeAlias = Callable[[Any], int]


@dataclass(frozen=True)
class GrowthRules:
    """How large a step is, and where growth ends.

    Depth and width grow together: a candidate of a step has one block more in one of the stages,
    and ``width_ratios`` times the width, rounded (ratios that round alike count once; one that
    rounds to the old width is kept). Candidates are scored at a small width and counted, built
    and trained at ``width_scale`` times that.

    Args:
        start_width: Width the candidates of the first step grow from, with one block per stage.
        width_scale: Width of a model over the width it is scored at.
        width_ratios: Widths of a step over the width before, ascending.
        stop_params: Growth ends with the first model that has as many parameters.
        max_params: Larger candidates are left out; growth ends where none is left.
        paper: Break ties as the published code does, see `GrowthStep`.

    Raises:
        ValueError: A number out of range.
    """

    start_width: int = 8
    width_scale: int = 4
    width_ratios: tuple[float, ...] = (1.05, 1.10, 1.15, 1.20)
    stop_params: float = 80e6
    max_params: float = 110e6
    paper: bool = False

    def __post_init__(self) -> None:
        for name in ("start_width", "width_scale"):
            checks.whole(name, getattr(self, name), least=1)
        for name in ("stop_params", "max_params"):
            checks.real(name, getattr(self, name), above=0)
        if not self.width_ratios or not all(ratio >= 1.0 for ratio in self.width_ratios):
            raise ValueError(f"width_ratios are {self.width_ratios}; give some, all 1 or more")
        if not self.stop_params <= self.max_params:
            raise ValueError(
                f"stop_params is {self.stop_params:,.0f} and max_params {self.max_params:,.0f}; "
                "give a second one that is no smaller"
            )

    def start(self, topology: Any) -> Any:
        """Where growth starts: one block per stage, at the start width.

        Raises:
            ValueError: An architecture without ``depths`` and ``width``.
        """
        if not hasattr(topology, "depths") or not hasattr(topology, "width"):
            raise ValueError(
                f"a {type(topology).__name__} has no depths and width to grow; give an "
                "architecture of a space whose architectures have both, such as 'asvit'"
            )
        return replace(topology, depths=(1,) * len(topology.depths), width=self.start_width)

    def candidates(self, arch: Any) -> list[Any]:
        """What an architecture can grow into in one step, at the width of scoring."""
        widths = list(dict.fromkeys(round(arch.width * ratio) for ratio in self.width_ratios))
        return [
            replace(
                arch, depths=(*arch.depths[:stage], depth + 1, *arch.depths[stage + 1 :]), width=w
            )
            for stage, depth in enumerate(arch.depths)
            for w in widths
        ]

    def model(self, arch: Any) -> Any:
        """The model that an architecture of a step stands for."""
        return replace(arch, width=self.width_scale * arch.width)


@dataclass(frozen=True)
class Grown:
    """A candidate of one step.

    Args:
        scored: The architecture at the width of scoring.
        model: The same at its own width.
        params: Parameters of the model.
        flops: Its FLOPs.
        scores: Of every proxy; NaN where there is none, or the model is too large.
        ranks: Dense rank in every proxy, from 1; equal scores share one. ``None`` where it has no
            rank.
    """

    scored: Any
    model: Any
    params: int
    flops: int
    scores: Mapping[str, float]
    ranks: Mapping[str, int] | None = None

    @property
    def rank_sum(self) -> int | None:
        """Sum of ranks, lower is better."""
        return None if self.ranks is None else sum(self.ranks.values())


@dataclass(frozen=True)
class GrowthStep:
    """One step of growth: the candidate with the least sum of ranks is the next model.

    Of several with the same sum the best in one proxy is taken: the one whose scores differ most,
    by ``(max - min) / max |x|`` over the candidates of the step. The published code
    (``paper=True``) compares only the first two, and takes the lower score of the two even where
    higher is better.

    Args:
        number: From 1.
        candidates: In the order stage, width.
        chosen: Index of the next model.
    """

    number: int
    candidates: tuple[Grown, ...]
    chosen: int

    @property
    def model(self) -> Grown:
        """The next model of the family."""
        return self.candidates[self.chosen]


def grow_steps(
    topology: Any,
    rules: GrowthRules,
    *,
    score: Scoring,
    higher_is_better: Mapping[str, bool],
    params: Count,
    flops: Count,
) -> Iterator[GrowthStep]:
    """Grow step by step, until the rules say that it is enough.

    Args:
        topology: What grows; its own depths and width play no part.
        rules: Size of steps and limits.
        score: Scores candidates at the width of scoring.
        higher_is_better: The proxies that decide, and their direction.
        params: Parameters of a model.
        flops: FLOPs of a model.

    Raises:
        ValueError: An architecture that cannot grow, no proxy, or a step without any score.
    """
    if not higher_is_better:
        raise ValueError("there is no proxy to grow by; name at least one")
    current = rules.start(topology)
    number = 0
    while True:
        number += 1
        missing = dict.fromkeys(higher_is_better, math.nan)
        grown = [
            Grown(arch, model, params(model), flops(model), missing)
            for arch, model in ((arch, rules.model(arch)) for arch in rules.candidates(current))
        ]
        small = [index for index, one in enumerate(grown) if one.params <= rules.max_params]
        if not small:
            return
        scores = score([grown[index].scored for index in small])
        for place, index in enumerate(small):
            values = {name: float(scores[name][place]) for name in higher_is_better}
            grown[index] = replace(grown[index], scores=values)
        step = _ranked(number, grown, higher_is_better, rules.paper)
        yield step
        if step.model.params >= rules.stop_params:
            return
        current = step.model.scored


def _ranked(
    number: int, grown: Sequence[Grown], higher_is_better: Mapping[str, bool], paper: bool
) -> GrowthStep:
    from scipy.stats import rankdata

    values = np.array([[one.scores[name] for name in higher_is_better] for one in grown])
    signs = np.array([1.0 if higher else -1.0 for higher in higher_is_better.values()])
    scored = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(scored):
        raise ValueError(
            f"no candidate of step {number} has a score in {', '.join(higher_is_better)}; pass "
            "on_error='raise' to see why"
        )
    ranks = rankdata(-values[scored] * signs, method="dense", axis=0).astype(int)
    candidates = list(grown)
    for index, row in zip(scored.tolist(), ranks.tolist(), strict=True):
        own = dict(zip(higher_is_better, row, strict=True))
        candidates[index] = replace(candidates[index], ranks=own)
    sums = ranks.sum(axis=1)
    chosen = _tie_break(values[scored], signs, sums, paper)
    return GrowthStep(number, tuple(candidates), int(scored[chosen]))


def _tie_break(
    values: npt.NDArray[np.float64],
    signs: npt.NDArray[np.float64],
    sums: npt.NDArray[np.int_],
    paper: bool,
) -> int:
    best = np.flatnonzero(sums == sums.min())
    if len(best) == 1:
        return int(best[0])
    largest = values.max(axis=0) if paper else np.abs(values).max(axis=0)
    spread = np.divide(
        np.ptp(values, axis=0), largest, out=np.zeros(len(signs)), where=largest != 0
    )
    decisive = int(np.argmax(spread))
    if paper:
        return int(best[np.argmin(values[best[:2], decisive])])
    return int(best[np.argmax(values[best, decisive] * signs[decisive])])
