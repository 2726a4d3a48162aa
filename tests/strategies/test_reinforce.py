"""REINFORCE: its gradient, its optimiser, its rewards, and that it learns."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import numpy as np
import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.strategies import Budget, Column, Reinforce, Scores
from tvtfast.strategies.policy import Policy
from tvtfast.strategies.reinforce import MovingAverage, Rewards

PIT = spaces.get("pit")
CHOICES = [4, 2, 7]


def policy(learning_rate=0.08):
    made = Policy(CHOICES, learning_rate, random.Random(0))
    generator = np.random.default_rng(1)
    made.logits = [generator.normal(size=count) for count in CHOICES]
    return made


def loss(logits, choices, advantage):
    chosen = [torch.log_softmax(one, 0)[c] for one, c in zip(logits, choices, strict=True)]
    return -advantage * torch.stack(chosen).sum()


@pytest.mark.parametrize("advantage", [1.7, -0.3, 0.0])
def test_gradient_is_that_of_autograd(advantage):
    made, choices = policy(), [3, 0, 5]
    logits = [torch.tensor(one, requires_grad=True) for one in made.logits]
    loss(logits, choices, advantage).backward()
    for ours, theirs in zip(made.gradient(choices, advantage), logits, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-13, atol=1e-15)
    assert made.log_probability(choices) == pytest.approx(
        -loss(logits, choices, 1.0).item(), rel=1e-14
    )


def test_steps_are_those_of_adam():
    made = policy()
    logits = [torch.tensor(one, requires_grad=True) for one in made.logits]
    optimizer = torch.optim.Adam(logits, lr=0.08)
    generator = np.random.default_rng(2)
    for _ in range(50):
        choices, advantage = [int(generator.integers(c)) for c in CHOICES], generator.normal()
        optimizer.zero_grad()
        loss(logits, choices, advantage).backward()
        optimizer.step()
        made.update(choices, advantage)
    for ours, theirs in zip(made.logits, logits, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10)
    entropy = sum(
        float(torch.distributions.Categorical(logits=one.detach()).entropy()) for one in logits
    )
    assert made.entropy == pytest.approx(entropy, rel=1e-12)


def test_samples_follow_the_probabilities():
    made = policy()
    drawn = np.array([made.sample() for _ in range(4000)])
    for variable, expected in enumerate(made.probabilities):
        shares = np.bincount(drawn[:, variable], minlength=len(expected)) / len(drawn)
        # five standard deviations of a share
        assert np.all(abs(shares - expected) < 5 * np.sqrt(expected * (1 - expected) / 4000))
    assert made.most_probable() == [int(one.argmax()) for one in made.probabilities]


def told(**values):
    columns = {name: Column((value,), True) for name, value in values.items()}
    return Scores([0.0], columns, {})


def test_rewards_are_relative_changes():
    rewards = Rewards({"up": True, "down": False}, window=3, paper=False)
    given = [(1.0, 5.0), (3.0, 5.0), (2.0, 9.0), (2.0, 1.0), (2.0, 1.0)]
    found = [rewards.of(told(up=up, down=down)) for up, down in given]
    # ranges over the last three: up 0, 2, 2, 1, 0; down 0, 0, 4, 8, 8
    expected = [0.0, 2 / 2, -1 / 2 - 4 / 4, 0 + 8 / 8, 0.0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_failure_is_the_worst_of_the_window_and_with_paper_minus_one():
    fixed, paper = (Rewards({"down": False}, 20, paper) for paper in (False, True))
    assert fixed.of(told(down=math.nan)) == 0.0, "nothing to compare with yet"
    for value, reward, published in ((4.0, 0, 0), (2.0, 1, 1), (math.nan, -1, 3 / 5)):
        assert fixed.of(told(down=value)) == pytest.approx(reward, abs=1e-5)
        assert paper.of(told(down=value)) == pytest.approx(published, abs=1e-5)


def test_flops_are_a_soft_constraint_of_the_reward():
    columns = [(1.0, 4e9), (1.0, 8e9), (2.0, 2e9)]
    told = [
        Scores([0.0], {"up": Column((up,), True), "flops": Column((flops,), False)}, {})
        for up, flops in columns
    ]
    weighted = Rewards({"up": True}, 20, False, flops_weight=0.5)
    # up: 0, then 1 of 1; FLOPs: 4 of 4 more, then 6 of 6 fewer
    assert [weighted.of(one) for one in told] == pytest.approx([0, -0.5, 1.5], abs=1e-5)
    without = Rewards({"up": True}, 20, False)
    assert [without.of(one) for one in told] == pytest.approx([0, 0, 1], abs=1e-5)


def test_flops_weigh_on_what_is_learned(drive):
    """The larger the better, unless FLOPs weigh more."""
    answers = [
        drive(
            Reinforce(flops_weight=weight)(PIT, Budget(300, objectives={"params": True})),
            PIT.params,
            params=(PIT.params, True),
            flops=(PIT.flops, False),
        )[1]
        for weight in (0.0, 5.0)
    ]
    assert PIT.flops(answers[1]) < 0.5 * PIT.flops(answers[0])


def test_moving_average_has_no_bias():
    average = MovingAverage(0.9)
    assert average.value == 0.0
    for _ in range(5):
        average.update(3.0)
        assert average.value == pytest.approx(3.0, rel=1e-14)
    average.update(5.0)
    weights = [0.1 * 0.9**age for age in range(6)]
    assert average.value == pytest.approx((5 * weights[0] + 3 * sum(weights[1:])) / sum(weights))


def advantages(drive, paper, monkeypatch):
    seen = []
    monkeypatch.setattr(Policy, "update", lambda self, choices, advantage: seen.append(advantage))
    budget = Budget(40, objectives={"params": True})
    drive(Reinforce(paper=paper)(PIT, budget), PIT.params, params=(PIT.params, True))
    return np.array(seen)


def test_the_published_baseline_scales_the_advantage(drive, monkeypatch):
    ours, published = advantages(drive, False, monkeypatch), advantages(drive, True, monkeypatch)
    steps = np.arange(1, 41)
    np.testing.assert_allclose(published, ours * (1 - 0.1 / (1 - 0.9**steps)), atol=1e-12)
    assert ours[1] != 0.0 and published[1] == pytest.approx(0.4737 * ours[1], rel=1e-3)


def test_it_learns_and_answers_with_the_most_probable(drive):
    noted = []
    budget = Budget(300, objectives={"params": True}, note=lambda **notes: noted.append(notes))
    populations, answer = drive(Reinforce()(PIT, budget), PIT.params, params=(PIT.params, True))
    assert len(populations) == 301 and populations[-1] == [answer]
    everything = sorted(map(PIT.params, PIT.enumerate()))
    assert PIT.params(answer) > everything[int(0.99 * len(everything))]
    entropy = [notes["entropy"] for notes in noted]
    assert (
        entropy[0] == pytest.approx(math.log(PIT.size), rel=1e-5) and entropy[-1] < entropy[0] / 2
    )
    again, _ = drive(Reinforce()(PIT, budget), PIT.params, params=(PIT.params, True))
    assert populations == again


def test_constraints_hold_even_for_the_answer(drive):
    """The larger the better, but for a ceiling that the most probable choices break."""
    window = {"params": (None, 3e6)}
    budget = Budget(150, window, objectives={"params": True})
    populations, answer = drive(Reinforce()(PIT, budget), PIT.params, params=(PIT.params, True))
    assert all(PIT.satisfies(arch, window) for (arch,) in populations)
    assert PIT.satisfies(answer, window)
    with pytest.raises(tvtfast.InfeasibleError, match="the space spans params"):
        next(Reinforce()(PIT, Budget(5, {"params": (1, 2)}, objectives={"params": True})))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"window": 1}, "window is 1; give 2 steps or more"),
        ({"flops_weight": -1.0}, "flops_weight is -1.0; give"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Reinforce(**settings)


class WithoutVariables(type(PIT)):
    """PiT as a space of a user's own that states no variables."""

    variables = spaces.Space.variables


