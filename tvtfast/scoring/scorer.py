"""Score candidates with proxies: one frozen batch, one teacher forward, one status per cell."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from tvtfast import proxies as proxy_table
from tvtfast.common.fallbacks import Fallback
from tvtfast.data import FrozenBatch, VisionDataset, frozen_batch, load_dataset, resolve_images
from tvtfast.models import (
    FeatureFn,
    SpatialFeatures,
    Teacher,
    load_teacher,
)
from tvtfast.proxies import BASELINES, CombinedProxy, Proxy, UndefinedScoreError
from tvtfast.scoring.candidates import Candidate, as_candidates
from tvtfast.scoring.evaluator import ON_ERROR, Evaluator
from tvtfast.scoring.failures import may_fall_back
from tvtfast.scoring.inputs import (
    DTYPES,
    CandidateInputs,
    Conditions,
    TeacherMaps,
    View,
    mixed_seed,
)
from tvtfast.scoring.joint import step_values, weight_bank
from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.limits import Limits
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.race_population import ImageScores, obstacle, race_population
from tvtfast.scoring.ranking import Method
from tvtfast.scoring.store import ScoreStore
from tvtfast.scoring.table import ScoreTable
from tvtfast.scoring.tabulate import tabulate
from tvtfast.spaces import ModelOptions, Space, Step
from tvtfast.spaces import get as get_space

PROTOCOLS = ("fixed", "paper")

Images = FrozenBatch | VisionDataset | Tensor | str | os.PathLike[str]


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
    memory: int | None = None,
    **model_options: Any,
) -> ScoreTable:
    """Score untrained candidates.

    Architectures whose space states its layers are computed together: one bank of weights, common
    beginnings once, no module built (`tvtfast.population.Population`); all other candidates, and
    proxies that are neither means over images nor sums over layers, one by one.

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
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``. Modules run under autocast for
            half precision; architectures have weights and activations in it. Products of fp32 use
            tf32 where ``torch.set_float32_matmul_precision`` allows it.
        device: Where architectures are built and the teacher runs; default the GPU if there is one.
        on_error: ``record`` keeps going and notes status and reason, ``raise`` stops at the first.
        progress: Show a progress bar.
        protocol: ``fixed`` as above; ``paper`` repeats the noise of the published code: train-mode
            batch norm and stochastic depth, unrelated weights per candidate, and a new augmented
            batch per candidate where ``images`` is a data set.
        feature_fn: How to read features of modules, see `tvtfast.models.extract_features`.
        store: Keep scores of architectures in this SQLite file and never compute one twice.
        memory: Bytes that activations of architectures may take together; default half of what
            is available on the device.
        **model_options: ``num_classes`` (default the batch's, else 100), ``img_size`` (default the
            batch's, else 224), ``patch_size``, ``distilled``, ``drop_path_rate``.

    Raises:
        ValueError: Empty population, unknown name, an architecture outside the space, missing
            teacher or images, NaN in the images or in the teacher's features.
        UnsupportedModelError: The teacher has no spatial features.
        ScoringError: With ``on_error="raise"``.
        FallbackError: A fast path cannot be taken, and ``TVTFAST_STRICT=1`` is set. Otherwise a
            warning says why and what it costs, and `ScoreTable.fallbacks` keeps it. Too little
            memory, and a model that is not supported, are the only reasons; a bug is raised.

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
        memory=memory,
        **model_options,
    )
    return scorer(candidates)


