"""Scores of one network at a time, for code that has it at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike

import torch
from torch import Tensor, nn

from tvtfast.common import checks
from tvtfast.data import FrozenBatch
from tvtfast.models import FeatureFn, Teacher, load_teacher
from tvtfast.proxies import CombinedProxy, Proxy, expand_groups
from tvtfast.proxies import get as get_proxy
from tvtfast.scoring.candidates import as_candidates
from tvtfast.scoring.evaluator import Evaluator
from tvtfast.scoring.inputs import CandidateInputs, Conditions, View
from tvtfast.scoring.setup import require
from tvtfast.scoring.teacher_answers import TeacherAnswers
from tvtfast.scoring.turns import turn
from tvtfast.spaces import ModelOptions


class Measure:
    """A score as a function of a network: ``measure(net, images, labels)`` is a number.

    Made for search code that meets its candidates one at a time. Where they are known together,
    `tvtfast.score` is faster and gives a table. The numbers are those that `tvtfast.score` gives
    for the same network and images, and nothing else is computed: neither FLOPs nor a table.

    The network stays as it was: weights, gradients, statistics, modes and hooks; so do the random
    state and the number of threads. What the teacher says of a batch is kept, up to 256 MiB, and
    found again by the pixels of the batch; it is asked anew once its own weights have changed.

    Args:
        proxies: Names, groups of names, or proxies of one candidate, see `tvtfast.Scoring`.
        teacher: See `tvtfast.load_teacher`; needed by teacher-aware proxies.
        feature_fn: How to read features of the network, see `tvtfast.models.extract_features`.
        seed: Of what proxies draw at random.

    Attributes:
        proxies: The proxies, in order.

    Raises:
        ValueError: An unknown name, a proxy that needs a teacher without one, or one that compares
            a candidate with others, such as ``tvt``: one network has no such score.

    Threads may share a measure; they take turns. It can be pickled (as far as ``feature_fn`` and
    the teacher can) and copied; what the teacher said is left behind.
    """

    def __init__(
        self,
        proxies: str | Proxy | Sequence[str | Proxy | CombinedProxy] = ("teacher_aware",),
        *,
        teacher: Teacher | nn.Module | str | PathLike[str] | None = None,
        feature_fn: FeatureFn | None = None,
        seed: int = 0,
    ) -> None:
        self.proxies = _of_one_candidate(proxies)
        require(self.proxies, "teacher", teacher is not None)
        self._teacher = None if teacher is None else TeacherAnswers(load_teacher(teacher))
        self._feature_fn = feature_fn
        self._seed = checks.seed(seed)
        needs = frozenset().union(*(proxy.needs for proxy in self.proxies))
        self._asks_teacher = "teacher" in needs
        self._looks = any(proxy.needs != {"weights"} for proxy in self.proxies)

    def __call__(
        self,
        net: nn.Module | str,
        images: Tensor | FrozenBatch | None = None,
        labels: Tensor | None = None,
    ) -> float | dict[str, float]:
        """Score one network.

        Args:
            net: The network, with the weights it has, where it is; or the name of a model of timm,
                which is built for the size of the images, with weights that timm draws.
            images: ``[B, 3, H, W]`` float, normalised for it; or a frozen batch, whose
                normalisation is known to the teacher. ``None`` where no proxy looks at images.
            labels: int64 ``[B]``, for proxies that need them; a frozen batch has its own.

        Returns:
            The score; of several proxies a dictionary by name, in their order.

        Raises:
            TypeError: ``net`` is neither a module nor a name.
            ValueError: An unknown name, missing images or labels, images of another shape or with
                NaN, or NaN in the teacher's features.
            ScoringError: The network has no such score; the message says why.

        Determinism: on one device, equal arguments give equal scores.
        """
        if not isinstance(net, (nn.Module, str)):
            raise TypeError(
                f"net is a {type(net).__name__}; give a torch.nn.Module or the name of a model of "
                "timm (architectures are scored by tvtfast.Scorer)"
            )
        require(self.proxies, "images", images is not None)
        options = _options(images)
        weight = next(net.parameters(), None) if isinstance(net, nn.Module) else None
        batch: FrozenBatch | None = None
        # Outside of inference mode: proxies differentiate, and what the teacher says is kept.
        with turn(), torch.inference_mode(False):
            candidate = as_candidates([net], None, options, self._feature_fn)[0]
            if self._looks and images is not None:
                batch = _batch(images, labels)
                require(self.proxies, "labels", batch.labels is not None)
                batch = batch if weight is None else batch.to(weight.device)
            pixels = images.images if isinstance(images, FrozenBatch) else images
            device = next((x.device for x in (weight, pixels) if x is not None), None)
            conditions = Conditions(device or torch.device("cpu"), "float32", paper=False)
            with self._view(batch, conditions) as view:
                inputs = CandidateInputs(candidate, self._seed, view, conditions)
                evaluator = _evaluator(view, conditions, self._seed)
                found = {
                    proxy.name: evaluator.evaluate(proxy, inputs).value for proxy in self.proxies
                }
        return found if len(found) > 1 else next(iter(found.values()))

    @contextmanager
    def _view(self, batch: FrozenBatch | None, conditions: Conditions) -> Iterator[View]:
        if batch is None or self._teacher is None or not self._asks_teacher:
            yield View(batch, None)
            return
        with self._teacher.of(batch, conditions) as answers:
            yield View(batch, answers)


def _of_one_candidate(
    names: str | Proxy | Sequence[str | Proxy | CombinedProxy],
) -> tuple[Proxy, ...]:
    found: dict[str, Proxy] = {}
    given = [names] if isinstance(names, (Proxy, CombinedProxy)) else names
    for proxy in map(get_proxy, expand_groups(given)):
        if isinstance(proxy, CombinedProxy):
            parts = ", ".join(map(repr, proxy.parts))
            raise ValueError(
                f"proxy {proxy.name!r} is made of the scores of a whole table, and one network has "
                f"none; measure its parts, proxies=({parts}), or give all candidates to "
                "tvtfast.score"
            )
        if found.setdefault(proxy.name, proxy) is not proxy:
            raise ValueError(
                f"two proxies are called {proxy.name!r}; give them names that tell them apart"
            )
    if not found:
        raise ValueError("no proxy was named; give at least one, such as 'weight_norm'")
    return tuple(found.values())


def _batch(images: Tensor | FrozenBatch, labels: Tensor | None) -> FrozenBatch:
    if isinstance(images, FrozenBatch):
        if labels is not None:
            raise ValueError("labels are given, and the frozen batch has its own; leave them out")
        return images
    return FrozenBatch.from_tensors(
        _ordinary(images), labels if labels is None else _ordinary(labels)
    )


def _ordinary(tensor: Tensor) -> Tensor:
    """What autograd can keep: a copy of what was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def _options(images: Tensor | FrozenBatch | None) -> ModelOptions:
    if images is None:
        return ModelOptions()
    shown = images.images if isinstance(images, FrozenBatch) else images
    if not isinstance(shown, Tensor) or shown.ndim != 4:
        raise ValueError(
            f"images are {list(shown.shape) if isinstance(shown, Tensor) else type(shown).__name__}"
            "; give a tensor [B, 3, H, W] or a tvtfast.data.FrozenBatch"
        )
    height, width = shown.shape[-2:]
    classes = images.num_classes if isinstance(images, FrozenBatch) else None
    stated = {} if classes is None else {"num_classes": classes}
    return ModelOptions.of(img_size=(height, width), patch_size=1, **stated)


def _evaluator(view: View, conditions: Conditions, seed: int) -> Evaluator:
    return Evaluator(
        conditions, view, lambda candidate: view, range(seed, seed + 1), None, on_error="raise"
    )
