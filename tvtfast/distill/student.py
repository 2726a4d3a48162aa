"""Train a student, with a teacher or without."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common.cost import Meter
from tvtfast.common.progress import note
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.distill.offline import OfflineGuide
from tvtfast.distill.subject import Subject, subject
from tvtfast.models import (
    FeatureFn,
    Student,
    Teacher,
    load_student,
    load_teacher,
    save_student,
)
from tvtfast.models.student import WEIGHTS, read_student_card
from tvtfast.spaces import Space
from tvtfast.training.checking import check_training
from tvtfast.training.guide import Distillation, Guide, check_classes
from tvtfast.training.images import images
from tvtfast.training.kept import Keeper, Kept
from tvtfast.training.losses import DistillationLoss
from tvtfast.training.objective import Objective, guided
from tvtfast.training.processes import team
from tvtfast.training.recipe import STUDENT_RECIPE, Recipe
from tvtfast.training.settings import settings
from tvtfast.training.trainer import Trainer
from tvtfast.training.training_folder import TrainingFolder


@dataclass(frozen=True)
class TrainedStudent:
    """What a training ended with.

    Args:
        student: The kept weights, in evaluation mode, and their card.
        history: One row per epoch: losses, learning rate, accuracy of the held-out images in
            percent, seconds.
        folder: The student folder.
    """

    student: Student
    history: tuple[Mapping[str, float], ...]
    folder: Path

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy of the kept weights on the test images, in percent.

        Raises:
            ValueError: They were not read.
        """
        accuracy = self.student.card.accuracy
        if accuracy is None:
            raise ValueError(
                f"the test images were not read for {self.folder}; train it with read_test=True"
            )
        return accuracy

    @property
    def held_out_accuracy(self) -> float | None:
        """That on the held-out images, which the epoch was chosen by; ``None`` without any."""
        return self.student.card.held_out_accuracy


