"""Defaults of flags are those of the functions that the commands call."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import pytest

import tvtfast
from tvtfast import strategies
from tvtfast.distill import STUDENT_RECIPE, TEACHER_RECIPE, Distillation, distill, train_teacher
from tvtfast.growing.rule import GrowthRules
from tvtfast.scoring import Scoring
from tvtfast.spaces import ModelOptions
from tvtfast.students import predict
from tvtfast.supernet import SUPERFORMER_RECIPE, train_superformer

SHOWN = {"progress", "json", "quiet"}
"""Progress is shown on the command line and not in Python."""


def flags(command):
    parser = importlib.import_module(f"tvtfast.cli.{command}").parser()
    return {action.dest: action.default for action in parser._actions}


def signature(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


SCORING = {field.name: getattr(Scoring(), field.name) for field in dataclasses.fields(Scoring)}
SCORING |= {"distilled": ModelOptions().distilled}
GROWTH = tvtfast.growing.family._PUBLISHED


@pytest.mark.parametrize(
    ("command", "python", "differ"),
    [
        ("search", SCORING | signature(tvtfast.search), {"proxies", "space", "objectives"}),
        ("score", SCORING | {"method": signature(tvtfast.rank)["method"]}, {"proxies", "space"}),
        ("correlate", SCORING, {"proxies", "space"}),
        ("calibrate", SCORING | signature(tvtfast.calibrate), {"proxies", "space"}),
        (
            "grow",
            SCORING | signature(tvtfast.grow) | {"init_seeds": GROWTH.init_seeds},
            {"proxies", "target_params"},
        ),
        ("grow", vars(GrowthRules()), set()),
        ("teacher", signature(train_teacher) | vars(TEACHER_RECIPE), {"recipe", "workers"}),
        ("distill", signature(distill) | vars(STUDENT_RECIPE), {"recipe", "workers"}),
        ("distill", vars(Distillation()), {"logits"}),
        (
            "supernet",
            signature(train_superformer) | vars(SUPERFORMER_RECIPE),
            {"recipe", "workers"},
        ),
        ("run", signature(tvtfast.run), {"workers"}),
        ("predict", signature(predict), set()),
        ("evaluate", signature(tvtfast.evaluate), set()),
    ],
)
def test_defaults_agree(command, python, differ):
    shown = flags(command)
    both = (shown.keys() & python.keys()) - differ - SHOWN
    assert len(both) >= 3
    assert {name: shown[name] for name in both} == {name: python[name] for name in both}


def test_differences_that_are_said_another_way():
    assert list(flags("grow")["proxies"]) == list(GROWTH.proxies)
    assert flags("search")["objectives"] == [] and signature(tvtfast.search)["objectives"] is None
    assert flags("distill")["logits"] == "none" and Distillation().logits is None
    loads = {"run": tvtfast.run, "teacher": train_teacher, "distill": distill}
    for command, function in loads.items():
        assert flags(command)["loading_workers"] == signature(function)["workers"]
    assert flags("correlate")["resamples"] == signature(tvtfast.correlate)["n_resamples"]


def test_trials_of_every_strategy_are_those_that_the_help_names():
    space = tvtfast.spaces.get("autoformer-tiny")
    help_text = " ".join(
        importlib.import_module("tvtfast.cli.search").parser().format_help().split()
    )
    chosen = {name: strategies.choose(space, name, None)[1] for name in strategies.available()}
    assert chosen["random"] == chosen["evolution"] == chosen["nsga2"] == strategies.TRIALS == 1000
    assert (chosen["exact"], chosen["reinforce"], chosen["exhaustive"]) == (10, 500, None)
    assert "default 1000 for random, evolution and nsga2, 10 for exact, 500 for" in help_text
