"""One candidate as proxies see it: built, shown a batch, and run at most once."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.data import FrozenBatch
from tvtfast.models import FeatureFn, SpatialFeatures, last_features, temporary_mode
from tvtfast.scoring.candidates import ArchCandidate, Candidate

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


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
    """Attention maps of the teacher's last stage, each size computed once."""

    def __init__(self, features: SpatialFeatures) -> None:
        self.features = features
        self._maps: dict[tuple[int, int], Tensor] = {}

    def at(self, size: tuple[int, int]) -> Tensor:
        if size not in self._maps:
            self._maps[size] = self.features.attention_map(size)
        return self._maps[size]


@dataclass(frozen=True)
class View:
    """What a candidate is shown: a batch, and the teacher's features of it."""

    batch: FrozenBatch | None
    teacher: TeacherMaps | None


class CandidateInputs:
    """`tvtfast.proxies.ProxyInputs` of one candidate with one weight draw."""

    def __init__(self, candidate: Candidate, seed: int, view: View, conditions: Conditions) -> None:
        self.candidate, self._seed = candidate, seed
        self._view, self._conditions = view, conditions

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
                None if self._view.batch is None else self._on_device(self.images)
            )

    @cached_property
    def seed(self) -> int:
        if self._conditions.paper:
            return mixed_seed(self._seed, self.candidate.label)
        return self._seed

    @property
    def img_size(self) -> tuple[int, int]:
        return self.candidate.options.img_size

    @property
    def feature_fn(self) -> FeatureFn | None:
        return self.candidate.feature_fn

    @cached_property
    def module(self) -> nn.Module:
        module = self.candidate.module(self.seed, self._conditions.device)
        if not isinstance(self.candidate, ArchCandidate):
            return copy.deepcopy(module) if self._conditions.paper else module
        return module.double() if self._conditions.dtype == "float64" else module

    @property
    def images(self) -> Tensor:
        assert self._view.batch is not None
        return self._view.batch.images

    @property
    def labels(self) -> Tensor:
        assert self._view.batch is not None and self._view.batch.labels is not None
        return self._view.batch.labels

    @cached_property
    def features(self) -> SpatialFeatures:
        module, conditions = self.module, self._conditions
        images = self._on_device(self.images)
        dtype = DTYPES[conditions.dtype]
        half = dtype in (torch.bfloat16, torch.float16)
        if dtype == torch.float64 and isinstance(self.candidate, ArchCandidate):
            images = images.double()
        with contextlib.ExitStack() as stack:
            stack.enter_context(temporary_mode(module, training=conditions.paper))
            stack.enter_context(_seeded(self._seed, self.candidate.label, images.device))
            stack.enter_context(torch.autocast(images.device.type, dtype, enabled=half))
            return last_features(module, images, feature_fn=self.candidate.feature_fn)

    @property
    def teacher_features(self) -> SpatialFeatures:
        assert self._view.teacher is not None
        features = self._view.teacher.features
        return replace(features, x=features.x.to(self.features.x.device))

    @property
    def teacher_size(self) -> tuple[int, int]:
        assert self._view.teacher is not None
        return self._view.teacher.features.size

    def teacher_map(self, size: tuple[int, int]) -> Tensor:
        assert self._view.teacher is not None
        return self._view.teacher.at(size).to(self.features.x.device)

    def _on_device(self, images: Tensor) -> Tensor:
        if isinstance(self.candidate.source, nn.Module):
            parameter = next(self.candidate.source.parameters(), None)
            return images if parameter is None else images.to(parameter.device)
        return images


@contextlib.contextmanager
def _seeded(seed: int, label: str, device: torch.device) -> Iterator[None]:
    """Key stochastic layers by seed and candidate; leave the global generators alone."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(mixed_seed(seed, label))
        yield


def mixed_seed(seed: int, label: str) -> int:
    """A seed below 2**56 that depends on both."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{label}".encode()).digest()[:7], "big")
