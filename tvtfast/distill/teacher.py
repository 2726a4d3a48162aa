"""Train a ConvNet teacher."""

from __future__ import annotations

import copy
import os
import re
from typing import Any

import torch
from torch import nn

from tvtfast.common.cost import Meter
from tvtfast.common.names import did_you_mean
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.initialization import initialize_
from tvtfast.models import CifarResNet, Teacher, load_teacher
from tvtfast.models.teacher_folder import WEIGHTS, read_teacher_card
from tvtfast.training.checking import check_training
from tvtfast.training.images import images
from tvtfast.training.kept import Keeper, Kept
from tvtfast.training.losses import DistillationLoss
from tvtfast.training.objective import Objective
from tvtfast.training.processes import team
from tvtfast.training.recipe import TEACHER_RECIPE, Recipe
from tvtfast.training.settings import settings
from tvtfast.training.trainer import Trainer
from tvtfast.training.training_folder import TrainingFolder

_CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
_CIFAR_NAME = re.compile(f"resnet({'|'.join(map(str, _CIFAR_DEPTHS))})")
_CIFAR_INPUT = 32


def train_teacher(
    arch: str,
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    output_dir: str | os.PathLike[str],
    recipe: Recipe = TEACHER_RECIPE,
    img_size: int | None = None,
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
) -> Teacher:
    """Train a ConvNet from scratch and keep its best weights as a teacher folder.

    What is held out and tested, continuation, several processes and errors are as in
    `tvtfast.distill.distill`.

    Args:
        arch: ``resnet8``, ``resnet14``, ``resnet20``, ``resnet32``, ``resnet44``, ``resnet56`` or
            ``resnet110`` for a CIFAR ResNet, or the name of a timm ConvNet.
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        output_dir: The teacher folder, for `tvtfast.load_teacher`.
        recipe: Hyperparameters; default the published ones of teachers.
        img_size: Side in pixels, which becomes the teacher's input size; default 32 for a CIFAR
            ResNet and the data set's for a timm model.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to choose the epoch by; only with training images. Default part of them.
        search_split: Share of the training images that is held out where there is no validation
            split; 0 to train on all of them and keep the last epoch.
        seed: Of weights, order and augmentation.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        progress: Show a progress bar.
        tensorboard: Write TensorBoard's event files beside the log.
        wandb: The project of Weights & Biases that keeps the curves, too.
        keep_state: Keep ``last.pt`` when the training has ended; the same call with more epochs
            then goes on from it, under the learning rates of that many.

    Raises:
        ValueError: An unknown name, or a number out of range.
        OutputError: The folder cannot be written.
        TrainingError: The loss is no longer finite, or files cannot be written.
        CheckpointError: ``last.pt`` is damaged.
        RunError: The folder holds another training, or another process trains in it.
    """
    meter = Meter()
    check_training(
        seed=seed, workers=workers, device=device, img_size=img_size, output_dir=output_dir
    )
    check_arch(arch)
    if recipe.drop_path:
        raise ValueError(
            f"drop_path={recipe.drop_path}: teachers are ConvNets without stochastic depth; leave "
            "it out"
        )
    is_cifar = _CIFAR_NAME.fullmatch(arch) is not None
    splits = images(dataset, data_path, test, held_out, search_split)
    train = splits.train
    side = img_size or (_CIFAR_INPUT if is_cifar else train.img_size)
    with team(device) as processes:
        model = _network(arch, train.num_classes, seed)
        objective = Objective(
            model.to(processes.device), DistillationLoss(label_smoothing=recipe.label_smoothing)
        )
        known = settings(splits, recipe, seed, processes, model)
        folder = TrainingFolder(
            output_dir,
            "teacher",
            known | {"arch": arch, "img_size": side},
            weights=WEIGHTS,
            leads=processes.leads,
            meter=meter,
        )

        def write(weights: nn.Module, kept: Kept) -> None:
            teacher = Teacher(
                copy.deepcopy(weights),
                name=arch,
                input_size=side,
                normalization=train.normalization,
            )
            teacher.update(folder.path, dataset=train.name, **kept.accuracies)

        Trainer(
            objective=objective,
            splits=splits,
            img_size=side,
            recipe=recipe,
            seed=seed,
            folder=folder,
            keeper=Keeper(folder.path / WEIGHTS, write, lambda: read_teacher_card(folder.path)),
            team=processes,
            workers=workers,
            progress=progress,
            tensorboard=tensorboard,
            wandb=wandb,
            keep_state=keep_state,
        ).run()
        processes.wait()
    return load_teacher(folder.path)


def _network(arch: str, num_classes: int, seed: int) -> nn.Module:
    if match := _CIFAR_NAME.fullmatch(arch):
        return initialize_(CifarResNet(int(match[1]), num_classes), seed)
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = timm.create_model(arch, num_classes=num_classes)
    return module


def check_arch(arch: str) -> None:
    """Refuse a name that `train_teacher` knows no network of.

    Raises:
        ValueError: The message names close ones.
    """
    if _CIFAR_NAME.fullmatch(arch):
        return
    ensure_torchvision()
    import timm

    if not timm.is_model(arch):
        known = [*(f"resnet{depth}" for depth in _CIFAR_DEPTHS), *timm.list_models()]
        raise ValueError(
            f"unknown teacher {arch!r}; give resnet20, resnet56 or another CIFAR ResNet, or the "
            f"name of a timm model{did_you_mean(arch, known)}"
        )
