"""Teacher, search, distillation, export and report, one after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tvtfast.common import checks
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunError, RunFolder
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.distill import Distillation, Recipe, TrainedStudent
from tvtfast.distill.teacher import check_arch
from tvtfast.models import Teacher, load_teacher
from tvtfast.pipeline.budget import check_budget
from tvtfast.pipeline.defaults import Defaults, defaults_for
from tvtfast.pipeline.plan import Plan, TeacherSource, model_options
from tvtfast.pipeline.reporting import report_run, seconds_of
from tvtfast.pipeline.stages import begun, run_stages
from tvtfast.spaces import Space
from tvtfast.spaces import get as get_space
from tvtfast.training.checking import check_training
from tvtfast.training.guide import check_classes
from tvtfast.training.images import images


@dataclass(frozen=True)
class RunResult:
    """What a run ended with.

    Args:
        folder: The run folder.
        teacher: The teacher.
        best: ``best.json`` of the search: the winner, and all it takes to build it.
        student: The winner, distilled.
        plain: The winner, trained without a teacher; ``None`` where nothing is compared.
        baseline: The ViT of equal size that nobody searched, distilled likewise; or ``None``.
        seconds: Per stage, without interruptions.
        report: The page.
    """

    folder: Path
    teacher: Teacher
    best: Mapping[str, Any]
    student: TrainedStudent
    plain: TrainedStudent | None
    baseline: TrainedStudent | None
    seconds: Mapping[str, float]
    report: Path


def run(
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    budget: float,
    output_dir: str | os.PathLike[str],
    space: str | Space[Any] = "autoformer-tiny",
    trials: int | None = None,
    teacher: TeacherSource | None = None,
    teacher_arch: str | None = None,
    teacher_recipe: Recipe | None = None,
    how: Distillation | None = None,
    recipe: Recipe | None = None,
    compare: bool = True,
    data_path: str | os.PathLike[str] | None = None,
    test: VisionDataset | None = None,
    held_out: VisionDataset | None = None,
    search_split: float = SEARCH_SPLIT,
    seed: int = 0,
    device: torch.device | str | None = None,
    workers: int = 0,
    progress: bool = False,
    **options: Any,
) -> RunResult:
    """Train a teacher, search the student that suits it, distil the student, and report.

    The run folder holds one folder per stage, each as the function of that stage writes it:
    ``teacher`` (`tvtfast.distill.train_teacher`), ``search`` (`tvtfast.search`), ``student``,
    ``plain`` and ``deit`` (`tvtfast.distill.distill`), ``export`` (`tvtfast.export`); and
    ``run.json`` and ``report.html``. A stage that is finished is not done again: the same call
    continues a run that was stopped in whatever way, and ends as one that was never stopped. Any
    other run, of other pixels or of another teacher for instance, is refused.

    Args:
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        budget: Parameters of the student. Architectures from three quarters of it up to all of it
            are searched.
        output_dir: The run folder.
        space: The space that is searched, or its name.
        trials: As for `tvtfast.search`.
        teacher: What `tvtfast.load_teacher` takes; default one that is trained here.
        teacher_arch: What is trained where no teacher is given, see
            `tvtfast.distill.train_teacher`; default `tvtfast.pipeline.defaults_for` the data set.
        teacher_recipe: How it is trained; default as above.
        how: How the teacher takes part in training students; default the published guidance.
        recipe: How students are trained; default as above.
        compare: Train two more networks by the same recipe: the winner without a teacher, which
            shows what distillation brings, and `tvtfast.pipeline.deit_like` of equal size with the
            same teacher, which shows what the search brings.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to choose epochs by; only with training images. Default part of them.
        search_split: As for `tvtfast.distill.distill`.
        seed: Of everything that is drawn.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        progress: Say on stderr which stage runs, and show progress bars.
        **options: ``img_size``, ``patch_size``, ``drop_path_rate`` and so on
            (`tvtfast.spaces.ModelOptions`).

    Raises:
        RunError: The folder holds another run or a damaged file, another process works on it, or
            ``torchrun`` started several.
        InfeasibleError: No architecture of the space fits the budget.
        ValueError: Arguments that do not go together.
        TrainingError: The loss is no longer finite, or files cannot be written.
    """
    _check_alone()
    check_training(seed=seed, workers=workers, device=device, output_dir=output_dir)
    checks.real("budget", budget, above=0)
    resolved_space = get_space(space)
    if trials is not None:
        trials = checks.whole("trials", trials, least=1)
    if teacher_arch is not None:
        check_arch(teacher_arch)
    splits = images(dataset, data_path, test, held_out, search_split)
    train = splits.train
    known = defaults_for(train.name)
    how = how or Distillation()
    plan = Plan(
        folder=Path(output_dir),
        train=train,
        held_out=splits.held_out,
        test=splits.test,
        search_split=splits.share,
        budget=float(budget),
        space=resolved_space,
        trials=trials,
        source=teacher,
        given=None,
        chosen=Defaults(
            teacher_arch or known.teacher_arch,
            teacher_recipe or known.teacher_recipe,
            recipe or known.recipe,
            known.patch_size,
        ),
        how=how,
        options=model_options(train, how, known.patch_size, options),
        compare=compare,
        seed=seed,
        device=device,
        workers=workers,
        progress=progress,
    )
    check_budget(plan)
    if teacher is not None:
        given = load_teacher(teacher, device=device)
        check_classes(how, given, train.num_classes)
        plan = replace(plan, given=given)
    folder = RunFolder(output_dir, Identity("run", plan.settings()), holds=begun)
    plan = replace(plan, folder=folder.path)
    with folder.claimed() as record:
        stages = run_stages(plan)
        seconds = seconds_of(plan, stages)
        page = report_run(plan, stages, seconds)
        record.results = {"seconds": seconds}
    return RunResult(
        plan.folder,
        stages.teacher,
        stages.best,
        stages.student,
        stages.plain,
        stages.baseline,
        seconds,
        page,
    )


def _check_alone() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(
            "a run is one process, and torchrun started several; train on several with 'tvtfast "
            "teacher' and 'tvtfast distill', and give the teacher to the run"
        )
