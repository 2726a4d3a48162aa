"""Train a superformer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common import checks
from tvtfast.common.cost import Meter
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.data.registry import address
from tvtfast.models import Teacher, load_teacher
from tvtfast.spaces import QKV_MODES, Space
from tvtfast.spaces import get as get_space
from tvtfast.supernet.folder import (
    WEIGHTS,
    SuperformerCard,
    TrainedSuperformer,
    load_superformer,
    read_superformer_card,
    save_superformer,
)
from tvtfast.supernet.intervals import SHARING
from tvtfast.supernet.objective import SuperformerObjective
from tvtfast.supernet.sampling import LEAST_SHARE, Subnets, subnets_of
from tvtfast.supernet.superformer import Superformer
from tvtfast.training.checking import check_training
from tvtfast.training.guide import Distillation, Guide, check_classes
from tvtfast.training.images import images
from tvtfast.training.kept import Keeper, Kept
from tvtfast.training.processes import team
from tvtfast.training.recipe import Recipe
from tvtfast.training.recipes import SUPERFORMER_RECIPE
from tvtfast.training.settings import settings
from tvtfast.training.trainer import Trainer
from tvtfast.training.training_folder import TrainingFolder

_REFERENCE_STEP = -1


@dataclass(frozen=True)
class FinishedTraining:
    """What a training ended with.

    Args:
        superformer: The last weights, and their card.
        history: One row per epoch: losses, learning rate, accuracy of the reference subnet on the
            held-out images, seconds.
        folder: The superformer folder.
    """

    superformer: TrainedSuperformer
    history: tuple[Mapping[str, float], ...]
    folder: Path


def train_superformer(
    space: str | Space[Any],
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    output_dir: str | os.PathLike[str],
    sharing: str | None = None,
    qkv_mode: int | None = None,
    fused_qk: bool = False,
    flops: tuple[float, float] | None = None,
    window_of: str = "each",
    least_share: float = LEAST_SHARE,
    teacher: str | os.PathLike[str] | nn.Module | Teacher | None = None,
    how: Distillation | None = None,
    recipe: Recipe = SUPERFORMER_RECIPE,
    data_path: str | os.PathLike[str] | None = None,
    test: VisionDataset | None = None,
    held_out: VisionDataset | None = None,
    search_split: float = SEARCH_SPLIT,
    seed: int = 0,
    device: torch.device | str | None = None,
    workers: int = 0,
    progress: bool = False,
    tensorboard: bool = False,
    wandb: str | None = None,
    keep_state: bool = False,
    **model_options: Any,
) -> FinishedTraining:
    """Train all candidates of a space at once: each step one random subnet on shared weights.

    The subnet of a step depends on (seed, step) alone, so all processes take the same one, and a
    training that was stopped continues with the same call, to bitwise the same weights on the CPU.
    Several processes, errors and files are as in `tvtfast.distill.distill`. The folder holds the
    weights of the last epoch; the accuracy in the log is that of one reference subnet on the images
    that are held out, by which `InheritedAccuracy` compares candidates afterwards.

    Args:
        space: A space of ViTAS or AutoFormer, or its name; by name it can be loaded again.
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        output_dir: The superformer folder, for `load_superformer`.
        sharing: Which channels narrower candidates take, see `tvtfast.supernet.intervals`; default
            as in `Superformer`.
        qkv_mode: What is private to a number of heads, see `tvtfast.spaces.QKV_MODES`; default as
            in `Superformer`.
        fused_qk: Cut q and k as one weight, see `Superformer`.
        flops: Window of the cost of subnets, two FLOPs per multiply-add; without, there is none.
        window_of: ``each`` for a window of every subnet, which then are drawn as a search within
            these limits draws; ``mean`` for one of their mean, which the probability of identity
            blocks is fitted to, as published (`fit_identity_probability`).
        least_share: Share of the steps in which every value of every decision has its turn, see
            `Subnets`.
        teacher: What `tvtfast.load_teacher` takes. Frozen.
        how: How it takes part: guidance ``attention`` or ``similarity``, logits, or both; default
            ``attention`` with a teacher (but logits for ``bilateral``).
        recipe: Hyperparameters.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to compare candidates by; only with training images. Default part of them.
        search_split: Share of the training images that is held out where there is no validation
            split; 0 to train on all of them.
        seed: Of weights, subnets, order, augmentation and CutMix.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        progress: Show a progress bar.
        tensorboard: Write TensorBoard's event files beside the log.
        wandb: The project of Weights & Biases that keeps the curves, too.
        keep_state: Keep ``last.pt`` when the training has ended; the same call with more epochs
            then goes on from it, under the learning rates of that many.
        **model_options: ``img_size``, ``patch_size``, ``in_chans`` (`tvtfast.spaces.ModelOptions`).

    Raises:
        ValueError: Options that do not go together, or a window that cannot be met.
        TrainingError: The loss is no longer finite, or files cannot be written.
        CheckpointError: ``last.pt`` is damaged.
        RunError: The folder holds another training, or another process trains in it.
    """
    meter = Meter()
    check_training(seed=seed, workers=workers, device=device, output_dir=output_dir)
    space = get_space(space)
    sharing = space.usual_sharing if sharing is None else sharing
    qkv_mode = space.usual_qkv_mode if qkv_mode is None else qkv_mode
    checks.choice("sharing", sharing, SHARING)
    checks.choice("qkv_mode", qkv_mode, QKV_MODES)
    _check(recipe)
    splits = images(dataset, data_path, test, held_out, search_split)
    train = splits.train
    options = {"img_size": train.img_size, **model_options, "num_classes": train.num_classes}
    model = Superformer(
        space, sharing=sharing, qkv_mode=qkv_mode, fused_qk=fused_qk, seed=seed, **options
    )
    side = model.options.img_size[0]
    if model.options.img_size != (side, side):
        raise ValueError(
            f"img_size {model.options.img_size}: images are resized to squares; give one side"
        )
    subnets = subnets_of(
        model.space,
        seed,
        model.options,
        flops=flops,
        window_of=window_of,
        least_share=least_share,
    )
    model.reference = subnets(_REFERENCE_STEP)
    if teacher is not None and how is None:
        bilateral = model.sides > 1
        how = Distillation(
            guidance=None if bilateral else "attention", logits="soft" if bilateral else None
        )
    if how is not None and how.needs_teacher and teacher is None:
        raise ValueError("how= needs a teacher; give teacher=, or leave how out")
    card = SuperformerCard(
        space=model.space.name,
        model_options={**asdict(model.options), "img_size": list(model.options.img_size)},
        sharing=sharing,
        qkv_mode=qkv_mode,
        fused_qk=fused_qk,
        identity_probability=subnets.identity_probability,
        reference=model.space.to_dict(model.reference),
        normalization=train.normalization,
        classes=train.classes,
        dataset=train.name,
        accuracy=None,
        recipe={},
        evaluation=_address(dataset, data_path),
        search_split=splits.share,
    )
    with team(device) as processes:
        guide = None
        if teacher is not None:
            loaded = load_teacher(teacher, device=processes.device)
            if how is not None:
                check_classes(how, loaded, train.num_classes)
            guide = Guide(loaded, train.normalization)
        objective = SuperformerObjective(
            model.to(processes.device),
            subnets,
            label_smoothing=recipe.label_smoothing,
            guide=guide,
            how=how,
        )
        known = settings(splits, recipe, seed, processes, model)
        known |= _described(card, subnets, how, guide)
        folder = TrainingFolder(
            output_dir,
            "supernet",
            known,
            weights=WEIGHTS,
            leads=processes.leads,
            meter=meter,
        )

        def write(weights: nn.Module, kept: Kept) -> None:
            described = replace(
                card,
                recipe={**known, **kept.course},
                steps_per_choice=objective.tally.steps,
                **kept.accuracies,
            )
            save_superformer(folder.path, weights, described)

        history = Trainer(
            objective=objective,
            splits=splits,
            img_size=side,
            recipe=recipe,
            seed=seed,
            folder=folder,
            keeper=Keeper(folder.path / WEIGHTS, write, lambda: read_superformer_card(folder.path)),
            team=processes,
            workers=workers,
            progress=progress,
            tensorboard=tensorboard,
            wandb=wandb,
            keep_state=keep_state,
            keep_last=True,
        ).run()
        processes.wait()
    return FinishedTraining(load_superformer(folder.path), tuple(history), folder.path)


def _check(recipe: Recipe) -> None:
    """Refuse what a superformer has no place for."""
    if recipe.drop_path:
        raise ValueError(
            f"drop_path={recipe.drop_path}: a superformer is trained without stochastic depth, as "
            "published; its candidates differ in depth already. Give 0"
        )
    for name in ("layer_decay", "compile"):
        if getattr(recipe, name):
            raise ValueError(
                f"{name}={getattr(recipe, name)}: every step of a superformer runs another subnet "
                f"on slices of shared weights, so it has no {name}; leave it out"
            )


def _address(
    dataset: str | os.PathLike[str] | VisionDataset, data_path: str | os.PathLike[str] | None
) -> Mapping[str, Any] | None:
    """Where the images are loaded from again, as far as that is known."""
    if isinstance(dataset, VisionDataset):
        return None
    name, path = address(dataset, data_path)
    return {"name": name, "path": path}


def _described(
    card: SuperformerCard,
    subnets: Subnets,
    how: Distillation | None,
    guide: Guide | None,
) -> dict[str, Any]:
    """What the weights depend on besides the recipe, as JSON knows it."""
    described: dict[str, Any] = {
        "space": card.space,
        "model_options": card.model_options,
        "sharing": card.sharing,
        "qkv_mode": card.qkv_mode,
        **({"fused_qk": True} if card.fused_qk else {}),
        "identity_probability": card.identity_probability,
        "subnet_flops": subnets.flops and [b if isfinite(b) else None for b in subnets.flops],
        "least_share": subnets.least_share,
        "distillation": None if guide is None or how is None else asdict(how),
        "teacher_fingerprint": guide and guide.teacher.fingerprint,
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain
