"""Proxies that are sums over layers or made of features, for whole populations at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tvtfast.common.memory import is_out_of_memory
from tvtfast.models import (
    InheritedWeights,
    SpatialFeatures,
    UnsupportedModelError,
    blank,
    extract_features,
    parameter_rule,
    temporary_mode,
)
from tvtfast.population import Population, WeightBank, can_inherit
from tvtfast.proxies import Proxy, ProxyInputs
from tvtfast.scoring.arriving import Arriving, one_behind
from tvtfast.scoring.candidates import ArchCandidate, Candidate
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.declared import DeclaredInputs
from tvtfast.scoring.failures import failure_cell
from tvtfast.scoring.frame import SpoiledInputsError, unchanged
from tvtfast.scoring.inheriting import steps_of
from tvtfast.scoring.inputs import DTYPES, Conditions, TeacherMaps, View
from tvtfast.scoring.ledger import value_cell
from tvtfast.spaces import Space, Step

PerImage = Mapping[str, npt.NDArray[np.float64]]
"""Scores of some candidates by proxy, ``[K, B]``."""

Entries = tuple[tuple[int, ...], ...]
"""Candidates; several in one entry where architectures are equal."""

Cells = Callable[[], list[Cell]]
"""Waits for scores, one cell per entry."""

T = TypeVar("T")


@dataclass(frozen=True)
class StepView:
    """`tvtfast.proxies.StepInputs` of one step."""

    step: Step
    bank: WeightBank

    @property
    def params(self) -> int:
        return self.step.params

    @property
    def macs(self) -> int:
        return self.step.macs

    @property
    def weight_norms(self) -> Sequence[float]:
        return self.bank.norms(self.step)


@dataclass(frozen=True)
class FeaturesView:
    """What ``per_image`` may read of `tvtfast.proxies.ProxyInputs`, for several candidates; and
    ``compute`` of a proxy that is made of features, for one."""

    features: SpatialFeatures
    images: Tensor
    shown: Tensor | slice
    teacher: TeacherMaps | None

    @property
    def teacher_size(self) -> tuple[int, int]:
        assert self.teacher is not None
        return self.teacher.features.size

    @property
    def teacher_features(self) -> SpatialFeatures:
        assert self.teacher is not None
        features = self.teacher.features
        return replace(features, x=features.x[self.shown])

    def teacher_map(self, size: tuple[int, int]) -> Tensor:
        assert self.teacher is not None
        return self.teacher.at(size)[self.shown]

    def shared(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that all proxies read, by the name of the input."""
        yield "features", self.features.x
        yield "images", self.images
        if self.teacher is not None:
            yield from self.teacher.shared()


