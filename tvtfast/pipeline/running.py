"""One system from end to end: its stages, one after the other, and the report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tvtfast.common import checks
from tvtfast.common.cost import Meter
from tvtfast.common.fallbacks import logger
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunError, RunFolder
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.distill import Distillation, Recipe, TrainedStudent
from tvtfast.distill.teacher import check_arch
from tvtfast.models import Student, Teacher, load_teacher
from tvtfast.pipeline.defaults import Defaults
from tvtfast.pipeline.finalists import TournamentResult
from tvtfast.pipeline.finalists.checking import check_held_out, check_recipe
from tvtfast.pipeline.finalists.rungs import LEAST
from tvtfast.pipeline.plan import Plan, TeacherSource, model_options
from tvtfast.pipeline.reporting import report_run, seconds_of
from tvtfast.pipeline.stages import ranking_warning
from tvtfast.pipeline.systems import SYSTEMS, System, system_of
from tvtfast.report import draw_live
from tvtfast.scoring.executors import Executor, check_executor
from tvtfast.spaces import AsViTSpace, InfeasibleError, Space
from tvtfast.spaces import get as get_space
from tvtfast.strategies import available, choose
from tvtfast.supernet import FinishedTraining
from tvtfast.training.checking import check_training
from tvtfast.training.guide import check_classes
from tvtfast.training.images import images

_OF_SEARCHES = ("exact", "exhaustive")
"""Strategies that need one proxy of a certain kind, or a small space, and not every system can."""

_MILLION = 1e6


def known_strategies() -> tuple[str, ...]:
    """Strategies that score whatever they propose, as every system can; those of others count as
    such."""
    return tuple(name for name in available() if name not in _OF_SEARCHES)


@dataclass(frozen=True)
class RunResult:
    """What a run ended with.

    Args:
        folder: The run folder.
        system: Name of the system.
        best: What was found, and all it takes to build it, in the form of a search's ``best.json``.
        student: It, trained.
        baseline: The ViT of equal size that nobody searched, trained by the same recipe; ``None``
            where nothing is compared.
        plain: The student's architecture trained without the teacher, where one guides it.
        teacher: The teacher of ``tvt``.
        superformer: The superformer of ``vitas``.
        cut: The winner with the weights of the superformer.
        tournament: The tournament that ``student`` has won, with ``finalists``.
        seconds: Per stage, without interruptions.
        report: The page.
    """

    folder: Path
    system: str
    best: Mapping[str, Any]
    student: TrainedStudent
    baseline: TrainedStudent | None
    plain: TrainedStudent | None
    teacher: Teacher | None
    superformer: FinishedTraining | None
    cut: Student | None
    seconds: Mapping[str, float]
    report: Path
    tournament: TournamentResult | None = None

    @property
    def warning(self) -> str:
        """Where the parameter count is known to rank better than what the search ranked by; else
        empty."""
        return ranking_warning(self.best)


def run(
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    output_dir: str | os.PathLike[str],
    system: str = "tvt",
    budget: float | None = None,
    space: str | Space[Any] | None = None,
    strategy: str | None = None,
    trials: int | None = None,
    teacher: TeacherSource | None = None,
    teacher_arch: str | None = None,
    teacher_recipe: Recipe | None = None,
    how: Distillation | None = None,
    superformer_recipe: Recipe | None = None,
    recipe: Recipe | None = None,
    finalists: int | None = None,
    train_hours: float | None = None,
    compare: bool = True,
    data_path: str | os.PathLike[str] | None = None,
    test: VisionDataset | None = None,
    held_out: VisionDataset | None = None,
    search_split: float = SEARCH_SPLIT,
    seed: int = 0,
    device: torch.device | str | None = None,
    workers: int = 0,
    executor: Executor | int | str | None = None,
    progress: bool = False,
    **options: Any,
) -> RunResult:
    """From a data set and a parameter budget to a trained student, by one of three systems.

    - ``tvt`` trains a teacher, searches the student that suits it and distils it; with
      ``finalists`` it distils several, and the better ones longer.
    - ``as-vit`` searches a topology without training any, grows it to the budget, and trains it on
      progressive tokens.
    - ``vitas`` trains a superformer, searches by the accuracy that candidates inherit, cuts the
      winner out, and trains it again from scratch.

    The run folder holds one folder per stage, each as the function of that stage writes it:
    ``teacher`` (`tvtfast.distill.train_teacher`), ``superformer``
    (`tvtfast.supernet.train_superformer`), ``search`` (`tvtfast.search`), ``growth``
    (`tvtfast.grow`), ``cut`` (`tvtfast.supernet.extract`), ``student``, ``plain`` and ``deit``
    (`tvtfast.distill.distill`), ``tournament`` (`tvtfast.tournament`), ``export``
    (`tvtfast.export`); and ``run.json`` and ``report.html``. A stage that is finished is not done
    again: the same call continues a run that was stopped in whatever way, and ends as one that was
    never stopped. Any other run, of other pixels or of another system for instance, is refused.

    Args:
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        output_dir: The run folder.
        system: ``tvt``, ``as-vit`` or ``vitas``.
        budget: Parameters of the student; default `tvtfast.pipeline.defaults_for` the data set, or
            the nearest that the space has. ``tvt`` and ``vitas`` search architectures from three
            quarters of it up to all of it, ``as-vit`` grows to it within 5 percent.
        space: The space that is searched, or its name; default ``autoformer-tiny``, ``asvit`` or
            ``vitas-deit``.
        strategy: ``random``, ``evolution``, ``nsga2`` or ``reinforce``; default that of
            `tvtfast.search`, ``reinforce`` for ``as-vit`` and ``evolution`` for ``vitas``.
        trials: As for `tvtfast.search`.
        teacher: What `tvtfast.load_teacher` takes; default one that is trained here. Of ``tvt``, as
            are the next three.
        teacher_arch: What is trained where no teacher is given, see
            `tvtfast.distill.train_teacher`; default `tvtfast.pipeline.defaults_for` the data set.
        teacher_recipe: How it is trained; default as above.
        how: How the teacher takes part in training students; default the published guidance.
        superformer_recipe: How the superformer is trained; default as above. Of ``vitas``.
        recipe: How students are trained; default as above.
        finalists: Candidates of a tournament that decides by short trainings which one is trained
            to the end, see `tvtfast.tournament`; the search then shows all images to every
            candidate. Default none: the winner of the search is trained. Of ``tvt``.
        train_hours: Time for the trainings of the tournament. Of ``tvt``.
        compare: Train `tvtfast.pipeline.deit_like` of equal size by the same recipe (on all its
            tokens), which shows what the search brings; and with a teacher the winner without it,
            which shows what distillation brings. With ``finalists``, as for `tvtfast.tournament`.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to choose epochs by; only with training images. Default part of them.
        search_split: As for `tvtfast.distill.distill`.
        seed: Of everything that is drawn.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        executor: Who scores candidates and trains finalists, see `tvtfast.scoring.Scoring`.
        progress: Say on stderr which stage runs, and show progress bars.
        **options: ``img_size``, ``patch_size``, ``drop_path_rate`` and so on
            (`tvtfast.spaces.ModelOptions`).

    Raises:
        RunError: The folder holds another run or a damaged file, another process works on it, or
            ``torchrun`` started several.
        InfeasibleError: The budget cannot be met.
        ValueError: Arguments that do not go together.
        TrainingError: The loss is no longer finite, or files cannot be written.
    """
    meter = Meter()
    _check_alone()
    check_executor(executor)
    check_training(seed=seed, workers=workers, device=device, output_dir=output_dir)
    chosen_system = system_of(system)
    _check_taken(
        chosen_system,
        teacher=teacher,
        teacher_arch=teacher_arch,
        teacher_recipe=teacher_recipe,
        how=how,
        superformer_recipe=superformer_recipe,
        finalists=finalists,
        train_hours=train_hours,
    )
    if finalists is not None:
        finalists = checks.whole("finalists", finalists, least=LEAST)
    if train_hours is not None:
        train_hours = checks.real("train_hours", train_hours, above=0)
        if finalists is None:
            raise ValueError("train_hours is for a tournament; give finalists, too")
    if budget is not None:
        checks.real("budget", budget, above=0)
    resolved_space = get_space(chosen_system.space if space is None else space)
    chosen_system.check_space(resolved_space)
    if trials is not None:
        trials = checks.whole("trials", trials, least=1)
    if strategy is not None:
        checks.choice("strategy", strategy, known_strategies())
    if teacher_arch is not None:
        check_arch(teacher_arch)
    if recipe is not None and recipe.tokens is not None:
        _check_tokens(resolved_space)
    splits = images(dataset, data_path, test, held_out, search_split)
    train = splits.train
    chosen_system.check_splits(splits)
    known = chosen_system.defaults(train.name)
    chosen = Defaults(
        budget=known.budget if budget is None else float(budget),
        strategy=strategy or known.strategy,
        trials=trials or known.trials,
        teacher_arch=teacher_arch or known.teacher_arch,
        teacher_recipe=teacher_recipe or known.teacher_recipe,
        superformer_recipe=superformer_recipe or known.superformer_recipe,
        recipe=recipe or known.recipe,
        patch_size=known.patch_size,
    )
    if finalists is not None:
        check_held_out(splits)
        check_recipe(chosen.recipe, finalists)
    choose(resolved_space, chosen.strategy, chosen.trials)
    if how is None:
        how = Distillation() if "how" in chosen_system.takes else Distillation(guidance=None)
    model = model_options(train, resolved_space, how, known.patch_size, options)
    resolved_space.check_options(**model)
    plan = Plan(
        folder=Path(output_dir),
        train=train,
        held_out=splits.held_out,
        test=splits.test,
        search_split=splits.share,
        budget=chosen.budget,
        space=resolved_space,
        source=teacher,
        given=None,
        chosen=chosen,
        how=how,
        options=model,
        compare=compare,
        seed=seed,
        device=device,
        workers=workers,
        progress=progress,
        finalists=finalists,
        train_hours=train_hours,
        executor=executor,
    )
    if budget is None:
        plan = _with_feasible_budget(chosen_system, plan)
    chosen_system.check_budget(plan)
    if teacher is not None:
        given = load_teacher(teacher, device=device)
        check_classes(how, given, train.num_classes)
        plan = replace(plan, given=given)
    settings = {"system": chosen_system.name, **plan.settings(), **chosen_system.settings(plan)}
    folder = RunFolder(output_dir, Identity("run", settings), holds=_holds, draw=draw_live)
    plan = replace(plan, folder=folder.path)
    with folder.claimed() as record:
        record.meter.begin_with(meter)
        outcome = chosen_system.run(plan)
        seconds = seconds_of(plan, chosen_system, outcome)
        cost = record.meter.read()
        record.epochs = chosen.recipe.epochs
        page = report_run(plan, chosen_system, outcome, settings, seconds, cost)
        record.results = {"seconds": seconds}
    return RunResult(
        folder=plan.folder,
        system=chosen_system.name,
        best=outcome.best,
        student=outcome.student,
        baseline=outcome.baseline,
        plain=outcome.plain,
        teacher=outcome.teacher,
        superformer=outcome.superformer,
        cut=outcome.cut,
        seconds=seconds,
        report=page,
        tournament=outcome.tournament,
    )


def _holds(folder: Path) -> bool:
    """Whether a folder holds the folder of any stage of any system."""
    return any((folder / name).exists() for system in SYSTEMS.values() for name in system.stages)


def _check_taken(system: System, **given: Any) -> None:
    """Refuse arguments that a system has no use for."""
    for name, value in given.items():
        if value is not None and name not in system.takes:
            others = " or ".join(repr(one.name) for one in SYSTEMS.values() if name in one.takes)
            raise ValueError(
                f"{name} is given, and system {system.name!r} has no use for it: {system.summary}; "
                f"leave {name} out, or give system {others}"
            )


def _check_tokens(space: Space[Any]) -> None:
    """Refuse progressive tokens before a space is searched whose models cannot have them."""
    if not isinstance(space, AsViTSpace):
        raise ValueError(
            f"the recipe has progressive tokens, which are for models of 'asvit', and the space is "
            f"{space.name!r}; give a recipe with tokens=None"
        )


def _with_feasible_budget(system: System, plan: Plan) -> Plan:
    """The default budget of the data set, or the nearest that the space has."""
    try:
        system.check_budget(plan)
    except InfeasibleError:
        found = system.budget(plan.space, plan.budget, **plan.options)
        logger.warning(
            "the default budget is %.3g million parameters, which %s does not have; it is %.3g "
            "million",
            plan.budget / _MILLION,
            plan.space.name,
            found / _MILLION,
        )
        return replace(plan, budget=found)
    return plan


def _check_alone() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(
            "a run is one process, and torchrun started several; train on several with 'tvtfast "
            "teacher' and 'tvtfast distill', and give the teacher to the run"
        )