def test_variables_that_are_not_decided_learn_nothing():
    made, choices = policy(), [3, None, 5]
    before = [logits.copy() for logits in made.logits]
    decided = [made.probabilities[0][3], made.probabilities[2][5]]
    assert made.log_probability(choices) == pytest.approx(np.log(decided).sum(), rel=1e-14)
    made.update(choices, 1.0)
    moved = [bool((new != old).all()) for new, old in zip(made.logits, before, strict=True)]
    assert moved == [True, False, True]
    np.testing.assert_array_equal(made.logits[1], before[1])


def test_blocks_that_only_deep_architectures_have_are_learned_from_those(drive):
    """No deep one is inside the window: what would be decided in it keeps the first policy."""
    tables = []
    space = dataclasses.replace(spaces.get("autoformer-tiny"), depths=(1, 2))
    window = {"params": (None, space.params(space.enumerate()[0]) * 1.5)}
    budget = Budget(
        30,
        window,
        objectives={"params": True},
        keep=lambda table, rows: tables.append(pd.DataFrame(rows)),
    )
    populations, answer = drive(
        Reinforce()(space, budget), space.params, params=(space.params, True)
    )
    assert {arch.depth for (arch,) in populations} == {1} and answer.depth == 1
    first, last = (table.groupby("decision")["probability"].apply(list) for table in tables[::30])
    for decision in ("num_heads[1]", "mlp_ratio[1]"):
        assert first[decision] == last[decision]
    for decision in ("hidden_dim", "num_heads[0]", "mlp_ratio[0]"):
        assert first[decision] != last[decision]


