"""How a network is trained, as plain data: the two published recipes, and the parts timm makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tvtfast.common import checks
from tvtfast.common.names import did_you_mean
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.placed import AUGMENTATIONS
from tvtfast.training.layer_decay import NO_DECAY, layer_groups
from tvtfast.training.tokens import ProgressiveTokens

if TYPE_CHECKING:
    from timm.scheduler.scheduler import Scheduler

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Formats of the forward pass; weights and optimiser stay fp32."""

OPTIMIZERS = ("adamw", "sgd")
"""Optimisers of the recipes; ``sgd`` has Nesterov momentum. Any other name of timm works."""

_WARMUP_FACTOR = 1e-3


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training. The defaults are the published recipe of students.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per step and process; an incomplete last batch is left out.
        optimizer: A name of `OPTIMIZERS`, or of ``timm.optim.list_optimizers()``.
        lr: Learning rate after warm-up; falls to ``min_lr`` along a cosine, step by step. On
            progressive tokens it is held until all tokens are seen, see `ProgressiveTokens`.
        min_lr: Learning rate at the end.
        warmup_epochs: Epochs of linear warm-up from ``0.001 lr``; ``None`` for ``warmup_share`` of
            all, less where all tokens are seen in no more epochs.
        warmup_share: Share of the epochs that are warm-up (20 of the published 300).
        momentum: Of ``sgd`` and others that have one.
        weight_decay: Decoupled for ``adamw``.
        decay_all: Decay biases, norms and class, distillation and position tokens, too.
        layer_decay: Factor of the learning rate from a layer to the one before it, after the last
            (``timm.optim.param_groups_layer_decay``); ``None`` for one rate of all.
        label_smoothing: Of the cross entropy.
        mixup: Alpha of mixup; 0 for none. See `tvtfast.training.mixing.Mixing`.
        cutmix: Alpha of CutMix; 0 for none.
        drop_path: Stochastic depth of the last block of a student, see
            `tvtfast.spaces.ModelOptions.drop_path_rate`; ``None`` for what the student brings.
        clip_grad: Largest L2 norm of the gradient; ``None`` for no limit.
        ema: Decay of an average of the weights, which is then what is evaluated and kept.
        dtype: A name of `DTYPES`.
        augmentation: ``strong`` as published, ``weak`` for crops, flips and erasing alone,
            ``light`` for shifts alone (for images whose classes do not survive a flip), or
            ``none``.
        rand_augment: Magnitude of RandAugment in ``strong``, in 0..10.
        random_erasing: Share of the images of ``strong`` and ``weak`` that lose a rectangle.
        repeats: How often an image is in the steps where it is, each time augmented anew (repeated
            augmentation); an epoch sees that many times fewer images.
        tokens: Train on coarse tokens first, see `ProgressiveTokens`; ``None`` for all tokens
            throughout.
        accumulate: Parts that the images of a step are computed in, one after the other, for less
            memory.
        compile: Compile network and loss with ``torch.compile``; only without a teacher.
        channels_last: Hold images and convolutions with channels last in memory.

    Raises:
        ValueError: A value out of range, or an unknown name.
    """

    epochs: int = 300
    batch_size: int = 128
    optimizer: str = "adamw"
    lr: float = 5e-4
    min_lr: float = 5e-6
    warmup_epochs: int | None = None
    warmup_share: float = 1 / 15
    momentum: float = 0.9
    weight_decay: float = 0.05
    decay_all: bool = False
    layer_decay: float | None = None
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    drop_path: float | None = None
    clip_grad: float | None = None
    ema: float | None = None
    dtype: str = "float32"
    augmentation: str = "strong"
    rand_augment: int = 9
    random_erasing: float = 0.25
    repeats: int = 1
    tokens: ProgressiveTokens | None = None
    accumulate: int = 1
    compile: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("dtype", tuple(DTYPES)),
            ("augmentation", AUGMENTATIONS),
        ):
            checks.choice(name, getattr(self, name), allowed)
        check_optimizer(self.optimizer)
        for name in ("epochs", "batch_size", "accumulate", "repeats"):
            checks.whole(name, getattr(self, name), least=1)
        checks.real("lr", self.lr, above=0)
        for name in ("min_lr", "momentum", "weight_decay", "mixup", "cutmix"):
            checks.real(name, getattr(self, name), least=0)
        checks.real("warmup_share", self.warmup_share, least=0, below=1)
        checks.real("label_smoothing", self.label_smoothing, least=0, below=1)
        checks.real("random_erasing", self.random_erasing, least=0, most=1)
        checks.whole("rand_augment", self.rand_augment, least=0, most=10)
        if self.drop_path is not None:
            checks.real("drop_path", self.drop_path, least=0, below=1)
        if self.layer_decay is not None:
            checks.real("layer_decay", self.layer_decay, above=0, most=1)
        if self.mixes and self.batch_size % 2:
            raise ValueError(
                f"batch_size={self.batch_size}: mixup and CutMix pair images; give an even number"
            )
        self._check_augmentation()
        if self.warmup_epochs is not None:
            checks.whole("warmup_epochs", self.warmup_epochs, least=0, most=self.epochs)
        if self.clip_grad is not None:
            checks.real("clip_grad", self.clip_grad, above=0)
        if self.ema is not None:
            checks.real("ema", self.ema, least=0, below=1)
        if self.tokens is not None and self.coarse_epochs:
            last = self.epochs - self.coarse_epochs
            if self.warmup >= last:
                raise ValueError(
                    f"warmup_epochs={self.warmup} leaves the {last} epochs on all tokens none in "
                    f"which the learning rate falls; give less than {last}"
                )

    def _check_augmentation(self) -> None:
        """Refuse the strength of what the augmentation does not have."""
        for name, having in (("rand_augment", ("strong",)), ("random_erasing", ("strong", "weak"))):
            given, usual = getattr(self, name), type(self).__dataclass_fields__[name].default
            if given != usual and self.augmentation not in having:
                raise ValueError(
                    f"{name}={given} is of augmentation {' and '.join(having)}, and this one is "
                    f"{self.augmentation!r}; leave it out, or choose another augmentation"
                )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def warmup(self) -> int:
        """Epochs of warm-up."""
        if self.warmup_epochs is None:
            fitting = round(self.epochs * self.warmup_share)
            return min(fitting, self.epochs - self.coarse_epochs - 1)
        return self.warmup_epochs

    @property
    def coarse_epochs(self) -> int:
        """Epochs before those on all tokens."""
        return 0 if self.tokens is None else sum(self.tokens.lengths(self.epochs)[:-1])

    def build_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """timm's optimiser over the parameters that take gradients."""
        ensure_torchvision()
        from timm.optim import create_optimizer_v2, param_groups_weight_decay

        if self.layer_decay is not None:
            groups = layer_groups(
                module, self.layer_decay, self.weight_decay, decay_all=self.decay_all
            )
        elif self.decay_all:
            trained = [p for p in module.parameters() if p.requires_grad]
            groups = [{"params": trained, "weight_decay": self.weight_decay}]
        else:
            groups = param_groups_weight_decay(
                module, self.weight_decay, no_weight_decay_list=NO_DECAY
            )
        return create_optimizer_v2(groups, self.optimizer, lr=self.lr, momentum=self.momentum)

    def build_schedule(self, optimizer: torch.optim.Optimizer, epoch_steps: int) -> HeldSchedule:
        """Sets the learning rate of a step, statelessly: timm's schedule for the epochs on all
        tokens, held after its warm-up for as many steps as those on coarse tokens take."""
        ensure_torchvision()
        from timm.scheduler import create_scheduler_v2

        schedule, _ = create_scheduler_v2(
            optimizer,
            sched="cosine",
            num_epochs=self.epochs - self.coarse_epochs,
            min_lr=self.min_lr,
            warmup_lr=_WARMUP_FACTOR * self.lr,
            warmup_epochs=self.warmup,
            step_on_epochs=False,
            updates_per_epoch=epoch_steps,
        )
        return HeldSchedule(schedule, self.warmup * epoch_steps, self.coarse_epochs * epoch_steps)


