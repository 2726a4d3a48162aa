"""Optuna, pymoo, nevergrad and ConfigSpace over spaces of every kind, against the real packages."""

from __future__ import annotations

import json
import math
import random
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tvtfast
from tvtfast import spaces

every_space = pytest.mark.parametrize(
    "name", ["autoformer-tiny", "pit", "asvit", "vitas-deit", "vitas-twins", "vitas-deit-cell"]
)
TINY = spaces.get("autoformer-tiny")
OPTIONS = {"img_size": 32, "patch_size": 4}


@pytest.fixture
def optuna():
    host = pytest.importorskip("optuna")
    host.logging.set_verbosity(host.logging.ERROR)
    return host


@every_space
def test_trials_of_optuna_are_architectures(optuna, name):
    from tvtfast.adapters.optuna import ask, tell

    space = spaces.get(name)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True)
    )
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            trials, archs = ask(study, space, 6)
            scores += [space.params(arch) for arch in archs]
            tell(study, trials, scores[-6:])
    found = study.get_trials()
    assert [trial.value for trial in found] == scores
    for trial in found:
        arch = space.from_choices(trial.params)
        assert space.encode(arch) == trial.user_attrs["arch"]
        decided = zip(space.variables, space.decided(space.choices_of(arch)), strict=True)
        if name == "autoformer-tiny":
            assert set(trial.params) == {variable.name for variable, known in decided if known}
    assert space.params(space.from_choices(study.best_params)) == max(scores)


def test_optuna_learns_from_scores_and_failures(optuna):
    from tvtfast.adapters.optuna import ask, tell

    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    trials, archs = ask(study, "pit", 3)
    with pytest.raises(ValueError, match=r"scores are \[3\] for 3 trials of 2 objectives"):
        tell(study, trials, [1.0, 2.0, 3.0])
    tell(study, trials, [[1.0, 2.0], [math.nan, 1.0], [3.0, 4.0]])
    states = [trial.state.name for trial in study.get_trials()]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.get_trials()[2].values == [3.0, 4.0] and len(archs) == 3


def minimize(problem, n):
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    algorithm = NSGA2(
        pop_size=10,
        sampling=IntegerRandomSampling(),
        crossover=SBX(repair=RoundingRepair()),
        mutation=PM(repair=RoundingRepair()),
    )
    return minimize(problem, algorithm, ("n_eval", n), seed=0)


@pytest.mark.parametrize("name", ["autoformer-tiny", "pit"])
def test_pymoo_finds_a_front_within_the_windows(name):
    pytest.importorskip("pymoo")
    from tvtfast.adapters.pymoo import NASProblem

    space = spaces.get(name)
    low, high = space.feasible_range("params", num_classes=10, **OPTIONS)
    window = {"params": (None, low + 0.5 * (high - low))}
    scorer = tvtfast.Scorer(
        space=space, proxies=("weight_norm",), constraints=window, num_classes=10, **OPTIONS
    )
    problem = NASProblem(space, scorer, ("weight_norm", "params"))
    result = minimize(problem, 30)
    archs = problem.architectures(result.X)
    table = tvtfast.score(archs, space=space, proxies=("weight_norm",), num_classes=10, **OPTIONS)
    np.testing.assert_allclose(result.F[:, 0], -table["weight_norm"], rtol=1e-6)
    np.testing.assert_array_equal(result.F[:, 1], table["params"])
    assert all(space.satisfies(arch, window, num_classes=10, **OPTIONS) for arch in archs)


def test_what_pymoo_is_told_of_windows_and_failures():
    pytest.importorskip("pymoo")
    from tvtfast.adapters.pymoo import NASProblem

    def shallow(inputs):
        if inputs.arch.depth == 14:
            raise tvtfast.proxies.UndefinedScoreError("too deep")
        return float(inputs.arch.depth)

    proxy = tvtfast.proxies.Proxy("shallow", shallow, higher_is_better=False)
    window = {"params": (None, TINY.params(TINY.sample(1, 0)[0], **OPTIONS))}
    scorer = tvtfast.Scorer(space=TINY, proxies=(proxy,), constraints=window, **OPTIONS)
    problem = NASProblem("autoformer-tiny", scorer, ("shallow",))
    archs = [*TINY.sample(20, 0), TINY.sample(1, 0)[0]]
    told = problem.evaluate(
        np.array([TINY.choices_of(arch) for arch in archs]), return_as_dictionary=True
    )
    for arch, cost, outside in zip(archs, told["F"][:, 0], told["G"][:, 0], strict=True):
        if arch.depth == 14:
            assert (cost, outside) == (0.0, 1.0)
        else:
            assert cost == arch.depth
            assert (outside == 0) == TINY.satisfies(arch, window, **OPTIONS) and outside < 1
    assert {arch.depth for arch in archs} == {12, 13, 14}, "every kind was met"