class JointScorer:
    """Candidates of one space, scored as one population with one draw of the weights.

    Args:
        candidates: Those to score, of one space and with the same options.
        seed: Seed of the weights.
        conditions: Device and precision.
        view: Images and teacher.
        memory: Bytes that activations may take, see `tvtfast.population.Population`.
        weights: What the candidates inherit; ``None`` where weights are drawn.
    """

    def __init__(
        self,
        candidates: Sequence[ArchCandidate],
        seed: int,
        conditions: Conditions,
        view: View,
        memory: int | None,
        weights: InheritedWeights | None = None,
    ) -> None:
        first = candidates[0]
        self._view, self._first = view, first
        self.population = Population(
            first.space.paths_of([candidate.source for candidate in candidates], first.options),
            space=first.space,
            seed=seed,
            device=conditions.device,
            dtype=DTYPES[conditions.dtype],
            memory=memory,
            weights=weights,
            **asdict(first.options),
        )

    def of_features(self, proxies: Sequence[Proxy]) -> Iterator[list[tuple[int, Proxy, Cell]]]:
        """Cells of all candidates with proxies that are means over images or made of features, some
        at a time, as they are ready: row, proxy, cell."""
        started = time.perf_counter()
        for entries, made in self._in_turn(self._of_features(proxies)):
            of = {proxy: cells() for proxy, cells in made.items()}
            share = (time.perf_counter() - started) / (len(proxies) * sum(map(len, entries)))
            yield [
                (row, proxy, cell._replace(seconds=share))
                for proxy in proxies
                for equal, cell in zip(entries, of[proxy], strict=True)
                for row in equal
            ]
            started = time.perf_counter()

    def _of_features(
        self, proxies: Sequence[Proxy]
    ) -> Iterator[tuple[Entries, dict[Proxy, Cells]]]:
        """Candidates, and how their cells are had."""
        assert self._view.batch is not None
        for found in self.population.features(self._view.batch.images):
            view = FeaturesView(
                found.features, self._view.batch.images, slice(None), self._view.teacher
            )
            yield found.rows, {proxy: _feature_cells(proxy, view) for proxy in proxies}

    def _in_turn(self, parts: Iterator[T]) -> Iterator[T]:
        """Parts, on a device each when the work for the next is queued, so that the device has
        something to do while scores of one part are waited for, and stored."""
        return parts if self.population.device.type == "cpu" else one_behind(parts)

    def of_blocks(self, proxies: Sequence[Proxy]) -> Iterator[list[tuple[int, Proxy, Cell]]]:
        """Cells of all candidates with proxies that are made of the values of blocks, as they are
        ready: row, proxy, cell."""
        assert self._view.batch is not None
        started = time.perf_counter()
        _check_blocks(self._first, self.population)
        known: dict[Proxy, dict[tuple[int, int], float | Exception]] = {p: {} for p in proxies}
        for found in self.population.block_features(self._view.batch.images):
            view = FeaturesView(
                found.features, self._view.batch.images, slice(None), self._view.teacher
            )
            ended = [row for rows in found.ended for row in rows]
            entries = zip(found.blocks, found.rows, _apart(found.features), strict=True)
            for block, rows, features in entries:
                if block is None:
                    continue
                values = _block_values(proxies, replace(view, features=features), block)
                for proxy, value in values.items():
                    known[proxy] |= {(row, block): value for row in rows}
            if not ended:
                continue
            share = (time.perf_counter() - started) / (len(proxies) * len(ended))
            yield [
                (row, proxy, _block_cell(proxy, _taken(known[proxy], row))._replace(seconds=share))
                for row in ended
                for proxy in proxies
            ]
            started = time.perf_counter()

    def step_values(self, proxy: Proxy) -> list[float]:
        """Summand of every distinct step of the population."""
        return step_values(proxy, self.population.paths.steps, self.population.bank)

    def sums(self, proxy: Proxy) -> npt.NDArray[np.generic]:
        """Scores that are sums over layers, ``[n]``."""
        return self.population.paths.total(self.step_values(proxy))

    def per_image(
        self,
        proxies: Sequence[Proxy],
        rows: Sequence[int] | None = None,
        images: Sequence[int] | None = None,
    ) -> Iterator[tuple[Entries, PerImage]]:
        """Scores of every image, in the order they are ready.

        Args:
            proxies: Proxies with ``per_image``.
            rows: Candidates to score; default all.
            images: Which images of the batch to show; default all.

        Yields:
            Candidates (several in one entry where architectures are equal) and their scores, the
            images in the order they were asked for.
        """
        parts = self._per_image(proxies, rows, images)
        for entries, scores in self._in_turn(parts):
            yield entries, {name: arriving.values() for name, arriving in scores.items()}

    def _per_image(
        self,
        proxies: Sequence[Proxy],
        rows: Sequence[int] | None,
        images: Sequence[int] | None,
    ) -> Iterator[tuple[Entries, dict[str, Arriving]]]:
        """`per_image`, with scores that are on their way."""
        assert self._view.batch is not None
        shown = (
            slice(None)
            if images is None
            else torch.tensor(images, device=self._view.batch.images.device)
        )
        batch = self._view.batch.images[shown]
        for found in self.population.features(batch, rows):
            view = FeaturesView(found.features, batch, shown, self._view.teacher)
            yield (
                found.rows,
                {proxy.name: _image_scores(proxy, view) for proxy in proxies},
            )


def _image_scores(proxy: Proxy, view: FeaturesView) -> Arriving:
    """Scores of every image ``[K, B]``."""
    assert proxy.per_image is not None
    with unchanged(proxy, view.shared()):
        # the protocol promises more than a proxy with per_image may read
        scores = proxy.per_image(DeclaredInputs(view, proxy)).double()
    if scores.ndim != 2 or len(scores) != len(view.features.x):
        raise ValueError(
            f"per_image of proxy {proxy.name!r} gave scores of shape {list(scores.shape)} for "
            f"{len(view.features.x)} candidates; return one row per candidate, [K, B]"
        )
    return Arriving(scores)


def _feature_cells(proxy: Proxy, view: FeaturesView) -> Cells:
    """How the cells of several candidates are had."""
    if proxy.per_image is not None:
        return _mean_cells(proxy, view)
    cells = [_cell(proxy, replace(view, features=one)) for one in _apart(view.features)]
    return lambda: cells


def _cell(proxy: Proxy, view: FeaturesView) -> Cell:
    """The cell of one candidate from its features."""
    try:
        with unchanged(proxy, view.shared()), torch.no_grad():
            value = float(proxy.compute(cast(ProxyInputs, DeclaredInputs(view, proxy))))
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, SpoiledInputsError):
            raise
        return failure_cell(error, 0.0)
    return value_cell(value, 0.0)


def _check_blocks(candidate: ArchCandidate, population: Population) -> None:
    """Compare the blocks of the first candidate with the features of its model.

    Raises:
        UnsupportedModelError: They differ: a space of one's own may end its blocks otherwise.
    """
    module = blank(candidate.source, space=candidate.space, **asdict(candidate.options))
    shape = (1, candidate.options.in_chans, *candidate.options.img_size)
    with temporary_mode(module, training=False), torch.no_grad():
        found = extract_features(module, torch.empty(shape, device="meta"))
    of_model = [(one.size, one.channels().shape[1]) for one in found]
    of_steps = [(step.grid, step.width) for step in population.blocks(0)]
    if of_model != of_steps:
        raise UnsupportedModelError(
            f"space {candidate.space.name!r} states {len(of_steps)} blocks, {of_steps}, and its "
            f"model has features of {len(of_model)}, {of_model}; set ends_block of its steps"
        )