@dataclass(frozen=True)
class HeldSchedule:
    """A schedule whose clock stands still for a while.

    Args:
        schedule: Sets the learning rate of a step, counted from 0.
        begin: The step at which it is held.
        steps: How many further steps it is held for.
    """

    schedule: Scheduler
    begin: int
    steps: int

    def step_update(self, step: int) -> None:
        """Set the learning rate of a step."""
        self.schedule.step_update(max(step - self.steps, min(step, self.begin)))


def check_optimizer(name: str) -> None:
    """Refuse an optimiser that timm does not know.

    Raises:
        ValueError: The message names close ones.
    """
    if name in OPTIMIZERS:
        return
    ensure_torchvision()
    from timm.optim import list_optimizers

    known = [str(one) for one in list_optimizers()]
    if name not in known:
        raise ValueError(
            f"optimizer is {name!r}; give {', '.join(OPTIMIZERS)} or another optimiser of timm"
            f"{did_you_mean(name, known)}"
        )


STUDENT_RECIPE = Recipe()
"""AdamW, 5e-4 to 5e-6, weight decay 0.05, 300 epochs of batches of 128. Source: Li et al., ECCV
2022, as used by TVT."""

TEACHER_RECIPE = Recipe(
    optimizer="sgd", lr=0.1, min_lr=0.0, warmup_epochs=0, weight_decay=5e-4, decay_all=True
)
"""SGD with Nesterov momentum 0.9, 0.1 to 0, weight decay 5e-4, 300 epochs of batches of 128.
Source: as for students."""
