"""One candidate as proxies see it: built, shown a batch, and run at most once."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tvtfast.data import FrozenBatch
from tvtfast.initialization import Draw
from tvtfast.models import FeatureFn, SpatialFeatures, last_features, temporary_mode
from tvtfast.proxies import LossGradients, loss_gradients
from tvtfast.scoring.candidates import ArchCandidate, Candidate
from tvtfast.scoring.module_state import ModuleState

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


_OF_WEIGHTS = frozenset({"features", "gradients"})
"""Inputs that are computed with the weights, and kept."""


@dataclass(frozen=True)
class Conditions:
    """How candidates are run.

    Args:
        device: Where architectures are built and the teacher runs.
        dtype: A key of `DTYPES`; half precisions run under autocast.
        paper: Train mode and unrelated weights per candidate, as in the published code.
    """

    device: torch.device
    dtype: str
    paper: bool


class TeacherMaps:
    """Attention maps of the teacher's last stage, each size computed once, and its class map.

    Args:
        features: Of the last stage.
        make_class_map: Makes the class map, when it is first asked for.
    """

    def __init__(
        self, features: SpatialFeatures, make_class_map: Callable[[], SpatialFeatures]
    ) -> None:
        self.features, self.make_class_map = features, make_class_map
        self._maps: dict[tuple[int, int], Tensor] = {}

    def at(self, size: tuple[int, int]) -> Tensor:
        if size not in self._maps:
            self._maps[size] = self.features.attention_map(size)
        return self._maps[size]

    @cached_property
    def class_map(self) -> SpatialFeatures:
        return self.make_class_map()

    def made(self) -> Iterable[Tensor]:
        """The attention maps that are there."""
        return self._maps.values()

    def shared(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors that are there, by the name of the input."""
        yield "teacher_features", self.features.x
        yield from (("teacher_map", one) for one in self.made())
        if "class_map" in self.__dict__:
            yield "teacher_class_map", self.class_map.x


