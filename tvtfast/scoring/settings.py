"""What candidates are scored with, stated once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.common import checks
from tvtfast.common.machine import parse_device
from tvtfast.data import FrozenBatch, VisionDataset
from tvtfast.models import FeatureFn, InheritedWeights, Teacher, WeightSource
from tvtfast.proxies import CombinedProxy, Proxy, expand_groups
from tvtfast.scoring.default_proxies import default_proxies
from tvtfast.scoring.executors import Executor, check_executor
from tvtfast.scoring.inputs import DTYPES
from tvtfast.scoring.store import ScoreStore
from tvtfast.spaces import Constraints, Space

PROTOCOLS = ("fixed", "paper")
ON_ERROR = ("record", "raise")

Images = FrozenBatch | VisionDataset | Tensor | str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scoring:
    """The settings of `tvtfast.score`, `tvtfast.Scorer`, `tvtfast.search` and `tvtfast.grow`.

    Args:
        space: The space of the architectures, or its name.
        proxies: Names (`tvtfast.proxies.available`), with options behind them
            (``ntk_condition:method=samples``), groups of names (`tvtfast.proxies.GROUPS`) or
            proxies; default those of the space (`tvtfast.scoring.default_proxies`). Parameter count
            and FLOPs are always scored too.
        teacher: See `tvtfast.load_teacher`; needed by teacher-aware proxies.
        images: ``[B, 3, H, W]`` float, normalised for the student; or a frozen batch, the path of a
            saved one, a data set or its name. Needed by proxies that look at images.
        labels: int64 ``[B]``, when ``images`` is a tensor.
        batch_size: Images to draw when ``images`` is a data set; default 32, or all of a smaller
            set.
        weights: Trained weights that architectures inherit, in place of drawn ones: the state dict,
            module or checkpoint of a supernet, see `tvtfast.models.InheritedWeights`. Model options
            that it fixes, such as ``num_classes``, are its own unless they are given.
        seed: First seed of the weights; and of the images, when they are drawn.
        init_seeds: Number of weight draws; with more than one, scores are means and the table has a
            ``<proxy>_std`` column.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``. Modules run under autocast for
            half precision; architectures have weights and activations in it. Products of fp32 use
            tf32 where ``torch.set_float32_matmul_precision`` allows it.
        device: Where architectures are built and the teacher runs; default the GPU if there is one.
        on_error: ``record`` keeps going and notes status and reason, ``raise`` stops at the first.
        progress: Show a progress bar.
        protocol: ``fixed``: all candidates see one frozen batch, the teacher runs once, student and
            teacher are in evaluation mode, weights are drawn by index. ``paper`` repeats the noise
            of the published code: train-mode batch norm and stochastic depth, unrelated weights per
            candidate, and a new augmented batch per candidate where ``images`` is a data set.
        feature_fn: How to read features of modules, see `tvtfast.models.extract_features`.
        store: Keep scores of architectures in this SQLite file and never compute one twice.
        memory: Bytes that activations of architectures may take together; default half of what is
            available on the device.
        executor: Where candidates are scored: ``None`` in this process; a number of processes of
            this machine; ``ray``, a cluster of Ray that runs, or is begun on this machine;
            ``ray://HOST:PORT``; or a `tvtfast.scoring.executors.Executor`, which stays open. Scores
            do not depend on the number of workers.
        constraints: Windows ``{name: (low, high)}`` of scores. They are scored beside the proxies
            and not ranked; a candidate outside, or without such a score, is not ranked either, see
            `tvtfast.scoring.constraints`.
        model_options: ``num_classes`` (default the batch's, else 100), ``img_size`` (default the
            batch's, else 224), ``patch_size``, ``distilled``, ``drop_path_rate``
            (`tvtfast.spaces.ModelOptions`).

    Raises:
        ValueError: An unknown dtype, protocol, device, executor or ``on_error``, or a number out of
            range.
        ImportError: Ray is to be the executor, and is not installed.
    """

    space: str | Space[Any] | None = None
    proxies: str | Sequence[str | Proxy | CombinedProxy] | None = None
    teacher: Teacher | nn.Module | str | os.PathLike[str] | None = None
    images: Images | None = None
    labels: Tensor | None = None
    batch_size: int | None = None
    weights: InheritedWeights | WeightSource | None = None
    seed: int = 0
    init_seeds: int = 1
    dtype: str = "float32"
    device: torch.device | str | None = None
    on_error: str = "record"
    progress: bool = False
    protocol: str = "fixed"
    feature_fn: FeatureFn | None = None
    store: ScoreStore | str | os.PathLike[str] | None = None
    memory: int | None = None
    executor: Executor | int | str | None = None
    constraints: Constraints | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.choice("dtype", self.dtype, DTYPES)
        checks.choice("on_error", self.on_error, ON_ERROR)
        checks.choice("protocol", self.protocol, PROTOCOLS)
        draws = checks.whole("init_seeds", self.init_seeds, least=1)
        if self.weights is not None and draws > 1:
            raise ValueError(
                f"init_seeds is {draws}, and weights that are inherited are not drawn; leave "
                "init_seeds out"
            )
        given: dict[str, Any] = {"init_seeds": draws, "seed": checks.seed(self.seed, draws=draws)}
        if self.proxies is not None:
            given["proxies"] = expand_groups(self.proxies)
        for name in ("batch_size", "memory"):
            if getattr(self, name) is not None:
                given[name] = checks.whole(name, getattr(self, name), least=1)
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if self.device is not None:
            parse_device(self.device)
        check_executor(self.executor)

    @property
    def asked(self) -> list[str | Proxy | CombinedProxy]:
        """The proxies, those of the space where none are given."""
        given = default_proxies(self.space) if self.proxies is None else self.proxies
        return [given] if isinstance(given, str) else list(given)

    @classmethod
    def of(cls, scoring: Scoring | None = None, /, **settings: Any) -> Scoring:
        """Settings given one by one, on top of others.

        Args:
            scoring: The others; default the defaults.
            **settings: Fields; any other name is a model option.
        """
        known = {entry.name for entry in fields(cls)}
        options = {name: settings.pop(name) for name in settings.keys() - known}
        base = cls() if scoring is None else scoring
        given = settings.pop("model_options", {})
        return replace(base, **settings, model_options={**base.model_options, **given, **options})
