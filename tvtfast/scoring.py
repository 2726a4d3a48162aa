"""Score candidates with proxies: one frozen batch, one teacher forward, one status per cell."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from tvtfast import proxies as proxy_table
from tvtfast.candidates import Candidate, as_candidates
from tvtfast.data import FrozenBatch, VisionDataset, frozen_batch, load_dataset, resolve_images
from tvtfast.evaluation import (
    DTYPES,
    CandidateInputs,
    Conditions,
    TeacherMaps,
    View,
    mixed_seed,
)
from tvtfast.models import (
    FeatureFn,
    SpatialFeatures,
    Teacher,
    UnsupportedModelError,
    load_teacher,
)
from tvtfast.proxies import BASELINES, CombinedProxy, Proxy
from tvtfast.ranking import combine
from tvtfast.score_table import ScoreTable, integer_columns
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space
from tvtfast.store import STATUSES, Cell, ScoreStore, score_key

if TYPE_CHECKING:
    pass

PROTOCOLS = ("fixed", "paper")
ON_ERROR = ("record", "raise")

Images = FrozenBatch | VisionDataset | Tensor | str | os.PathLike[str]


class ScoringError(RuntimeError):
    """A candidate could not be scored and ``on_error="raise"`` was asked for."""


def score(
    candidates: Iterable[Any],
    *,
    space: str | Space[Any] | None = None,
    proxies: Sequence[str | Proxy | CombinedProxy] = ("teacher_aware", "weight_norm"),
    teacher: Teacher | nn.Module | str | os.PathLike[str] | None = None,
    images: Images | None = None,
    labels: Tensor | None = None,
    batch_size: int = 32,
    seed: int = 0,
    init_seeds: int = 1,
    dtype: str = "float32",
    device: torch.device | str | None = None,
    on_error: str = "record",
    progress: bool = False,
    protocol: str = "fixed",
    feature_fn: FeatureFn | None = None,
    store: ScoreStore | str | os.PathLike[str] | None = None,
    **model_options: Any,
) -> ScoreTable:
    """Score untrained candidates.

    All candidates see one frozen batch; the teacher runs once; student and teacher are in
    evaluation mode; the weights of architectures are drawn by index (`tvtfast.initialize_`).
    Modules are scored with the weights they have and left as they were.

    Args:
        candidates: Architectures of ``space`` (objects, published dictionaries or JSON strings),
            modules, or both. Modules need timm's ``forward_intermediates``, or ``feature_fn``.
        space: The space of the architectures, or its name.
        proxies: Names (`tvtfast.proxies.available`) or proxies. Parameter count and FLOPs are
            always scored too.
        teacher: See `tvtfast.load_teacher`; needed by teacher-aware proxies.
        images: ``[B, 3, H, W]`` float, normalised for the student; or a frozen batch, the path of a
            saved one, a data set or its name. Needed by proxies that look at images.
        labels: int64 ``[B]``, when ``images`` is a tensor.
        batch_size: Images to draw when ``images`` is a data set.
        seed: First seed of the weights; and of the images, when they are drawn.
        init_seeds: Number of weight draws; with more than one, scores are means and the table has a
            ``<proxy>_std`` column.
        dtype: ``float32``, ``bfloat16`` or ``float16`` (autocast; weights and statistics stay
            fp32), or ``float64``.
        device: Where architectures are built and the teacher runs; default the GPU if there is one.
        on_error: ``record`` keeps going and notes status and reason, ``raise`` stops at the first.
        progress: Show a progress bar.
        protocol: ``fixed`` as above; ``paper`` repeats the noise of the published code: train-mode
            batch norm and stochastic depth, unrelated weights per candidate, and a new augmented
            batch per candidate where ``images`` is a data set.
        feature_fn: How to read features of modules, see `tvtfast.models.extract_features`.
        store: Keep scores of architectures in this SQLite file and never compute one twice.
        **model_options: ``num_classes`` (default the batch's, else 100), ``img_size`` (default the
            batch's, else 224), ``patch_size``, ``distilled``, ``drop_path_rate``.

    Raises:
        ValueError: Empty population, unknown name, an architecture outside the space, missing
            teacher or images, NaN in the images or in the teacher's features.
        UnsupportedModelError: The teacher has no spatial features.
        ScoringError: With ``on_error="raise"``.

    Determinism: on one device, equal arguments give equal scores, whatever the order of candidates.
    """
    scorer = Scorer(
        space=space,
        proxies=proxies,
        teacher=teacher,
        images=images,
        labels=labels,
        batch_size=batch_size,
        seed=seed,
        init_seeds=init_seeds,
        dtype=dtype,
        device=device,
        on_error=on_error,
        progress=progress,
        protocol=protocol,
        feature_fn=feature_fn,
        store=store,
        **model_options,
    )
    return scorer(candidates)


class Scorer:
    """`score` with everything but the candidates fixed; call it once per population or generation.

    The arguments, errors and guarantees are those of `score`. Images, teacher and store are
    resolved once, when it is made.
    """

    def __init__(
        self,
        *,
        space: str | Space[Any] | None = None,
        proxies: Sequence[str | Proxy | CombinedProxy] = ("teacher_aware", "weight_norm"),
        teacher: Teacher | nn.Module | str | os.PathLike[str] | None = None,
        images: Images | None = None,
        labels: Tensor | None = None,
        batch_size: int = 32,
        seed: int = 0,
        init_seeds: int = 1,
        dtype: str = "float32",
        device: torch.device | str | None = None,
        on_error: str = "record",
        progress: bool = False,
        protocol: str = "fixed",
        feature_fn: FeatureFn | None = None,
        store: ScoreStore | str | os.PathLike[str] | None = None,
        **model_options: Any,
    ) -> None:
        _check_choice("dtype", dtype, DTYPES)
        _check_choice("on_error", on_error, ON_ERROR)
        _check_choice("protocol", protocol, PROTOCOLS)
        if init_seeds < 1:
            raise ValueError(f"init_seeds is {init_seeds}; give 1 or more")
        self.space = None if space is None else get_space(space)
        self.single, self.combined = proxy_table.resolve(
            [*BASELINES, *([proxies] if isinstance(proxies, str) else proxies)]
        )
        resolved_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.conditions = Conditions(resolved_device, dtype, paper=protocol == "paper")
        self.seeds = range(seed, seed + init_seeds)
        self.on_error, self.protocol = on_error, protocol
        self.evaluated = 0
        self.progress, self.feature_fn = progress, feature_fn
        self.store = store if isinstance(store, ScoreStore) else ScoreStore(store)
        self.teacher = (
            None if teacher is None else load_teacher(teacher, device=self.conditions.device)
        )
        self._redraw_from = _dataset_of(images) if protocol == "paper" else None
        self.batch = self._resolve_batch(
            images, labels, batch_size=batch_size, seed=seed, img_size=model_options.get("img_size")
        )
        self.options = _model_options(self.batch, model_options)
        self._require("images", self.batch is not None)
        self._require("labels", self.batch is not None and self.batch.labels is not None)
        self._require("teacher", self.teacher is not None)
        self._view = View(self.batch, self._teacher_maps(self.batch))

    def __call__(self, candidates: Iterable[Any]) -> ScoreTable:
        """Score a population, see `score`."""
        population = as_candidates(candidates, self.space, self.options, self.feature_fn)
        rows = [
            self._score_candidate(candidate)
            for candidate in tqdm(
                population, desc="scoring", unit="candidate", disable=not self.progress
            )
        ]
        return self._table(population, rows)

    def features(self, candidate: Any) -> SpatialFeatures:
        """Last-block features of one candidate for the frozen batch, with the first seed."""
        population = as_candidates([candidate], self.space, self.options, self.feature_fn)
        return CandidateInputs(population[0], self.seeds[0], self._view, self.conditions).features

    @property
    def teacher_features(self) -> SpatialFeatures | None:
        """Last-stage features of the teacher for the frozen batch."""
        return None if self._view.teacher is None else self._view.teacher.features

    def _resolve_batch(
        self, images: Images | None, labels: Tensor | None, **drawing: Any
    ) -> FrozenBatch | None:
        if images is None:
            return None
        if isinstance(images, (Tensor, FrozenBatch)):
            batch = resolve_images(images, labels=labels)
        else:
            batch = resolve_images(images, **drawing)
        return batch.to(self.conditions.device)

    def _require(self, what: str, given: bool) -> None:
        for proxy in self.single:
            if what in proxy.needs and not given:
                raise ValueError(f"proxy {proxy.name!r} needs {what}; pass {what}=...")

    @torch.no_grad()
    def _teacher_maps(self, batch: FrozenBatch | None) -> TeacherMaps | None:
        if self.teacher is None or batch is None:
            return None
        teacher = self.teacher
        if self.conditions.paper:
            teacher = copy.copy(teacher)
            teacher.module = copy.deepcopy(teacher.module).train()
        features = teacher.features(batch.images, normalization=batch.normalization)[-1]
        if not torch.isfinite(features.x).all():
            raise ValueError(
                f"the features of teacher {teacher.name!r} hold NaN or infinite values; check its "
                "weights and the normalisation of the images"
            )
        return TeacherMaps(features)

    def _score_candidate(self, candidate: Candidate) -> dict[str, list[Cell]]:
        planned = [(proxy, seed) for proxy in self.single for seed in self._seeds_of(proxy)]
        fields = {plan: self._fields(candidate, *plan) for plan in planned}
        stored = self.store.get(score_key(entry) for entry in fields.values() if entry is not None)
        prepared: dict[int, CandidateInputs] = {}
        cells: dict[str, list[Cell]] = {proxy.name: [] for proxy in self.single}
        for proxy, seed in planned:
            entry = fields[proxy, seed]
            cell = None if entry is None else stored.get(score_key(entry))
            if cell is None:
                if seed not in prepared:
                    prepared[seed] = CandidateInputs(
                        candidate, seed, self._shown_to(candidate), self.conditions
                    )
                cell = self._evaluate(proxy, prepared[seed])
                if entry is not None:
                    self.store.put(entry, cell)
            cells[proxy.name].append(cell)
        self.evaluated += bool(prepared)
        return cells

    def _seeds_of(self, proxy: Proxy) -> range:
        return self.seeds if "weights" in proxy.needs else self.seeds[:1]

    def _fields(self, candidate: Candidate, proxy: Proxy, seed: int) -> dict[str, Any] | None:
        if candidate.identity is None:
            return None
        fields = {"candidate": candidate.identity, "proxy": proxy.name, "version": proxy.version}
        if proxy.needs:
            fields |= {
                "dtype": self.conditions.dtype,
                "device": self.conditions.device.type,
                "protocol": self.protocol,
            }
        if "weights" in proxy.needs:
            fields["init_seed"] = seed
        if "images" in proxy.needs and self.batch is not None:
            normalization = self.batch.normalization
            fields["batch"] = [
                self.batch.fingerprint,
                normalization and asdict(normalization),
                self._redraw_from is not None,
            ]
        if "teacher" in proxy.needs and self.teacher is not None:
            fields["teacher"] = self.teacher.fingerprint
        return fields

    def _shown_to(self, candidate: Candidate) -> View:
        if not self.conditions.paper or self.batch is None:
            return self._view
        batch = self.batch
        if self._redraw_from is not None:
            batch = frozen_batch(
                self._redraw_from,
                len(batch),
                img_size=batch.images.shape[-1],
                seed=mixed_seed(self.seeds[0], candidate.label) % 2**31,
                augment=True,
            ).to(self.conditions.device)
        return View(batch, self._teacher_maps(batch))

    def _evaluate(self, proxy: Proxy, inputs: CandidateInputs) -> Cell:
        started = time.perf_counter()
        value, status, reason = math.nan, "ok", ""
        try:
            with torch.no_grad() if "gradients" not in proxy.needs else contextlib.nullcontext():
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

    def _table(
        self, population: Sequence[Candidate], rows: Sequence[Mapping[str, Sequence[Cell]]]
    ) -> ScoreTable:
        import pandas as pd

        values: dict[str, list[Any]] = {"arch": [candidate.label for candidate in population]}
        status: dict[str, list[str]] = {}
        reasons: dict[str, list[str]] = {}
        for proxy in self.single:
            merged = [_merge(row[proxy.name]) for row in rows]
            values[proxy.name] = [cell.value for cell in merged]
            status[proxy.name] = [cell.status for cell in merged]
            reasons[proxy.name] = [cell.reason for cell in merged]
            if len(self._seeds_of(proxy)) > 1:
                values[f"{proxy.name}_std"] = [_deviation(row[proxy.name]) for row in rows]
        frame = pd.DataFrame(values)
        directions = {proxy.name: proxy.higher_is_better for proxy in self.single}
        for combined in self.combined:
            parts = list(combined.parts)
            frame[combined.name] = combine(frame[parts], directions, combined.method)
            worst = [
                max((status[part][i] for part in parts), key=STATUSES.index) for i in frame.index
            ]
            status[combined.name] = worst
            reasons[combined.name] = [
                "; ".join(f"{part}: {reasons[part][i]}" for part in parts if reasons[part][i])
                for i in frame.index
            ]
            directions[combined.name] = combined.higher_is_better
        return ScoreTable(
            integer_columns(frame),
            pd.DataFrame(status),
            pd.DataFrame(reasons),
            candidates=[candidate.source for candidate in population],
            higher_is_better=directions,
            scored=[proxy.name for proxy in self.single if proxy.name not in BASELINES]
            or list(BASELINES),
        )


def _merge(cells: Sequence[Cell]) -> Cell:
    """Mean over weight draws; the first draw that failed speaks for all."""
    for cell in cells:
        if cell.status != "ok":
            return replace(cell, value=math.nan)
    return Cell(math.fsum(cell.value for cell in cells) / len(cells))


def _deviation(cells: Sequence[Cell]) -> float:
    mean = _merge(cells).value
    variance = math.fsum((cell.value - mean) ** 2 for cell in cells) / (len(cells) - 1)
    return math.sqrt(variance)


def _status_of(error: Exception) -> str:
    if isinstance(error, UnsupportedModelError):
        return "unsupported"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(
        error
    ):
        return "oom"
    return "error"


def _dataset_of(images: Images | None) -> VisionDataset | None:
    if isinstance(images, VisionDataset):
        return images
    if images is None or isinstance(images, (Tensor, FrozenBatch)):
        return None
    return None if os.fspath(images).endswith(".safetensors") else load_dataset(images)


def _model_options(batch: FrozenBatch | None, given: Mapping[str, Any]) -> ModelOptions:
    options = dict(given)
    if batch is not None:
        size = tuple(batch.images.shape[-2:])
        wanted = ModelOptions.of(**options).img_size if "img_size" in options else size
        if wanted != size:
            raise ValueError(
                f"img_size is {wanted} and the images are {size}; resize them or leave img_size out"
            )
        options["img_size"] = size
        if batch.num_classes is not None:
            options.setdefault("num_classes", batch.num_classes)
    return ModelOptions.of(**options)


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
