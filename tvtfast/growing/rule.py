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
from tvtfast.growing.refinement import refined

STOP = 80e6
"""Parameters that growth without targets ends at, as published."""

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

    The topology itself, at the start width and with one block per stage, is the first model. Where
    no model comes near a target, the step that passes it is refined
    (`tvtfast.growing.refinement.refined`); growth itself goes on as if there were no target.

    Args:
        start_width: Width the candidates of the first step grow from, with one block per stage.
        width_scale: Width of a model over the width it is scored at.
        width_ratios: Widths of a step over the width before, ascending.
        stop_params: Growth ends with the first model that has as many parameters; default the
            largest target, which is reached within ``tolerance``, and without any target 80 million
            (or ``max_params``, where that is less).
        max_params: Larger candidates are left out; growth ends where none is left.
        tolerance: Share of a target that the parameters of its model may be off.
        paper: Grow as the published code does: break ties as in `GrowthStep`, go on to 80 million
            parameters whatever the targets, refine no step, and leave the topology itself out of
            the family.

    Raises:
        ValueError: A number out of range.
    """

    start_width: int = 8
    width_scale: int = 4
    width_ratios: tuple[float, ...] = (1.05, 1.10, 1.15, 1.20)
    stop_params: float | None = None
    max_params: float = 110e6
    tolerance: float = 0.05
    paper: bool = False

    def __post_init__(self) -> None:
        for name in ("start_width", "width_scale"):
            checks.whole(name, getattr(self, name), least=1)
        checks.real("max_params", self.max_params, above=0)
        checks.real("tolerance", self.tolerance, above=0, below=1)
        if not self.width_ratios or not all(ratio >= 1.0 for ratio in self.width_ratios):
            raise ValueError(f"width_ratios are {self.width_ratios}; give some, all 1 or more")
        if self.stop_params is None:
            return
        checks.real("stop_params", self.stop_params, above=0)
        if self.stop_params > self.max_params:
            raise ValueError(
                f"stop_params is {self.stop_params:,.0f} and max_params {self.max_params:,.0f}; "
                "give a second one that is no smaller"
            )

    def check_targets(self, targets: Sequence[float]) -> None:
        """Refuse parameter counts that no model of the family can have.

        Raises:
            ValueError: A target that is no positive number, or above ``max_params``.
        """
        for target in targets:
            checks.real("target_params", target, above=0)
            if target > self.max_params:
                raise ValueError(
                    f"target_params is {target:,.0f} and max_params {self.max_params:,.0f}; raise "
                    "max_params, or leave that target out"
                )

    def met(self, params: float, target: float) -> bool:
        """Whether a parameter count is as near to a target as ``tolerance`` says."""
        return abs(params / target - 1) <= self.tolerance

    def stops_at(self, targets: Sequence[float]) -> float:
        """Parameters that growth ends at."""
        if self.stop_params is not None:
            return self.stop_params
        if targets and not self.paper:
            return max(targets)
        return min(STOP, self.max_params)

    def enough(self, params: float, targets: Sequence[float]) -> bool:
        """Whether growth ends with a model of so many parameters."""
        stop = self.stops_at(targets)
        if self.stop_params is None and targets and not self.paper:
            return params >= stop or self.met(params, stop)
        return params >= stop

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
        flops: Its FLOPs, two per multiply-add.
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
        number: From 1; 0 is the topology that growth starts from.
        candidates: In the order stage, width.
        chosen: Index of the next model.
        target: Of a refined step the parameter count that its model is for; growth does not go on
            from there.
    """

    number: int
    candidates: tuple[Grown, ...]
    chosen: int
    target: float | None = None

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
    targets: Sequence[float] = (),
) -> Iterator[GrowthStep]:
    """Grow step by step, until the rules say that it is enough. A step that is refined for a target
    follows the one that passes it.

    Args:
        topology: What grows; its own depths and width play no part.
        rules: Size of steps and limits.
        score: Scores candidates at the width of scoring.
        higher_is_better: The proxies that decide, and their direction.
        params: Parameters of a model.
        flops: FLOPs of a model.
        targets: Parameter counts that models are wanted for.

    Raises:
        ValueError: An architecture that cannot grow, no proxy, a target that no model can have, or
            a step without any score.
    """
    if not higher_is_better:
        raise ValueError("there is no proxy to grow by; name at least one")
    rules.check_targets(targets)
    growth = _Growth(rules, score, higher_is_better, params, flops)
    current = growth.counted(rules.start(topology))
    wanted: list[float] = []
    if not rules.paper:
        if current.params > rules.max_params:
            return
        current = growth.scored([current], [0])[0]
        yield GrowthStep(0, (current,), 0)
        wanted = sorted({target for target in targets if target > current.params})
        if rules.enough(current.params, targets):
            return
    number = 0
    while True:
        number += 1
        step = growth.step(number, current)
        if step is not None:
            yield step
        passed = [current] if step is None else [current, step.model]
        while wanted and (step is None or wanted[0] <= step.model.params):
            target = wanted.pop(0)
            finer = None
            if not any(rules.met(one.params, target) for one in passed):
                finer = growth.refined(number, current, target)
            if finer is not None:
                yield finer
        if step is None or rules.enough(step.model.params, targets):
            return
        current = step.model


@dataclass(frozen=True)
class _Growth:
    """Makes steps: candidates, counted, scored and ranked."""

    rules: GrowthRules
    score: Scoring
    higher_is_better: Mapping[str, bool]
    params: Count
    flops: Count

    def counted(self, scored: Any, model: Any = None) -> Grown:
        """A candidate without scores; its model is that of the rules unless another is given."""
        model = self.rules.model(scored) if model is None else model
        missing = dict.fromkeys(self.higher_is_better, math.nan)
        return Grown(scored, model, self.params(model), self.flops(model), missing)

    def scored(self, grown: Sequence[Grown], wanted: Sequence[int]) -> list[Grown]:
        """The same with scores of those that are wanted."""
        scores = self.score([grown[index].scored for index in wanted])
        found = list(grown)
        for place, index in enumerate(wanted):
            values = {name: float(scores[name][place]) for name in self.higher_is_better}
            found[index] = replace(found[index], scores=values)
        return found

    def step(self, number: int, current: Grown) -> GrowthStep | None:
        """The next step; ``None`` where every candidate is too large."""
        grown = [self.counted(arch) for arch in self.rules.candidates(current.scored)]
        small = self._small(grown)
        return self._ranked(number, self.scored(grown, small)) if small else None

    def refined(self, number: int, current: Grown, target: float) -> GrowthStep | None:
        """A step for a target. Candidates that meet it compete; if there are none, the nearest one
        is taken; ``None`` where every one is too large."""
        scale = self.rules.width_scale
        grown = [
            self.counted(replace(model, width=round(model.width / scale)), model)
            for model in refined(current.model, target, self.params)
        ]
        small = self._small(grown)
        met = [index for index in small if self.rules.met(grown[index].params, target)]
        nearest = sorted(small, key=lambda index: abs(math.log(grown[index].params / target)))
        compete = met or nearest[:1]
        if not compete:
            return None
        return replace(self._ranked(number, self.scored(grown, compete)), target=target)

    def _small(self, grown: Sequence[Grown]) -> list[int]:
        most = self.rules.max_params
        return [index for index, one in enumerate(grown) if one.params <= most]

    def _ranked(self, number: int, grown: Sequence[Grown]) -> GrowthStep:
        return _ranked(number, grown, self.higher_is_better, self.rules.paper)


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