def test_spaces_without_variables_are_refused():
    with pytest.raises(ValueError, match="does not state its variables"):
        next(Reinforce()(WithoutVariables(), Budget(3, objectives={"params": True})))
    with pytest.raises(ValueError, match="'reinforce' needs objectives"):
        next(Reinforce()(PIT, Budget(3)))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search and its folder."""
    folder = tmp_path_factory.mktemp("reinforce")
    settings = {"strategy": "reinforce", "trials": 30, "proxies": ["params"], "seed": 2}
    return tvtfast.search("pit", **settings, run_dir=folder), folder


def test_a_search_ends_with_the_answer(searched):
    result, tmp_path = searched
    assert result.best == result.answer == result.table.candidates[result.best_row]
    assert PIT.decode(result.describe_best()["arch"]) == result.answer
    assert list(result.trace.columns) == [
        *("generation", "evaluations", "best", "mean", "entropy", "reward")
    ]
    assert len(result.trace) == 31 and result.trace["evaluations"].iloc[-1] == len(result.table)
    page = (tmp_path / "report.html").read_text()
    assert "the answer of the strategy; rank" in page


def test_rewards_and_probabilities_of_every_step_are_kept(searched):
    result, tmp_path = searched
    trace, policy = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("trace", "policy"))
    assert trace["reward"][0] == 0.0 and trace["reward"].isna().tolist() == [False] * 30 + [True]
    params = [PIT.params(arch) for arch in drawn_by(trace, result)]
    for step in (1, 12, 29):
        seen = params[max(0, step - 19) : step + 1]
        expected = (params[step] - params[step - 1]) / (max(seen) - min(seen) + 1e-6)
        assert trace["reward"][step] == pytest.approx(expected, abs=1e-9)
    assert policy["generation"].max() == 31
    sums = policy.groupby(["generation", "decision"])["probability"].sum()
    assert sums.to_numpy() == pytest.approx(1.0) and len(sums) == 31 * len(PIT.variables)
    entropy = -(policy["probability"] * np.log(policy["probability"]))
    by_step = entropy.groupby(policy["generation"]).sum()
    assert by_step.to_numpy() == pytest.approx(trace["entropy"].to_numpy(), rel=1e-9)
    last = policy[policy["generation"] == 31]
    modes = last.loc[last.groupby("decision", sort=False)["probability"].idxmax(), "choice"]
    chosen = [
        variable.choices[index]
        for variable, index in zip(PIT.variables, PIT.choices_of(result.answer), strict=True)
    ]
    assert modes.astype(str).tolist() == list(map(str, chosen))
    assert (tmp_path / "policy.png").exists()
    assert "What the strategy learned" in (tmp_path / "report.html").read_text(encoding="utf-8")


def drawn_by(trace, result):
    """The architecture of every step, found by its score."""
    by_score = dict(zip(result.scores, result.table.candidates, strict=True))
    return [by_score[score] for score in trace["mean"]]


def test_an_answer_that_is_not_the_best_score_is_marked(tmp_path, capsys):
    from tvtfast.cli import main

    arguments = ["search", "--space", "pit", "--strategy", "reinforce", "--trials", "8"]
    options = ["--proxies", "params", "--output-dir", str(tmp_path), "--quiet"]
    assert main([*arguments, *options]) == 0
    shown = capsys.readouterr().out
    assert main([*arguments, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best_score"]["score"] == found["top"][0]["score"] > found["best"]["score"]
    marked = [line for line in shown.splitlines() if line.endswith((" answer", " best score"))]
    assert [line.split()[0] for line in marked] == ["1", "2"]
    assert "and the best score seen is" in " ".join(shown.split())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "(answer)</td>" in page and "1 (best score)</td>" in page
    assert "The strategy's answer is not the best score" in page


def test_an_answer_that_is_the_best_score_is_not_marked():
    result = tvtfast.search("pit", strategy="reinforce", trials=8, proxies=["params"])
    assert result.better_row == result.order[0]
    best = result.table.candidates[result.order[0]]
    assert dataclasses.replace(result, answer=best).better_row is None
    assert dataclasses.replace(result, answer=None).better_row is None