def _block_values(
    proxies: Sequence[Proxy], view: FeaturesView, block: int
) -> dict[Proxy, float | Exception]:
    """The values of a block, or why there is none; those that proxies share are computed once."""
    found: dict[Any, float | Exception] = {}
    for proxy in proxies:
        measure = proxy.per_block
        assert measure is not None
        if (measure, proxy.needs) in found:
            continue
        try:
            with unchanged(proxy, view.shared()), torch.no_grad():
                seen = cast(ProxyInputs, DeclaredInputs(view, proxy))
                found[measure, proxy.needs] = float(measure(seen, block))
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, SpoiledInputsError):
                raise
            found[measure, proxy.needs] = error
    return {proxy: found[proxy.per_block, proxy.needs] for proxy in proxies}


def _taken(values: dict[tuple[int, int], float | Exception], row: int) -> list[float | Exception]:
    """The values of the blocks of a candidate, first to last, which are no longer kept."""
    taken: list[float | Exception] = []
    while (row, len(taken)) in values:
        taken.append(values.pop((row, len(taken))))
    return taken


def _block_cell(proxy: Proxy, values: Sequence[float | Exception]) -> Cell:
    """The cell of a candidate from the values of its blocks."""
    assert proxy.of_blocks is not None
    numbers = []
    for value in values:
        if isinstance(value, Exception):
            return failure_cell(value, 0.0)
        numbers.append(value)
    try:
        return value_cell(float(proxy.of_blocks(numbers)), 0.0)
    except Exception as error:
        return failure_cell(error, 0.0)


def _apart(features: SpatialFeatures) -> list[SpatialFeatures]:
    """Features of several candidates one by one, ``[B, P+N, C]`` each."""
    return [replace(features, x=x) for x in features.x]


def _mean_cells(proxy: Proxy, view: FeaturesView) -> Cells:
    """How cells of several candidates are had. Where the proxy fails, every candidate is asked
    alone, on the features that are there, which tells whose cell has no value and why."""
    try:
        scores = _image_scores(proxy, view)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, SpoiledInputsError):
            raise
        if len(view.features.x) == 1:
            failed = [failure_cell(error, 0.0)]
            return lambda: failed
        features = [replace(view.features, x=x[None]) for x in view.features.x]
        alone = [_mean_cells(proxy, replace(view, features=one)) for one in features]
        return lambda: [cell for cells in alone for cell in cells()]
    return lambda: [value_cell(value, 0.0) for value in scores.values().mean(axis=1).tolist()]


def scores_of_many(
    proxy: Proxy, candidates: Sequence[ArchCandidate]
) -> Iterator[list[tuple[int, Cell]]]:
    """Cells of a proxy with ``compute_many``, some at a time, as they are ready: place, cell."""
    assert proxy.compute_many is not None
    started = time.perf_counter()
    for found in proxy.compute_many([candidate.source for candidate in candidates]):
        share = (time.perf_counter() - started) / len(found)
        yield [(place, value_cell(value, share)) for place, value in found.items()]
        started = time.perf_counter()


def step_values(proxy: Proxy, steps: Sequence[Step], bank: WeightBank) -> list[float]:
    """Summands of a proxy that is a sum over layers."""
    assert proxy.per_step is not None
    return [float(proxy.per_step(DeclaredInputs(StepView(step, bank), proxy))) for step in steps]


def weight_bank(
    space: Space[Any],
    steps: Sequence[Step],
    seed: int,
    conditions: Conditions,
    weights: InheritedWeights | None,
) -> WeightBank:
    """The shared weights of some steps of a space.

    Raises:
        ValueError: No model of the space says how its parameters are drawn.
    """
    rule = parameter_rule(space)
    if rule is None:
        raise ValueError(
            f"no model of space {space.name!r} states how its parameters are drawn; register one "
            "with a static method parameter_init(name, owner)"
        )
    return WeightBank(steps, rule, seed=seed, device=conditions.device, weights=weights)


def scorable_jointly(proxy: Proxy) -> bool:
    """Whether a proxy can be computed for many candidates at once."""
    ways = (proxy.per_image, proxy.per_step, proxy.per_block)
    return proxy.of_features or any(way is not None for way in ways)


def joint_candidates(
    population: Sequence[Candidate], weights: InheritedWeights | None = None
) -> dict[int, ArchCandidate]:
    """The candidates, by row, that can be computed at once: their space states its layers and how
    parameters are drawn, the softmax is scaled by the width of a head, and every layer can take
    the weights that they inherit."""
    able: dict[int, bool] = {}
    found = {}
    for row, candidate in enumerate(population):
        if isinstance(candidate, ArchCandidate):
            space = candidate.space
            if id(space) not in able:
                able[id(space)] = (
                    space.has_steps
                    and parameter_rule(space) is not None
                    and candidate.options.softmax_scale is None
                    and (weights is None or can_inherit(steps_of([candidate])))
                )
            if able[id(space)]:
                found[row] = candidate
    return found
