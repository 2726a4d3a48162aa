"""What a search report is made of, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tvtfast.report.baselines import COUNTS

_DESCRIPTION = ("arch", *COUNTS)


@dataclass(frozen=True, eq=False)
class AttentionPanel:
    """Sample images with the attention maps of some networks; ``n`` images, ``n >= 1``.

    Attributes:
        images: Floating point ``[n, H, W, 3]``, RGB in 0..1.
        labels: One caption per image.
        maps: By the name of the network, in the order they are drawn: non-negative ``[n, h, w]``,
            each map of L2 norm 1 over its positions; grids may differ between networks.

    Raises:
        ValueError: Shapes that do not fit together, or maps that are negative or not finite.
    """

    images: npt.NDArray[np.floating[Any]]
    labels: tuple[str, ...]
    maps: Mapping[str, npt.NDArray[np.floating[Any]]]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or not len(self.images):
            raise ValueError(
                f"images have shape {list(self.images.shape)}; give RGB images [n, H, W, 3], n >= 1"
            )
        count = len(self.images)
        if len(self.labels) != count:
            raise ValueError(
                f"{len(self.labels)} labels for {count} images; give one label per image"
            )
        if not self.maps:
            raise ValueError("maps is empty; give the maps of at least one network")
        for name, maps in self.maps.items():
            if maps.ndim != 3 or len(maps) != count:
                raise ValueError(
                    f"maps of {name!r} have shape {list(maps.shape)}; give one map per image, "
                    f"[{count}, h, w]"
                )
            if not (np.isfinite(maps).all() and (maps >= 0).all()):
                raise ValueError(
                    f"maps of {name!r} range from {maps.min()} to {maps.max()}; attention maps are "
                    "finite and non-negative"
                )


@dataclass(frozen=True)
class RaceTable:
    """How many candidates were shown how many images.

    Attributes:
        rungs: Images and candidates of every round, both counted from the start.
        images: Images of the whole batch.
        share: Image passes over those of showing every candidate the whole batch.
        top_k: The best that were looked for.
        confidence: Of every comparison, in 0..1.
    """

    rungs: tuple[tuple[int, int], ...]
    images: int
    share: float
    top_k: int
    confidence: float


@dataclass(frozen=True, eq=False)
class SearchReport:
    """Everything the report of one search prints.

    Attributes:
        title: Heading of the report.
        frame: One row per candidate: ``arch`` (canonical JSON), ``params``, ``flops``, ``macs``
            (integers) and one float column per proxy, NaN where a cell failed.
        status: ``ok``, ``partial``, ``infeasible``, ``nan``, ``oom``, ``unsupported`` or ``error``
            for every candidate and proxy; the index is that of ``frame``.
        score: Combined score, higher is better, NaN for candidates that could not be ranked; the
            index is that of ``frame``, the name says how proxies were combined.
        higher_is_better: Direction of every proxy.
        settings: What was run (space, strategy, trials, constraints, teacher, images, seed, ...).
        timings: Seconds per stage, in the order they ran.
        machine: Versions, processor, load.
        attention: Maps of teacher and winner, where there are any.
        command: How to run the search again.
        race: How candidates were left out early, where they were.
        answer: Row position of the candidate that the strategy named as its result, where it named
            one; else the best ranked wins.
        objectives: Columns of the Pareto front, and whether higher is better in each.
        front: Row positions of the candidates on it, best in the first objective first.
        cost: Wall time, core or GPU hours, peak memory and time per candidate, in words.
        trace: ``generation``, ``evaluations``, ``best``, ``mean`` and further numbers of every
            population, in their order.
        policy: Of a strategy that learns one: ``generation``, ``decision``, ``choice`` and
            ``probability``, generation by generation.
        warning: What is to be known before the winner is trusted.

    Raises:
        ValueError: No candidates, missing columns, or tables with different indices.
    """

    title: str
    frame: pd.DataFrame
    status: pd.DataFrame
    score: pd.Series[float]
    higher_is_better: Mapping[str, bool]
    settings: Mapping[str, str]
    timings: Mapping[str, float]
    machine: Mapping[str, str]
    attention: AttentionPanel | None
    command: str
    race: RaceTable | None = None
    answer: int | None = None
    objectives: Mapping[str, bool] = field(default_factory=dict)
    front: tuple[int, ...] = ()
    trace: pd.DataFrame | None = None
    cost: Mapping[str, str] = field(default_factory=dict)
    policy: pd.DataFrame | None = None
    warning: str = ""

    def __post_init__(self) -> None:
        check_candidates(self.frame, _DESCRIPTION)
        for name, index in (("status", self.status.index), ("score", self.score.index)):
            if not index.equals(self.frame.index):
                raise ValueError(
                    f"{name} has {len(index)} rows whose index differs from that of the "
                    f"{len(self.frame)} candidates; reindex it to frame.index"
                )
        absent = [name for name in self.objectives if name not in self.frame.columns]
        if absent:
            raise ValueError(
                f"objectives name {absent}; frame has columns {list(self.frame.columns)}"
            )
        for name, given in (
            ("status", list(self.status.columns)),
            ("higher_is_better", list(self.higher_is_better)),
        ):
            missing = [proxy for proxy in self.proxies if proxy not in given]
            if missing:
                raise ValueError(
                    f"{name} covers {given} but not the proxies {missing}; give one entry per "
                    f"column of frame other than {', '.join(_DESCRIPTION)}"
                )

    @property
    def proxies(self) -> list[str]:
        """Names of the proxy columns, in order."""
        return [column for column in self.frame.columns if column not in _DESCRIPTION]

    @property
    def score_name(self) -> str:
        """Name of the combined score."""
        return str(self.score.name or "score")

    @property
    def ranking(self) -> npt.NDArray[np.intp]:
        """Row positions of the candidates with a finite score, best first; ties keep row order."""
        score = self.score.to_numpy(dtype=float)
        order = np.argsort(-score, kind="stable")
        return np.asarray(order[np.isfinite(score[order])])

    @property
    def winner(self) -> int:
        """Row position of the winner; there is one where the ranking is not empty."""
        return int(self.ranking[0]) if self.answer is None else self.answer

    @property
    def better(self) -> int | None:
        """Row position of the best score, where the answer of the strategy has a lower one."""
        if self.answer is None or not len(self.ranking):
            return None
        first = int(self.ranking[0])
        own, best = float(self.score.iloc[self.answer]), float(self.score.iloc[first])
        return None if own >= best else first


def check_candidates(frame: pd.DataFrame, required: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless ``frame`` has rows and the ``required`` columns."""
    if not len(frame):
        raise ValueError("frame has no candidates; a report needs at least one row")
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise ValueError(f"frame has columns {list(frame.columns)}; add the missing {missing}")
