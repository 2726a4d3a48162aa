"""Three systems by one call: what each takes, refuses and leaves."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
import torch
from timm.layers import DropPath

import tvtfast
from tvtfast import spaces
from tvtfast.data import hold_out
from tvtfast.distill import Distillation, ProgressiveTokens, Recipe
from tvtfast.models import load_student
from tvtfast.pipeline import SYSTEMS, RunError, defaults_for
from tvtfast.pipeline.plan import Plan, model_options
from tvtfast.pipeline.running import _with_feasible_budget
from tvtfast.pipeline.systems.as_vit import rules_for
from tvtfast.pipeline.systems.vitas import flops_window
from tvtfast.spaces import VitasDeitSpace
from tvtfast.supernet import InheritedAccuracy, load_superformer

pytestmark = pytest.mark.usefixtures("one_thread")


def plan(small, system, *, budget=None, space=None, dataset="digits", **options):
    """The plan of a run on some digits."""
    train = small.part("train", 30)
    chosen = defaults_for(dataset, system)
    searched = spaces.get(SYSTEMS[system].space if space is None else space)
    how = Distillation(guidance=None)
    return Plan(
        folder=Path("unused"),
        train=train,
        held_out=small.part("train", 10),
        test=small.part("test", 20),
        search_split=0.2,
        budget=chosen.budget if budget is None else budget,
        space=searched,
        source=None,
        given=None,
        chosen=chosen,
        how=how,
        options=model_options(train, searched, how, chosen.patch_size, options),
        compare=True,
        seed=0,
        device="cpu",
        workers=0,
        progress=False,
    )


@pytest.fixture(scope="module")
def inherited(small, tmp_path_factory):
    return small.run(tmp_path_factory.mktemp("vitas") / "run", "vitas")


@pytest.mark.parametrize("dataset", ("digits", "cifar100"))
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_fits_its_own_default_budget(small, system, dataset):
    found = plan(small, system, dataset=dataset, img_size=32)
    SYSTEMS[system].check_budget(found)


def test_the_default_budget_gives_way_to_what_a_space_has(small, caplog):
    """Six million parameters are more than any topology has before it grows."""
    asked = plan(small, "tvt", space="asvit")
    found = _with_feasible_budget(SYSTEMS["tvt"], asked)
    least, most = asked.space.feasible_range("params", **asked.options)
    assert least < found.budget == most < asked.budget
    SYSTEMS["tvt"].check_budget(found)
    assert "which asvit does not have; it is 2.17 million" in caplog.text


@pytest.mark.slow
def test_tvt_searches_topologies_with_its_own_defaults(small, tmp_path):
    """Only what takes long is cut short; size and images are what the space asks for."""
    found = small.run(tmp_path / "run", space="asvit", budget=None, trials=2, compare=False)
    assert found.best["space"] == "asvit" and found.best["model_options"]["img_size"] == [64, 64]
    assert load_student(found.folder / "export").card.arch == found.best["arch"]


def test_as_vit_enlarges_small_images(small):
    assert plan(small, "as-vit").options["img_size"] == 64
    assert plan(small, "as-vit", img_size=32).options["img_size"] == 32
    assert plan(small, "vitas").options["img_size"] == 16


def test_growth_starts_below_the_budget(small):
    """The published start where it is small enough, a narrower one elsewhere."""
    topology = "8,2,6|4,1,6|4,1,6|4,1,6|64"
    sizes = {}
    for budget in (2e5, 5e5, 6e6):
        asked = plan(small, "as-vit", budget=budget)
        rules = rules_for(asked, topology)
        seed = rules.model(rules.start(asked.space.decode(topology)))
        sizes[budget] = rules.width_scale, asked.space.params(seed, **asked.options)
    assert [scale for scale, _ in sizes.values()] == [1, 1, 4]
    assert all(params <= budget for budget, (_, params) in sizes.items())


def test_a_superformer_trains_what_the_budget_searches(small):
    asked = plan(small, "vitas", budget=8e3, space="run-subnets", img_size=32)
    low, high = flops_window(asked)
    within = asked.space.sample(20, 5, asked.constraints, **asked.options)
    assert all(low <= asked.space.flops(arch, **asked.options) <= high for arch in within)
    least, most = asked.space.feasible_range("flops", **asked.options)
    assert least < low and high < most


@pytest.mark.parametrize(
    ("system", "changes", "message"),
    (
        ("vit", {}, "system is 'vit'; allowed: tvt, as-vit, vitas"),
        ("as-vit", {"teacher": "resnet56"}, "teacher is given, and system 'as-vit' has no use"),
        ("vitas", {"teacher_arch": "resnet8"}, "has no use for it.*or give system 'tvt'"),
        ("vitas", {"how": Distillation()}, "how is given, and system 'vitas'"),
        ("tvt", {"superformer_recipe": Recipe()}, "or give system 'vitas'"),
        ("vitas", {"finalists": 8}, "finalists is given, and system 'vitas' has no use for it"),
        ("as-vit", {"train_hours": 1}, "train_hours is given, and system 'as-vit' has no use"),
        ("tvt", {"train_hours": 1}, "train_hours is for a tournament; give finalists, too"),
        ("tvt", {"finalists": 3}, "finalists is 3"),
        ("tvt", {"finalists": 4}, "4 finalists take 3 rungs, and the recipe has 2 epochs"),
        ("tvt", {"finalists": 4, "search_split": 0.0}, "finalists go by held-out images"),
        (
            "tvt",
            {"recipe": Recipe(tokens=ProgressiveTokens())},
            "progressive tokens, which are for",
        ),
        ("vitas", {"recipe": Recipe(tokens=ProgressiveTokens())}, "the space is 'run-subnets'"),
        (
            "vitas",
            {"strategy": "exact"},
            "strategy is 'exact'; allowed: evolution, nsga2, random, reinforce",
        ),
        (
            "as-vit",
            {"space": "autoformer-tiny"},
            "'as-vit' grows topologies, and 'autoformer-tiny'",
        ),
        ("vitas", {"space": "pit"}, "'vitas' trains a superformer: there is no superformer"),
        ("vitas", {"search_split": 0.0}, "compares candidates by held-out images, and search_spl"),
        (
            "vitas",
            {"space": VitasDeitSpace("alone", (16,), (12,), 2, 1, (2,), (36,), (20,))},
            "enter the space with tvtfast.spaces.register",
        ),
        ("vitas", {"budget": 1000}, "budget is 0.001 million parameters, and no architecture"),
        ("as-vit", {"budget": 1000}, "grow from 0.1[0-9]* to 110 million; give a budget between"),
        ("as-vit", {"budget": 2e8}, "budget is 200 million .* grow from"),
        ("as-vit", {"budget": -1}, "budget is -1"),
        ("as-vit", {"patch": 8}, "unknown model option 'patch'"),
    ),
)
def test_what_cannot_run_is_refused_before_any_work(small, tmp_path, system, changes, message):
    if system not in SYSTEMS:
        with pytest.raises(ValueError, match=message):
            tvtfast.run("digits", system=system, output_dir=tmp_path / "run")
        return
    with pytest.raises((ValueError, TypeError), match=message):
        small.run(tmp_path / "run", system, **changes)
    assert not list(tmp_path.iterdir()), "nothing was written for it"


def test_vitas_leaves_every_stage(inherited, small):
    folder, best = inherited.folder, inherited.best
    stages = SYSTEMS["vitas"].stages
    assert stages == ("superformer", "search", "cut", "student", "deit", "export")
    assert all((folder / stage).is_dir() for stage in stages)
    assert 0.75 * 1.6e4 <= best["params"] <= 1.6e4
    superformer = load_superformer(folder / "superformer")
    cut = load_student(folder / "cut")
    assert cut.card.recipe["inherited_from"] == superformer.fingerprint
    assert cut.card.arch == best["arch"] == load_student(folder / "export").card.arch
    assert cut.card.accuracy == inherited.cut.card.accuracy
    student = load_student(folder / "student")
    assert student.card.recipe["teacher"] is None
    images = torch.randn(2, 3, 16, 16)
    assert not torch.equal(cut.module(images), student.module(images)), "it is retrained"
    assert inherited.baseline.student.card.recipe["epochs"] == student.card.recipe["epochs"]
    for network in (student, inherited.baseline.student):
        depths = [m for m in network.module.modules() if isinstance(m, DropPath)]
        assert max(depth.drop_prob for depth in depths) == pytest.approx(0.2)
    assert list(inherited.seconds) == ["superformer", "search", "student", "deit"]


def test_the_report_of_vitas_shows_its_stages(inherited):
    page = inherited.report.read_text(encoding="utf-8")
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).replace("\u00a0", " ").split())
    for words in (
        "vitas: a superformer, evolution by inherited accuracy, retraining",
        "Superformer All candidates of run-subnets on shared weights",
        "by the accuracy that they inherit",
        "the student, cut out",
        "points against DeiT-like ViT of width",
    ):
        assert words in text, words
    assert "teacher:" not in text and "Where teacher and student look" not in text
    assert page.count("data:image/png;base64,") == 3  # superformer, search, accuracy
    assert 'href="search/report.html"' in page
    for stage in inherited.seconds:
        assert f"<td>{stage}</td>" in page


def test_a_run_belongs_to_its_system(inherited, small):
    with pytest.raises(RunError, match="another run .*system was 'vitas', now 'tvt'"):
        small.run(inherited.folder)
    record = json.loads((inherited.folder / "run.json").read_text())
    assert record["status"] == "finished" and record["settings"]["system"] == "vitas"


def test_what_is_finished_is_not_done_again(inherited, small):
    stages = ("superformer", "search", "cut", "student", "deit")
    files = [path for stage in stages for path in (inherited.folder / stage).iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    again = small.run(inherited.folder, "vitas")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.seconds == inherited.seconds and again.best == inherited.best


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", ("superformer/last.pt", "search/scores.sqlite"))
def test_vitas_killed_and_continued_is_the_same_to_the_bit(
    small, tmp_path, inherited, start_program, kill_once, assert_same, last_weights, killed_at
):
    process = start_program(small, tmp_path / "run", "vitas")
    kill_once(process, (tmp_path / "run" / killed_at).exists)
    continued = small.run(tmp_path / "run", "vitas")
    assert continued.best == inherited.best
    assert continued.cut.card.accuracy == inherited.cut.card.accuracy
    for stage in ("student", "deit"):
        assert_same(last_weights(continued.folder / stage), last_weights(inherited.folder / stage))


@pytest.mark.slow
def test_as_vit_killed_and_continued_is_the_same_to_the_bit(
    small, tmp_path, start_program, kill_once, assert_same, last_weights
):
    process = start_program(small, tmp_path / "run", "as-vit")
    kill_once(process, (tmp_path / "run" / "growth" / "growth.csv").exists)
    assert not (tmp_path / "run" / "growth" / "picked.json").exists()
    continued = small.run(tmp_path / "run", "as-vit")
    whole = small.run(tmp_path / "whole", "as-vit")
    assert continued.best == whole.best
    for stage in ("student", "deit"):
        assert_same(last_weights(continued.folder / stage), last_weights(whole.folder / stage))

    assert whole.best["met"] and abs(whole.best["params"] / 1.5e5 - 1) <= 0.05
    topology = json.loads((whole.folder / "search" / "best.json").read_text())["arch"]
    grown = whole.student.student.card.arch
    assert {name: grown[name] for name in ("kernels", "splits", "expansions", "heads")} == {
        name: topology[name] for name in ("kernels", "splits", "expansions", "heads")
    }
    recipe = whole.student.student.card.recipe
    assert [phase["dilation"] for phase in recipe["token_phases"]] == [2, 1]
    assert whole.baseline.student.card.recipe.get("token_phases") is None
    assert list(whole.seconds) == ["search", "growth", "student", "deit"]
    page = whole.report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4  # two of the search, the family, accuracy
    assert 'href="growth/report.html"' in page and "of the budget" in page


def test_candidates_are_compared_by_held_out_images(inherited, small):
    """The winner's inherited accuracy is that of held-out images; that of the cut, of the test."""
    weights = load_superformer(inherited.folder / "superformer")
    _, held_out = hold_out(small.part("train", 64), 0.2)
    best = inherited.best
    found = InheritedAccuracy(weights, held_out)
    assert best["proxies"]["inherited_accuracy"] == found(best["arch"])
    tested = InheritedAccuracy(weights, small.part("test", 20))
    assert inherited.cut.card.accuracy == tested(best["arch"])
    searched = json.loads((inherited.folder / "search" / "run.json").read_text())["settings"]
    _, seen = searched["scored"]["inherited_accuracy"]
    assert seen == dict(found.proxy().depends_on())
