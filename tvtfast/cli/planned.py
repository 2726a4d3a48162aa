"""What ``tvtfast plan`` does for each command: the command at small size, and its forecast."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.cli.parsing import UsageError
from tvtfast.common.forecast import Forecast
from tvtfast.common.run_folder import CommandFolder

if TYPE_CHECKING:
    from tvtfast.data import Splits
    from tvtfast.pipeline.forecasts.devices import Device

_PRIVATE = {"tensorboard": False, "wandb": None, "progress": False}
"""Nothing tells others of the small runs."""
_GROWTHS = 41
"""Growths on paper."""
_TIMES = 6
"""Parameters that a small growth ends with, over those that it begins with."""


Planned = tuple[Forecast, Path]
"""A forecast, and the folder of the run that it is of."""


def assumed_device(cfg: Namespace) -> Device | None:
    """The device of a published table that ``--device`` names; the flags then say ``cpu``, where
    the small runs are."""
    from tvtfast.pipeline.forecasts.devices import DEVICES

    found = DEVICES.get(str(cfg.device).lower())
    if found is not None:
        cfg.device = "cpu"
    return found


def _search(cfg: Namespace, seconds: float, device: Device | None) -> Planned:
    from tvtfast.cli import search
    from tvtfast.pipeline.forecasts import forecast_search, least_trials, search_on
    from tvtfast.searching import search as run_search

    search.fill_in(cfg)
    folder = Path(cfg.output_dir or search.default_folder(cfg))
    arguments = search.asked(cfg, CommandFolder(folder, named=True))
    trials, strategy = arguments["trials"], arguments["strategy"]
    if trials is None:
        raise UsageError(
            "--trials: the forecast needs a number of candidates, and this strategy takes none"
        )

    def small(trials: int, path: Path) -> Any:
        return run_search(**arguments | _PRIVATE | {"trials": trials, "run_dir": path})

    raced = arguments["racing"] is not False and _is_raced(strategy)
    least = least_trials(raced=raced, population=_population(strategy))
    forecast = forecast_search(small, trials, seconds=seconds, least=least)
    if device is not None:
        forecast = search_on(device, cfg.dtype, forecast, small)
    return forecast, folder


def _training(
    name: str,
    call: Callable[..., Any],
    cfg: Namespace,
    seconds: float,
    device: Device | None,
) -> Planned:
    from tvtfast.data import load_splits
    from tvtfast.pipeline.forecasts import forecast_training, short, training_on

    module = importlib.import_module(f"tvtfast.cli.{name}")
    folder = Path(cfg.output_dir or module.default_folder(cfg))
    arguments = module.asked(cfg, CommandFolder(folder, named=True))
    recipe, offline = arguments["recipe"], arguments["how"].offline
    if device is not None and offline:
        raise UsageError(
            "--offline: what a device takes for features that are kept is not counted; plan the "
            "training without it"
        )
    splits = load_splits(cfg.data_set, cfg.data_path, search_split=cfg.search_split)

    def small(some: Splits, path: Path) -> Any:
        changes = _of(some) | {"output_dir": path, "recipe": short(recipe)}
        return call(**arguments | _PRIVATE | changes)

    forecast = forecast_training(
        name,
        small,
        splits,
        recipe=recipe,
        seconds=seconds,
        offline=offline,
    )
    if device is not None:
        forecast = training_on(device, recipe, forecast, small, splits)
    return forecast, folder


def _distill(cfg: Namespace, seconds: float, device: Device | None) -> Planned:
    from tvtfast.distill import distill

    if not cfg.arch:
        raise UsageError("name the architecture: --arch runs/x/best.json")
    return _training("distill", distill, cfg, seconds, device)


def _supernet(cfg: Namespace, seconds: float, device: Device | None) -> Planned:
    from tvtfast.supernet import train_superformer

    return _training("supernet", train_superformer, cfg, seconds, device)


def _grow(cfg: Namespace, seconds: float, device: Device | None) -> Planned:
    from tvtfast import growing
    from tvtfast.cli import grow
    from tvtfast.pipeline.forecasts import forecast_growth
    from tvtfast.scoring import Scorer
    from tvtfast.spaces import get as get_space

    grow.check_named(cfg)
    _check_here(device)
    if cfg.train:
        raise UsageError("--train: plan growth without it, and every training by plan distill")
    folder = Path(cfg.output_dir or grow.default_folder(cfg))
    arguments = grow.asked(cfg, CommandFolder(folder, named=True))
    space, topology, rules = get_space(cfg.space), arguments["topology"], arguments["rules"]
    of_growth = ("topology", "space", "rules", "target_params", "output_dir")
    scoring = {name: value for name, value in arguments.items() if name not in of_growth}

    def on_paper(like: Sequence[growing.GrowthStep]) -> list[list[list[Any]]]:
        growths = [
            growing.on_paper(
                topology, space, rules, cfg.target_params, like=like, seed=seed, **options
            )
            for seed in range(_GROWTHS)
        ]
        if not all(growths):
            raise UsageError("--max-params: no model of the first step has as few; raise it")
        return growths

    with Scorer(space=space, **scoring | {"progress": False}) as scorer:
        options = asdict(scorer.setup.options)
        least = space.params(rules.model(rules.start(space.decode(topology))), **options)
        stop = min(_TIMES * least, rules.stops_at(cfg.target_params))

        def small(path: Path) -> growing.Family:
            changes = {"rules": replace(rules, stop_params=stop), "target_params": ()}
            return growing.grow(**arguments | changes | {"output_dir": path, "progress": False})

        return forecast_growth(small, scorer, on_paper, seconds=seconds), folder


def _run(cfg: Namespace, seconds: float, device: Device | None) -> Planned:
    from tvtfast import strategies
    from tvtfast.cli import run
    from tvtfast.data import load_splits
    from tvtfast.pipeline import defaults_for
    from tvtfast.pipeline import run as run_pipeline
    from tvtfast.pipeline.forecasts import Asked, forecast_run, least_trials, short
    from tvtfast.pipeline.stages import BASELINE, PLAIN, STUDENT, SUPERFORMER, TEACHER
    from tvtfast.pipeline.systems import system_of
    from tvtfast.spaces import get as get_space

    run.check_flags(cfg, run.parser())
    _check_here(device)
    if cfg.finalists is not None:
        raise UsageError(
            "--finalists: the trainings of a tournament take --train-hours; plan the run without it"
        )
    folder = Path(cfg.output_dir or run.default_folder(cfg))
    arguments = run.asked(cfg, CommandFolder(folder, named=True))
    system, known = system_of(cfg.system), defaults_for(cfg.data_set, cfg.system)
    space = get_space(cfg.space or system.space)
    strategy, trials = strategies.choose(
        space, cfg.strategy or known.strategy, cfg.trials or known.trials
    )
    if trials is None:
        raise UsageError("--trials: the forecast needs a number of candidates")
    student = arguments["recipe"] or known.recipe
    recipes = {
        TEACHER: arguments["teacher_recipe"] or known.teacher_recipe,
        SUPERFORMER: arguments["superformer_recipe"] or known.superformer_recipe,
        STUDENT: student,
        PLAIN: student,
        BASELINE: replace(student, tokens=None),
    }
    kinds = {"teacher_recipe": TEACHER, "superformer_recipe": SUPERFORMER, "recipe": STUDENT}
    brief = {
        name: short(recipes[stage])
        for name, stage in kinds.items()
        if name == "recipe" or name in system.takes
    }

    def small(some: Splits, trials: int, path: Path) -> Any:
        changes = _of(some) | {"output_dir": path, "trials": trials, "progress": False}
        return run_pipeline(**arguments | changes | brief)

    asked = Asked(
        splits=load_splits(cfg.data_set, cfg.data_path, search_split=cfg.search_split),
        trials=trials,
        least_trials=least_trials(
            raced=_is_raced(strategy) and SUPERFORMER not in system.stages,
            population=_population(strategy),
        ),
        recipes={stage: one for stage, one in recipes.items() if stage in system.stages},
        by_held_out=SUPERFORMER in system.stages,
    )
    return forecast_run(small, asked, seconds=seconds), folder


def _check_here(device: Device | None) -> None:
    if device is not None:
        raise UsageError(
            f"--device: what growth and whole runs take on {device.name} is not counted; plan a "
            "search and trainings for it, or growth and runs for this machine"
        )


def _of(some: Splits) -> dict[str, Any]:
    """Arguments that stand for images; no further ones are held out."""
    images = {"dataset": some.train, "held_out": some.held_out, "test": some.test}
    split = {"search_split": 0.0} if some.held_out is None else {}
    return images | {"data_path": None} | split


def _is_raced(strategy: Any) -> bool:
    """Whether populations of a strategy are raced where that is worth it."""
    from tvtfast.strategies import traits

    return bool(traits(strategy).racing)


def _population(strategy: Any) -> int:
    """Candidates that a strategy proposes at once; 0 where it proposes all."""
    from tvtfast.strategies import get as get_strategy

    named = get_strategy(strategy)
    return int(getattr(named, "population", 0))


PLANNED: Mapping[str, Callable[[Namespace, float, Device | None], Planned]] = {
    "search": _search,
    "distill": _distill,
    "supernet": _supernet,
    "grow": _grow,
    "run": _run,
}
"""The forecast of a command from its flags, the seconds that it may measure, and the device that
is assumed."""