@dataclass(frozen=True)
class View:
    """What a candidate is shown: a batch, and the teacher's features of it."""

    batch: FrozenBatch | None
    teacher: TeacherMaps | None

    def shared(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors, by the name of the input."""
        if self.batch is not None:
            yield "images", self.batch.images
            if self.batch.labels is not None:
                yield "labels", self.batch.labels
        if self.teacher is not None:
            yield from self.teacher.shared()


class Kept(NamedTuple):
    """A tensor that proxies read and may not change.

    Args:
        name: Of the input.
        tensor: The tensor.
        version: Of the moment it was made or first watched; ``None`` where it counts none.
    """

    name: str
    tensor: Tensor
    version: int | None

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> Kept:
        return cls(name, tensor, None if tensor.is_inference() else tensor._version)

    @property
    def changed(self) -> bool:
        """Whether it was written to since."""
        return self.version is not None and self.tensor._version != self.version


class CandidateInputs:
    """`tvtfast.proxies.ProxyInputs` of one candidate with one weight draw.

    Args:
        candidate: The candidate.
        seed: Of the weight draw.
        view: What it is shown.
        conditions: How it is run.
        draw_weights: Draws the weights of an architecture, see `tvtfast.initialize_`.

    Attributes:
        kept: Tensors that were computed and that all proxies read.
    """

    def __init__(
        self,
        candidate: Candidate,
        seed: int,
        view: View,
        conditions: Conditions,
        draw_weights: Draw | None = None,
    ) -> None:
        self.candidate, self.draw = candidate, seed
        self.view, self._conditions = view, conditions
        self._draw_weights = draw_weights
        self._state: ModuleState | None = None
        self.kept: list[Kept] = []

    @property
    def arch(self) -> Any:
        return self.candidate.source if isinstance(self.candidate, ArchCandidate) else None

    @cached_property
    def params(self) -> int:
        return self.candidate.params()

    @cached_property
    def flops(self) -> int:
        with temporary_mode(self.candidate.source, training=False):
            return self.candidate.flops(
                None if self.view.batch is None else self._on_device(self.images)
            )

    @cached_property
    def seed(self) -> int:
        if self._conditions.paper:
            return mixed_seed(self.draw, self.candidate.label)
        return self.draw

    @property
    def img_size(self) -> tuple[int, int]:
        return self.candidate.options.img_size

    @property
    def feature_fn(self) -> FeatureFn | None:
        return self.candidate.feature_fn

    @property
    def module(self) -> nn.Module:
        self._note_state()
        return self._module

    @property
    def module_to_read(self) -> nn.Module:
        """The module for a proxy that changes nothing of it, which saves a copy of the weights."""
        return self._module

    def _note_state(self) -> None:
        """Before a proxy has the module, or runs it."""
        if self._state is None:
            self._state = ModuleState(self._module)

    @cached_property
    def _module(self) -> nn.Module:
        module = self.candidate.module(self.seed, self._conditions.device, self._draw_weights)
        if not isinstance(self.candidate, ArchCandidate):
            return copy.deepcopy(module) if self._conditions.paper else module
        return module.double() if self._conditions.dtype == "float64" else module

    @property
    def images(self) -> Tensor:
        assert self.view.batch is not None
        return self.view.batch.images

    @property
    def labels(self) -> Tensor:
        assert self.view.batch is not None and self.view.batch.labels is not None
        return self.view.batch.labels

    def running(self) -> contextlib.AbstractContextManager[Tensor]:
        self._note_state()
        return self._running()

    @contextlib.contextmanager
    def _running(self) -> Iterator[Tensor]:
        conditions = self._conditions
        images = self._on_device(self.images)
        dtype = DTYPES[conditions.dtype]
        half = dtype in (torch.bfloat16, torch.float16)
        if dtype == torch.float64 and isinstance(self.candidate, ArchCandidate):
            images = images.double()
        with (
            temporary_mode(self._module, training=conditions.paper),
            seeded(self.draw, self.candidate.label, images.device),
            torch.autocast(images.device.type, dtype, enabled=half),
        ):
            yield images

    @cached_property
    def features(self) -> SpatialFeatures:
        with torch.no_grad(), self._running() as images:
            found = last_features(self._module, images, feature_fn=self.candidate.feature_fn)
        self.kept.append(Kept.of("features", found.x))
        return found

    @cached_property
    def gradients(self) -> LossGradients:
        with self._running() as images:
            found = loss_gradients(self._module, images, self.labels)
        self.kept += [Kept.of("gradients", layer.gradient) for layer in found.layers]
        return found

    @property
    def teacher_features(self) -> SpatialFeatures:
        assert self.view.teacher is not None
        features = self.view.teacher.features
        return replace(features, x=features.x.to(self.features.x.device))

    @property
    def teacher_class_map(self) -> SpatialFeatures:
        assert self.view.teacher is not None
        found = self.view.teacher.class_map
        return replace(found, x=found.x.to(self.device))

    @property
    def teacher_size(self) -> tuple[int, int]:
        assert self.view.teacher is not None
        return self.view.teacher.features.size

    def teacher_map(self, size: tuple[int, int]) -> Tensor:
        assert self.view.teacher is not None
        return self.view.teacher.at(size).to(self.features.x.device)

    @property
    def device(self) -> torch.device:
        """Where the candidate runs."""
        if isinstance(self.candidate.source, nn.Module):
            parameter = next(self.candidate.source.parameters(), None)
            return self._conditions.device if parameter is None else parameter.device
        return self._conditions.device

    @property
    def made(self) -> frozenset[str]:
        """Which of the inputs that depend on the weights are there."""
        return frozenset(_OF_WEIGHTS.intersection(self.__dict__))

    def put_back(self, made: frozenset[str]) -> None:
        """Put the module back, if a proxy had it; what was made of changed weights is dropped.

        Args:
            made: What was there before.
        """
        if self._state is not None and self._state.restore():
            for name in self.made - made:
                del self.__dict__[name]

    def _on_device(self, images: Tensor) -> Tensor:
        if isinstance(self.candidate.source, nn.Module):
            parameter = next(self.candidate.source.parameters(), None)
            return images if parameter is None else images.to(parameter.device)
        return images


@contextlib.contextmanager
def seeded(seed: int, label: str, device: torch.device) -> Iterator[None]:
    """Key stochastic layers by seed and candidate; leave the global generators alone."""
    devices, number = [device] if device.type == "cuda" else [], mixed_seed(seed, label)
    with torch.random.fork_rng(devices):
        # torch.manual_seed would seed every GPU, of which only one is put back
        torch.default_generator.manual_seed(number)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(number)
        yield


def mixed_seed(seed: int, label: str) -> int:
    """A seed below 2**56 that depends on both."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{label}".encode()).digest()[:7], "big")