def distill(
    student: Any | Mapping[str, Any] | str | os.PathLike[str] | nn.Module,
    dataset: str | os.PathLike[str] | VisionDataset,
    teacher: str | os.PathLike[str] | nn.Module | Teacher | None = None,
    *,
    output_dir: str | os.PathLike[str],
    how: Distillation | None = None,
    recipe: Recipe = STUDENT_RECIPE,
    space: str | Space[Any] | None = None,
    data_path: str | os.PathLike[str] | None = None,
    test: VisionDataset | None = None,
    held_out: VisionDataset | None = None,
    search_split: float = SEARCH_SPLIT,
    feature_fn: FeatureFn | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    workers: int = 0,
    progress: bool = False,
    tensorboard: bool = False,
    wandb: str | None = None,
    keep_state: bool = False,
    read_test: bool = True,
    **model_options: Any,
) -> TrainedStudent:
    """Train a student on a data set, guided by a teacher, or plainly.

    After every epoch the student is evaluated on held-out images (`tvtfast.data.load_splits`) that
    are resized and nothing else, the best weights become the student folder (see
    `tvtfast.models.load_student`), and the state is written to ``last.pt``. The same call continues
    a training that was stopped, to bitwise the same weights on the CPU. The test images are read
    once, at the end, with the weights that are kept. (Published accuracies are those of the epoch
    that is best on the test images.)

    Under ``torchrun`` every process takes ``recipe.batch_size`` images per step and gradients are
    averaged over processes.

    Args:
        student: An architecture, its JSON or dictionary, or the path of the ``best.json`` of a
            search; or a student folder, whose weights are trained on; or the name of a model of
            timm, such as ``deit_tiny_patch16_224``, which is built for the size of the images
            (`tvtfast.models.timm_network.fitted`) and drawn anew; or any module, with timm's
            ``forward_intermediates`` or ``feature_fn`` for guidance, which is trained in place and
            holds the kept weights in the end.
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        teacher: What `tvtfast.load_teacher` takes. Frozen.
        output_dir: The student folder. It holds one training: everything that the weights depend
            on, pixels and teacher included, is in ``run.json``, and any other training is refused.
        how: How the teacher takes part; default the published guidance with a teacher, and plain
            training without.
        recipe: Hyperparameters.
        space: Name of a space, or the space, of an architecture that does not name its own.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to choose the epoch by; only with training images. Default part of them.
        search_split: Share of the training images that is held out where there is no validation
            split; 0 to train on all of them and keep the last epoch.
        feature_fn: How to read features of a module, see `tvtfast.models.extract_features`.
        seed: Of weights, order, augmentation and dropout.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        progress: Show a progress bar.
        tensorboard: Write TensorBoard's event files beside the log.
        wandb: The project of Weights & Biases that keeps the curves, too.
        keep_state: Keep ``last.pt`` when the training has ended; the same call with more epochs
            then goes on from it, under the learning rates of that many.
        read_test: Read the test images at the end. ``False``, which needs ``keep_state``, leaves
            them for the training of more epochs that is to follow, or for a further call; until
            then the card has no ``accuracy``.
        **model_options: ``img_size``, ``patch_size``, ``drop_path_rate`` and so on
            (`tvtfast.spaces.ModelOptions`) of an architecture; those of ``best.json`` otherwise. Of
            a model of timm these three, of a module ``img_size`` alone.

    Raises:
        ValueError: No teacher where one is needed, a teacher that does not fit, or options that do
            not go together.
        TrainingError: The loss is no longer finite, or files cannot be written.
        CheckpointError: ``last.pt`` is damaged.
        RunError: The folder holds another training, or another process trains in it.
    """
    meter = Meter()
    check_training(seed=seed, workers=workers, device=device, output_dir=output_dir)
    if not (read_test or keep_state):
        raise ValueError(
            "read_test=False leaves the test images for a training that goes on, and without its "
            "state none can; give keep_state=True"
        )
    splits = images(dataset, data_path, test, held_out, search_split)
    train = splits.train
    if how is None:
        how = Distillation() if teacher is not None else Distillation(guidance=None)
    if how.needs_teacher and teacher is None:
        wanted = f"guidance {how.guidance!r}" if how.guidance else f"logits {how.logits!r}"
        raise ValueError(
            f"{wanted} needs a teacher; give a teacher folder, the name of a timm model or a "
            "module, or train plainly, without guidance and logits"
        )
    if recipe.drop_path is not None:
        model_options = {"drop_path_rate": recipe.drop_path, **model_options}
    if recipe.compile and how.needs_teacher:
        raise ValueError(
            "compile=True: a compiled step beside a teacher does not train the student (its "
            "gradients are lost); leave compile out, or train plainly (guidance and logits none)"
        )
    if recipe.mixes and how.offline:
        raise ValueError(
            "offline=True keeps the teacher's features of whole images, and mixup and CutMix mix "
            "images; leave one of them out"
        )
    trained = subject(
        student, space, train, distilled=how.logits is not None, seed=seed, given=model_options
    )
    with team(device) as processes:
        model = trained.module.to(processes.device)
        guide: Guide | None = None
        if how.needs_teacher and teacher is not None:
            loaded = load_teacher(teacher, device=processes.device)
            check_classes(how, loaded, train.num_classes)
            if how.offline:
                guide = OfflineGuide(
                    loaded,
                    train,
                    img_size=trained.side,
                    device=processes.device,
                    workers=workers,
                    progress=progress and processes.leads,
                )
            else:
                guide = Guide(loaded, train.normalization, paper=how.paper)
        if guide is None:
            loss = DistillationLoss(label_smoothing=recipe.label_smoothing)
            objective = Objective(model, loss)
        else:
            objective = guided(
                model,
                guide,
                how,
                img_size=trained.side,
                seed=seed,
                label_smoothing=recipe.label_smoothing,
                feature_fn=feature_fn,
            )
        known = settings(splits, recipe, seed, processes, model)
        known |= _described(trained, how, guide, feature_fn)
        if recipe.tokens is not None:
            cost = recipe.tokens.cost(model, (trained.side, trained.side), recipe.epochs)
            known |= cost.to_dict()
            if progress and processes.leads:
                note(str(cost))

        folder = TrainingFolder(
            output_dir,
            "distill",
            known,
            weights=WEIGHTS,
            leads=processes.leads,
            meter=meter,
        )

        def write(weights: nn.Module, kept: Kept) -> None:
            recorded = {**known, **kept.course}
            card = replace(trained.card, recipe=recorded, **kept.accuracies)
            save_student(folder.path, weights, card)

        history = Trainer(
            objective=objective,
            splits=splits,
            img_size=trained.side,
            recipe=recipe,
            seed=seed,
            folder=folder,
            keeper=Keeper(folder.path / WEIGHTS, write, lambda: read_student_card(folder.path)),
            team=processes,
            workers=workers,
            progress=progress,
            tensorboard=tensorboard,
            wandb=wandb,
            keep_state=keep_state,
            read_test=read_test,
        ).run()
        processes.wait()
    best = load_student(
        folder.path, module=None if trained.card.brings_its_network else model.cpu()
    )
    return TrainedStudent(best, tuple(history), folder.path)


def _described(
    trained: Subject, how: Distillation, guide: Guide | None, feature_fn: FeatureFn | None
) -> dict[str, Any]:
    """What the weights of a student depend on besides the recipe, as JSON knows it."""
    card = trained.card
    described: dict[str, Any] = {
        "network": type(trained.module).__qualname__,
        "features": feature_fn and getattr(feature_fn, "__qualname__", type(feature_fn).__name__),
        "space": card.space,
        "arch": card.arch,
        "model_options": card.model_options,
        "distillation": None if guide is None else asdict(how),
        "teacher": guide and guide.teacher.name,
        "teacher_fingerprint": guide and guide.teacher.fingerprint,
    }
    if card.timm is not None:
        described["timm"] = dict(card.timm)
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain
