"""Race the candidates of one population: only those that may be among the best see all images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from tvtfast.common.progress import track
from tvtfast.models import parameter_rule
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.scoring.candidates import Candidate
from tvtfast.scoring.cells import Cell, value_of
from tvtfast.scoring.evaluator import Evaluator
from tvtfast.scoring.failures import may_fall_back
from tvtfast.scoring.joint import PerImage
from tvtfast.scoring.ledger import Ledger, Task, value_cell
from tvtfast.scoring.race import CONFIDENCE, MIN_IMAGES, Array, Race, RaceSummary, Rung, race
from tvtfast.scoring.ranking import METHODS, Method
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.store import ScoreStore

_ADDING = "minmax_sum"


def obstacle(setup: Setup, method: Method) -> str | None:
    """Why candidates cannot race; ``None`` where they can.

    Args:
        setup: What they are scored with.
        method: How the proxies are combined.
    """
    space, scored = setup.space, setup.scored
    images = 0 if setup.batch is None else len(setup.batch)
    if setup.constraints:
        names = ", ".join(setup.constraints)
        return f"constraints ({names}) are held against scores, not estimates"
    derived = [proxy.name for proxy in setup.combined if proxy.name in scored]
    if derived:
        return f"{', '.join(derived)} is made of whole scores, and a race has estimates"
    if setup.conditions.paper:
        return "protocol 'paper' shows every candidate other images and other weights"
    if space is None or not space.has_steps or parameter_rule(space) is None:
        return "the candidates do not state their layers, so they are scored one by one"
    if all(proxy.per_step for proxy in setup.single):
        return f"no proxy is a mean over images, and {', '.join(scored)} cost nothing per image"
    whole = [p.name for p in setup.single if p.per_image is None and p.per_step is None]
    if whole:
        return f"{', '.join(whole)} are neither means over images nor sums over layers"
    if not isinstance(method, str) or method not in METHODS:
        return "the combined score is a function of your own"
    if len(scored) > 1 and method != _ADDING:
        return (
            f"with {method!r} the scores of {', '.join(scored)} depend on all candidates, not on "
            f"their spans alone as with {_ADDING!r}"
        )
    if images < MIN_IMAGES:
        return f"there are {images} images, and a race takes {MIN_IMAGES} or more"
    return None


class Source(Protocol):
    """Computes scores of single images with one weight draw."""

    def per_image(
        self, proxies: Sequence[Proxy], rows: Sequence[int], images: Sequence[int]
    ) -> Iterable[tuple[tuple[tuple[int, ...], ...], PerImage]]:
        """See `tvtfast.scoring.joint.JointScorer.per_image`."""


class ImageScores:
    """Scores of single images, computed when they are asked for, and kept in the store.

    Args:
        ledger: The population, and what its scores are stored under.
        proxies: Proxies with ``per_image``.
        seeds_of: Weight draws that a proxy is averaged over.
        images: Images of the batch.
        source: Computes those of one weight draw, made when something is to be computed.
        store: Where they are kept.
        on_scored: Told the number of images that were scored.

    Attributes:
        rungs: Rounds that have begun.
        alive: Candidates of the last of them.
    """

    def __init__(
        self,
        ledger: Ledger,
        proxies: Sequence[Proxy],
        seeds_of: Callable[[Proxy], Sequence[int]],
        images: int,
        source: Callable[[int], Source],
        store: ScoreStore,
        on_scored: Callable[[int], object],
    ) -> None:
        self.proxies, self.seeds_of = proxies, seeds_of
        self.computed: set[int] = set()
        self.rungs: list[Rung] = []
        self.alive: Sequence[int] = range(len(ledger.population))
        self._ledger, self._source, self._store = ledger, source, store
        self._on_scored = on_scored
        shape = len(ledger.population), images
        draws = [(proxy, seed) for proxy in proxies for seed in seeds_of(proxy)]
        self._scores = {(p.name, seed): np.full(shape, np.nan) for p, seed in draws}
        self._shown = {(p.name, seed): np.zeros(shape, dtype=bool) for p, seed in draws}
        self._sources: dict[int, Source] = {}
        places: dict[str, list[tuple[str, int, int]]] = {}
        for proxy, seed in draws:
            for row in range(len(ledger.population)):
                key = ledger.key(row, proxy, seed)
                if key is not None:
                    places.setdefault(key, []).append((proxy.name, seed, row))
        for key, (shown, scores) in store.get_images(places):
            for name, seed, row in places[key]:
                self._enter(name, seed, row, shown, scores)

    def __call__(self, rows: Sequence[int], images: Sequence[int]) -> Array:
        """Scores ``[P, K, m]``, higher is better, means over weight draws."""
        before = self.rungs[-1].images if self.rungs else 0
        self.alive = rows
        self.rungs.append(Rung(before + len(images), len(rows)))
        for seed in dict.fromkeys(seed for proxy in self.proxies for seed in self.seeds_of(proxy)):
            self._compute(seed, rows, images)
        return np.stack(
            [
                (1.0 if proxy.higher_is_better else -1.0)
                * np.mean([self.of(proxy, seed) for seed in self.seeds_of(proxy)], axis=0)[
                    np.ix_(rows, images)
                ]
                for proxy in self.proxies
            ]
        )

    def of(self, proxy: Proxy, seed: int) -> Array:
        """Scores of one weight draw, ``[n, N]``; NaN where they are not known."""
        return self._scores[proxy.name, seed]

    def so_far(self, name: str) -> Array:
        """Mean score over the images that a candidate was shown up to now, ``[n]``; NaN where it
        was shown none."""
        draws = []
        for (proxy, seed), scores in self._scores.items():
            if proxy == name:
                shown = self._shown[proxy, seed].copy()
                count = shown.sum(axis=1)
                total = np.where(shown, scores, 0.0).sum(axis=1)
                nothing = np.full(len(total), np.nan)
                draws.append(np.divide(total, count, out=nothing, where=count > 0))
        return np.asarray(np.mean(draws, axis=0))

    def _compute(self, seed: int, rows: Sequence[int], images: Sequence[int]) -> None:
        proxies = [proxy for proxy in self.proxies if seed in self.seeds_of(proxy)]
        known = np.logical_and.reduce([self._shown[p.name, seed] for p in proxies])
        missing = [row for row in rows if not known[row, images].all()]
        self._on_scored((len(rows) - len(missing)) * len(images))
        if not missing:
            return
        if seed not in self._sources:
            self._sources[seed] = self._source(seed)
        for entries, found in self._sources[seed].per_image(proxies, missing, images):
            keep = []
            for proxy in proxies:
                for equal, scores in zip(entries, found[proxy.name], strict=True):
                    for row in equal:
                        self._enter(proxy.name, seed, row, images, scores)
                        key = self._ledger.key(row, proxy, seed)
                        if key is not None:
                            keep.append((key, (np.asarray(images), scores)))
            self._store.put_images(keep)
            done = [row for equal in entries for row in equal]
            self.computed.update(done)
            self._on_scored(len(done) * len(images))

    def _enter(self, name: str, seed: int, row: int, images: Any, scores: Any) -> None:
        self._scores[name, seed][row, images] = scores
        self._shown[name, seed][row, images] = True


def race_ledger(
    setup: Setup,
    evaluator: Evaluator,
    ledger: Ledger,
    top_k: int,
    source: Callable[[Sequence[Candidate], int], Source],
    *,
    progress: bool,
) -> tuple[RaceSummary | None, int]:
    """Race a population, and enter all scores; or enter none, where there is no memory for it, or a
    proxy cannot say what single images score.

    Args:
        setup: What it is scored with.
        evaluator: Who computes scores.
        ledger: The population.
        top_k: The best to find.
        source: Computes scores of single images of a population with one weight draw.
        progress: Show a progress bar.

    Returns:
        What the race spent, ``None`` where none was run to its end; and the number of candidates
        that were computed, or are to be.
    """
    assert setup.batch is not None
    images = len(setup.batch)
    sums = [proxy for proxy in setup.single if proxy.per_step is not None]
    means = [proxy for proxy in setup.single if proxy.per_step is None]
    computed = {row for row, proxy, _ in ledger.missing() if proxy in sums}
    evaluator.score_jointly(ledger, sums)
    if any(proxy in sums for _, proxy, _ in ledger.missing()):
        return None, ledger.unfinished
    total = len(ledger.population) * images
    with track("racing", total=total, unit="image", show=progress) as bar:
        scores = ImageScores(
            ledger,
            means,
            setup.seeds_of,
            images,
            partial(source, ledger.population),
            setup.store,
            bar.update,
        )
        ledger.race = scores
        ranked = [proxy for proxy in sums if proxy.name in setup.scored]
        try:
            run, cells = race_population(ledger, ranked, scores, images, top_k, setup.seeds[0])
        except Exception as error:
            if not (may_fall_back(error) or isinstance(error, UndefinedScoreError)):
                raise
            what = f"a race of {len(ledger.population):,} candidates"
            ledger.note(what, f"every candidate is shown all {images} images", error)
            return None, ledger.unfinished
        bar.finish()
    ledger.put((task, cell) for task, cell in cells if evaluator.may_enter(cell))
    return run.summary, len(computed | scores.computed)


def race_population(
    ledger: Ledger, sums: Sequence[Proxy], scores: ImageScores, images: int, top_k: int, seed: int
) -> tuple[Race, list[tuple[Task, Cell]]]:
    """Race a population.

    Args:
        ledger: The population, with the scores that are sums over layers.
        sums: Those of them that are ranked.
        scores: Where scores of images come from.
        images: Images of the batch.
        top_k: The best to find.
        seed: Of the order of the images.

    Returns:
        The race, and the cells of all candidates for the proxies that raced.
    """
    started = time.perf_counter()
    run = race(
        scores,
        _scaled_sum(ledger, sums),
        images,
        top_k=top_k,
        scaled=len(sums) + len(scores.proxies) > 1,
        seed=seed,
    )
    draws = [(proxy, draw) for proxy in scores.proxies for draw in scores.seeds_of(proxy)]
    seconds = (time.perf_counter() - started) / (run.summary.passes * len(draws))
    cells: list[tuple[Task, Cell]] = []
    for proxy, draw in draws:
        means = run.means(scores.of(proxy, draw)).tolist()
        for row, (mean, seen) in enumerate(zip(means, run.seen.tolist(), strict=True)):
            cell = value_cell(mean, seen * seconds)
            if cell.status == "ok" and seen < images:
                cell = Cell(mean, "partial", _reason(seen, images, top_k), cell.seconds)
            cells.append(((row, proxy, draw), cell))
    return run, cells


def _scaled_sum(ledger: Ledger, proxies: Iterable[Proxy]) -> Array:
    total = np.zeros(len(ledger.population))
    for proxy in proxies:
        draws = ledger.cells(proxy)
        values = np.array(
            [math.fsum(map(value_of, cells)) / len(cells) for cells in zip(*draws, strict=True)]
        )
        finite = values[np.isfinite(values)]
        span = np.ptp(finite) if len(finite) else 0.0
        sign = 1.0 if proxy.higher_is_better else -1.0
        total += sign * (values / span if span else 0.0 * values)
    return total


def _reason(seen: int, images: int, top_k: int) -> str:
    return (
        f"estimated from {seen} of {images} images; it cannot reach the top {top_k} "
        f"({100 * CONFIDENCE:.0f} % confidence)"
    )
