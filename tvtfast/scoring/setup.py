"""Settings of a scorer, resolved once: proxies, images, teacher, store."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tvtfast import proxies as proxy_table
from tvtfast.common.machine import as_device
from tvtfast.data import FrozenBatch, VisionDataset, frozen_batch, load_dataset, resolve_images
from tvtfast.models import (
    FeatureFn,
    InheritedWeights,
    SpatialFeatures,
    Teacher,
    as_inherited,
    class_map,
    extract_features,
    load_teacher,
)
from tvtfast.proxies import BASELINES, CombinedProxy, DerivedProxy, Proxy
from tvtfast.scoring.candidates import Candidate, as_candidates
from tvtfast.scoring.inputs import Conditions, TeacherMaps, View, mixed_seed
from tvtfast.scoring.settings import Images, Scoring
from tvtfast.scoring.store import ScoreStore
from tvtfast.spaces import METRICS, ModelOptions, Space, Window, parse_windows
from tvtfast.spaces import get as get_space

_COSTLY = {"flops": ("flops", "macs")}
"""Baselines that take a forward pass of a module, and the columns that are made of it; an
architecture states them."""


@dataclass(frozen=True)
class Setup:
    """What `Scoring` stands for.

    Args:
        space: The space of architectures.
        single: Proxies of one candidate: baselines, those asked for, parts of combinations, what
            stands beside any of them, and what constraints need.
        combined: Proxies of a candidate within the population.
        scored: Names of those that a ranking combines: of ``single``, and of ``combined`` where the
            scale is fixed (`tvtfast.proxies.DerivedProxy`).
        deferred: Names of those of ``single`` that nobody asked for, and that a module is not
            given before somebody looks at them.
        constraints: Windows of scores.
        conditions: Device, number format and protocol.
        protocol: Name of the protocol.
        seeds: Of the weight draws.
        store: Where scores are kept.
        teacher: The teacher.
        teacher_fingerprint: Of the teacher when it was shown the images; its features are those of
            that moment, so scores are stored under it whatever becomes of the network later.
        batch: The images, on the device.
        options: Model options of architectures.
        stated: Names of those that the caller stated, or a proxy that is of such models.
        feature_fn: How to read features of modules.
        view: What all candidates see.
        redraw_from: Where the protocol draws a batch per candidate from; ``None`` where it draws
            none.
        weights: What architectures inherit; ``None`` where weights are drawn.
    """

    space: Space[Any] | None
    single: tuple[Proxy, ...]
    combined: tuple[CombinedProxy, ...]
    scored: tuple[str, ...]
    deferred: frozenset[str]
    constraints: Mapping[str, Window]
    conditions: Conditions
    protocol: str
    seeds: range
    store: ScoreStore
    teacher: Teacher | None
    teacher_fingerprint: str | None
    batch: FrozenBatch | None
    options: ModelOptions
    stated: frozenset[str]
    feature_fn: FeatureFn | None
    view: View
    redraw_from: VisionDataset | None
    weights: InheritedWeights | None = None

    @property
    def directions(self) -> dict[str, bool]:
        """The proxies that are ranked, and whether higher is better."""
        known = {proxy.name: proxy.higher_is_better for proxy in self.single}
        known |= {proxy.name: proxy.higher_is_better for proxy in self.combined}
        return {name: known[name] for name in self.scored}

    def seeds_of(self, proxy: Proxy) -> range:
        """Weight draws that a proxy is averaged over."""
        return self.seeds if "weights" in proxy.needs else self.seeds[:1]

    def candidates(self, given: Iterable[Any]) -> list[Candidate]:
        """A population, checked before anything is computed, see
        `tvtfast.scoring.candidates.as_candidates`."""
        return as_candidates(given, self.space, self.options, self.feature_fn, self.stated)

    def shown_to(self, candidate: Candidate) -> View:
        """What one candidate sees."""
        if not self.conditions.paper or self.batch is None:
            return self.view
        batch = self.batch
        if self.redraw_from is not None:
            batch = frozen_batch(
                self.redraw_from,
                len(batch),
                img_size=batch.images.shape[-1],
                seed=mixed_seed(self.seeds[0], candidate.label) % 2**31,
                augment=True,
            ).to(self.conditions.device)
        return View(batch, teacher_maps(self.teacher, batch, self.conditions))


def set_up(scoring: Scoring) -> Setup:
    """Resolve settings: find names, draw images, run the teacher once.

    Raises:
        ValueError: An unknown name, missing teacher or images, NaN in the images or in the
            teacher's features.
        UnsupportedModelError: The teacher has no spatial features.
    """
    space = None if scoring.space is None else get_space(scoring.space)
    asked = scoring.asked
    single, combined = proxy_table.resolve([*BASELINES, *asked])
    ranked = _ranked(asked, single, combined)
    scored = ranked or tuple(name for name in METRICS if name in asked) or BASELINES
    constraints = parse_windows(scoring.constraints)
    names = {proxy.name for proxy in single}
    beside = {other.name: other for proxy in single for other in proxy.beside}
    single += tuple(other for name, other in beside.items() if name not in names)
    single += proxy_table.constrained_proxies(constraints, single, combined)
    named = {
        *scored,
        *constraints,
        *(proxy if isinstance(proxy, str) else proxy.name for proxy in asked),
        *(part for proxy in combined for part in proxy.parts),
    }
    device = as_device(scoring.device)
    paper = scoring.protocol == "paper"
    conditions = Conditions(device, scoring.dtype, paper=paper)
    store = scoring.store if isinstance(scoring.store, ScoreStore) else ScoreStore(scoring.store)
    teacher = None if scoring.teacher is None else load_teacher(scoring.teacher, device=device)
    if teacher is not None and paper:
        teacher = copy.deepcopy(teacher)  # it is asked again for every candidate
    redraw_from = _dataset_of(scoring.images) if paper else None
    weights = None if scoring.weights is None else as_inherited(scoring.weights)
    wanted = _agreed_options(single, scoring.model_options)
    stated = frozenset(wanted)
    if weights is not None:
        if space is None:
            raise ValueError("weights are for architectures; say of which space: space=...")
        weights.check_space(space)
        wanted = weights.with_options(wanted)
    batch = _batch(scoring, device, wanted.get("img_size"))
    options = _model_options(batch, wanted)
    if space is not None:
        space.check_options(**asdict(options))
    given = {
        "images": batch is not None,
        "labels": batch is not None and batch.labels is not None,
        "teacher": teacher is not None,
    }
    for what, is_there in given.items():
        require(single, what, is_there)
    return Setup(
        space=space,
        single=single,
        combined=combined,
        scored=scored,
        deferred=frozenset(name for name, made in _COSTLY.items() if named.isdisjoint(made)),
        constraints=constraints,
        conditions=conditions,
        protocol=scoring.protocol,
        seeds=range(scoring.seed, scoring.seed + scoring.init_seeds),
        store=store,
        teacher=teacher,
        teacher_fingerprint=None if teacher is None else teacher.fingerprint,
        batch=batch,
        options=options,
        stated=stated,
        feature_fn=scoring.feature_fn,
        view=View(batch, teacher_maps(teacher, batch, conditions)),
        redraw_from=redraw_from,
        weights=weights,
    )


def _ranked(
    asked: Sequence[Any], single: Sequence[Proxy], combined: Sequence[CombinedProxy]
) -> tuple[str, ...]:
    """Names of what a ranking combines: parts of a score of fixed scale stand for nothing of their
    own, unless somebody asked for them."""
    derived = [proxy for proxy in combined if isinstance(proxy, DerivedProxy)]
    parts = {part for proxy in derived for part in proxy.parts}
    parts -= {part for proxy in combined if proxy not in derived for part in proxy.parts}
    parts -= {proxy if isinstance(proxy, str) else proxy.name for proxy in asked}
    hidden = {*METRICS, *parts}
    return (
        *(proxy.name for proxy in single if proxy.name not in hidden),
        *(proxy.name for proxy in derived),
    )


def require(single: Sequence[Proxy], what: str, is_there: bool) -> None:
    """Refuse proxies that need what was not given.

    Raises:
        ValueError: The message names the first.
    """
    for proxy in single:
        if what in proxy.needs and not is_there:
            raise ValueError(f"proxy {proxy.name!r} needs {what}; pass {what}=...")


def _agreed_options(single: Sequence[Proxy], given: Mapping[str, Any]) -> dict[str, Any]:
    """Model options of the caller, and of the models that proxies are of."""
    agreed, known = dict(given), {name: f"{name} is" for name in given}
    for proxy in single:
        for name, value in proxy.model_options.items():
            if _pair(name, agreed.get(name, value)) != _pair(name, value):
                raise ValueError(
                    f"{known[name]} {agreed[name]}, and proxy {proxy.name!r} is of models with "
                    f"{name} {value}; leave {name} out, or score by the two apart"
                )
            agreed[name] = value
            known.setdefault(name, f"proxy {proxy.name!r} is of models with {name}")
    return agreed


def _pair(name: str, value: Any) -> Any:
    """A size as height and width."""
    if name != "img_size":
        return value
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _batch(scoring: Scoring, device: torch.device, img_size: int | None) -> FrozenBatch | None:
    images = scoring.images
    if images is None:
        return None
    if isinstance(images, (Tensor, FrozenBatch)):
        return resolve_images(images, labels=scoring.labels).to(device)
    return resolve_images(
        images,
        batch_size=scoring.batch_size,
        seed=scoring.seed,
        img_size=img_size,
    ).to(device)


@torch.no_grad()
def teacher_maps(
    teacher: Teacher | None, batch: FrozenBatch | None, conditions: Conditions
) -> TeacherMaps | None:
    """What a teacher says of a batch.

    Raises:
        ValueError: Its features hold NaN or infinite values.
    """
    if teacher is None or batch is None:
        return None
    if conditions.paper:
        prepared = teacher.prepare(batch.images, batch.normalization)
        module = copy.deepcopy(teacher.module).train()
        features = extract_features(module, prepared, feature_fn=teacher.feature_fn)[-1]
    else:
        features = teacher.features(batch.images, normalization=batch.normalization)[-1]
    if not torch.isfinite(features.x).all():
        raise ValueError(
            f"the features of teacher {teacher.name!r} hold NaN or infinite values; check its "
            "weights and the normalisation of the images"
        )
    return TeacherMaps(features, partial(teacher_class_map, teacher, batch))


def teacher_class_map(teacher: Teacher, batch: FrozenBatch) -> SpatialFeatures:
    """Class map of a teacher for a batch."""
    prepared = teacher.prepare(batch.images, batch.normalization)
    return class_map(teacher.module, prepared, feature_fn=teacher.feature_fn)


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