class Scorer:
    """`score` with everything but the candidates fixed; call it once per population or generation.

    The arguments, errors and guarantees are those of `score`. Images, teacher and store are
    resolved once, when it is made.

    Args:
        limits: Windows ``{name: (low, high)}`` of scores. They are scored beside the proxies and
            not ranked; a candidate outside, or without such a score, is not ranked either, see
            `tvtfast.scoring.limits`.
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
        memory: int | None = None,
        limits: Limits | None = None,
        **model_options: Any,
    ) -> None:
        _check_choice("dtype", dtype, DTYPES)
        _check_choice("on_error", on_error, ON_ERROR)
        _check_choice("protocol", protocol, PROTOCOLS)
        if init_seeds < 1:
            raise ValueError(f"init_seeds is {init_seeds}; give 1 or more")
        self.space = None if space is None else get_space(space)
        asked = [proxies] if isinstance(proxies, str) else list(proxies)
        self.single, self.combined = proxy_table.resolve([*BASELINES, *asked])
        self.limits = dict(limits or {})
        self.scored = (
            tuple(proxy.name for proxy in self.single if proxy.name not in BASELINES)
            or tuple(name for name in BASELINES if name in asked)
            or BASELINES
        )
        self.single += proxy_table.limited_proxies(self.limits, self.single, self.combined)
        resolved_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.conditions = Conditions(resolved_device, dtype, paper=protocol == "paper")
        self.seeds = range(seed, seed + init_seeds)
        self.protocol = protocol
        self.evaluated = 0
        self.fallbacks: list[Fallback] = []
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
        self._evaluator = Evaluator(
            self.conditions, self._view, self._shown_to, self.seeds, memory, on_error
        )

    def __call__(self, candidates: Iterable[Any]) -> ScoreTable:
        """Score a population, see `score`."""
        ledger = self._ledger(candidates)
        self.evaluated += ledger.unfinished
        self._score_all(ledger)
        return self._table(ledger)

    def race_obstacle(self, method: Method = "minmax_sum") -> str | None:
        """Why `race` is not possible; ``None`` where it is."""
        if self.limits:
            return f"limits ({', '.join(self.limits)}) are held against scores, not estimates"
        images = 0 if self.batch is None else len(self.batch)
        return obstacle(self.space, self.single, self.scored, method, images, self.conditions.paper)

    def race(
        self, candidates: Iterable[Any], method: Method = "minmax_sum", top_k: int = 10
    ) -> ScoreTable:
        """Score a population on few images, and on more only those that may still be among the
        best: see `tvtfast.scoring.race`.

        The ``top_k`` best are complete and score what `score` gives. Candidates that went out have
        status ``partial`` and an estimate for a value. Scores of single images are kept in the
        store, so that a race that was stopped goes on where it was. Where candidates cannot be
        scored together after all, for want of memory, the whole population is scored as ever, and
        the table has a note of that (`ScoreTable.fallbacks`).

        Args:
            candidates: Architectures of the space.
            method: How the proxies are combined.
            top_k: The best to find.

        Raises:
            ValueError: A race is not possible, or ``top_k`` below 1.
        """
        reason = self.race_obstacle(method)
        if reason is not None:
            raise ValueError(f"a race is not possible: {reason}; score all candidates instead")
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give 1 or more")
        ledger = self._ledger(candidates)
        summary = self._race(ledger, top_k) if ledger.unfinished else None
        self._score_all(ledger)
        return self._table(ledger, summary)

    def _table(self, ledger: Ledger, race: RaceSummary | None = None) -> ScoreTable:
        self.fallbacks += ledger.fallbacks
        return tabulate(
            ledger,
            self.single,
            self.combined,
            scored=self.scored,
            race=race,
            limits=self.limits,
        )

    def _ledger(self, candidates: Iterable[Any]) -> Ledger:
        population = as_candidates(candidates, self.space, self.options, self.feature_fn)
        return Ledger(population, self.single, self._seeds_of, self._fields, self.store)

    def _score_all(self, ledger: Ledger) -> None:
        with tqdm(
            total=len(ledger.population),
            desc="scoring",
            unit="candidate",
            disable=not (self.progress and ledger.unfinished),
        ) as bar:
            bar.update(len(ledger.population) - ledger.unfinished)
            ledger.on_done = bar.update
            if not self.conditions.paper:
                self._evaluator.score_jointly(ledger, self.single)
            self._evaluator.score_as_populations(ledger, self.single)
            self._evaluator.score_one_by_one(ledger)

    def _race(self, ledger: Ledger, top_k: int) -> RaceSummary | None:
        """Race, and enter all scores; or enter none, where there is no memory for it, or a proxy
        cannot say what single images score."""
        assert self.batch is not None
        sums = [proxy for proxy in self.single if proxy.per_step is not None]
        means = [proxy for proxy in self.single if proxy.per_step is None]
        computed = {row for row, proxy, _ in ledger.missing() if proxy in sums}
        self._evaluator.score_jointly(ledger, sums)
        images = len(self.batch)
        with tqdm(
            total=len(ledger.population) * images,
            desc="racing",
            unit="image",
            disable=not self.progress,
        ) as bar:
            scores = ImageScores(
                ledger,
                means,
                self._seeds_of,
                images,
                partial(self._evaluator.joint, ledger.population),
                self.store,
                bar.update,
            )
            ranked = [proxy for proxy in sums if proxy.name in self.scored]
            try:
                race, cells = race_population(ledger, ranked, scores, images, top_k, self.seeds[0])
            except Exception as error:
                if not (may_fall_back(error) or isinstance(error, UndefinedScoreError)):
                    raise
                what = f"a race of {len(ledger.population):,} candidates"
                ledger.note(what, f"every candidate is shown all {images} images", error)
                self.evaluated += ledger.unfinished
                return None
            bar.total = bar.n  # what was left out is not going to come
            bar.refresh()
        self.evaluated += len(computed | scores.computed)
        ledger.put((task, cell) for task, cell in cells if self._evaluator.may_enter(cell))
        return race.summary

    def features(self, candidate: Any) -> SpatialFeatures:
        """Last-block features of one candidate for the frozen batch, with the first seed."""
        population = as_candidates([candidate], self.space, self.options, self.feature_fn)
        return CandidateInputs(population[0], self.seeds[0], self._view, self.conditions).features

    def step_values(self, steps: Sequence[Step]) -> list[float]:
        """Summands of the score for some steps of the space, higher is better; means over weight
        draws.

        Raises:
            ValueError: The score is not that of one proxy that is a sum over layers.
        """
        proxy = self._additive_proxy()
        assert self.space is not None
        draws = [
            step_values(proxy, steps, weight_bank(self.space, steps, seed, self.conditions))
            for seed in self._seeds_of(proxy)
        ]
        sign = 1.0 if proxy.higher_is_better else -1.0
        return [sign * math.fsum(values) / len(values) for values in zip(*draws, strict=True)]

    def _additive_proxy(self) -> Proxy:
        scored = [proxy for proxy in self.single if proxy.name in self.scored]
        told = [
            proxy.name if proxy.per_step else f"{proxy.name} (not a sum over layers)"
            for proxy in scored
        ] + [f"{proxy.name} (scaled over a population)" for proxy in self.combined]
        if len(told) > 1 or scored[0].per_step is None:
            raise ValueError(
                "the best architectures are found exactly for one proxy that is a sum over layers, "
                f"and the proxies are {', '.join(told)}; choose one alone, such as weight_norm, or "
                "another strategy"
            )
        if self.conditions.paper and scored[0].needs:
            raise ValueError(
                "the best architectures are found exactly where candidates share their weights; "
                "choose protocol 'fixed', or another strategy"
            )
        return scored[0]

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

    def _seeds_of(self, proxy: Proxy) -> range:
        return self.seeds if "weights" in proxy.needs else self.seeds[:1]

    def _fields(self, candidate: Candidate, proxy: Proxy, seed: int) -> dict[str, Any] | None:
        if candidate.identity is None:
            return None
        fields = {"candidate": candidate.identity, "proxy": proxy.name, "version": proxy.version}
        if proxy.needs:
            fields |= {
                "dtype": _precision(self.conditions.dtype),
                "device": self.conditions.device.type,
                "protocol": self.protocol,
            }
        if proxy.depends_on is not None:
            fields["depends_on"] = dict(proxy.depends_on())
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


def _precision(dtype: str) -> str:
    """The dtype, and what else decides how exact its matrix products are."""
    products = torch.get_float32_matmul_precision()
    return dtype if dtype != "float32" or products == "highest" else f"{dtype}, {products} products"


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