@pytest.mark.parametrize(
    ("space", "objectives", "message"),
    [
        ("pit", ("params",), "the space is 'pit', and that of the scorer 'autoformer-tiny'"),
        ("autoformer-tiny", (), "objectives are empty; give some of"),
        ("autoformer-tiny", ("accuracy",), "objectives are accuracy; give some of"),
    ],
)
def test_problems_that_make_no_sense(space, objectives, message):
    pytest.importorskip("pymoo")
    from tvtfast.adapters.pymoo import NASProblem

    scorer = tvtfast.Scorer(space=TINY, proxies=("params",), **OPTIONS)
    with pytest.raises(ValueError, match=message):
        NASProblem(space, scorer, objectives)


@pytest.mark.parametrize("name", ["autoformer-tiny", "pit", "vitas-deit-cell"])
def test_nevergrad_proposes_architectures(name):
    ng = pytest.importorskip("nevergrad")
    from tvtfast.adapters.nevergrad import parametrization

    space = spaces.get(name)
    made = parametrization(space)
    made.random_state.seed(0)
    assert set(made.value) == {variable.name for variable in space.variables}
    optimizer = ng.optimizers.DiscreteOnePlusOne(made, budget=15)
    losses = []

    def loss(choices):
        losses.append(space.params(space.from_choices(choices)))
        return losses[-1]

    best = space.from_choices(optimizer.minimize(loss).value)
    space.check_inside(best)
    assert space.params(best) == min(losses) < losses[0]


@every_space
def test_configurations_are_architectures(name):
    pytest.importorskip("ConfigSpace")
    from tvtfast.adapters.configspace import configuration_space

    space = spaces.get(name)
    made = configuration_space(space, seed=0)
    configurations = made.sample_configuration(20)
    archs = [space.from_choices(configuration) for configuration in configurations]
    assert len(set(archs)) > 10
    for arch, configuration in zip(archs, configurations, strict=True):
        space.check_inside(arch)
        values = {
            variable.name: variable.choices[variable.labels.index(configuration[variable.name])]
            for variable in space.variables
            if variable.name in configuration
        }
        assert set(values) == {
            variable.name for variable in space.variables if variable.is_decided(values)
        }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = configuration_space(name, seed=0).sample_configuration(20)
    assert [space.from_choices(dict(one)) for one in again] == archs


def test_a_decision_without_a_choice_is_a_constant():
    pytest.importorskip("ConfigSpace")
    from tvtfast.adapters.configspace import configuration_space

    space = spaces.AutoFormerSpace("one", (24,), (1, 2), (2.0, 4.0), (3,))
    for configuration in configuration_space(space, seed=1).sample_configuration(10):
        arch = space.from_choices(configuration)
        assert arch.hidden_dim == 24 and set(arch.num_heads) == {3}


def recipe(section):
    """The last program of a section of docs/hosts.md."""
    page = Path(__file__).parents[2] / "docs" / "hosts.md"
    if not page.is_file():
        pytest.skip(f"{page} does not lie beside the tests")
    written = page.read_text(encoding="utf-8")
    text = re.search(rf"^## {section}$(.*?)(?=^## |\Z)", written, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text[1], flags=re.DOTALL)[-1], names)
    return SimpleNamespace(**names)


def drawn(choices_by_name):
    """As an engine without conditions draws: something of every variable."""
    draw = random.Random(0)
    return {name: draw.choice(choices) for name, choices in choices_by_name.items()}


def test_recipe_of_ray_tune():
    ray = recipe("Ray")
    config = drawn(ray.param_space(lambda choices: choices))
    arch = ray.space.from_choices(config)
    assert arch.depth == config["depth"] and len(config) == len(ray.space.variables)
    assert arch.mlp_ratio == tuple(config[f"mlp_ratio[{block}]"] for block in range(arch.depth))
    assert ray.score_of(config) == ray.scorer([arch])["weight_norm"][0] > 0


def test_recipe_of_nni():
    nni = recipe("NNI")
    stated = json.loads(json.dumps(nni.search_space()))
    assert {one["_type"] for one in stated.values()} == {"choice"}
    parameters = drawn({name: one["_value"] for name, one in stated.items()})
    arch = nni.space.from_choices(parameters)
    assert nni.score_of(parameters) == nni.scorer([arch])["weight_norm"][0] > 0


@every_space
def test_undecided_variables_count_for_nothing(name):
    space = spaces.get(name)
    config = drawn({variable.name: variable.labels for variable in space.variables})
    arch = space.from_choices(config)
    space.check_inside(arch)
    values = {
        variable.name: variable.choices[variable.labels.index(config[variable.name])]
        for variable in space.variables
    }
    for variable in space.variables:
        if not variable.is_decided(values):
            for label in variable.labels:
                assert space.from_choices(config | {variable.name: label}) == arch
