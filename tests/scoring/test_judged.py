"""What rankings were worth where accuracies are known, and that a search says so."""

from __future__ import annotations

import html
import json
import re
import warnings

import pandas as pd
import pytest

import tvtfast
from tvtfast.adapters import autoformer
from tvtfast.cli import main
from tvtfast.scoring import default_proxies
from tvtfast.scoring.judged import FILE, Judged, Judgement, judged_rows

DEFAULT = ("teacher_aware", "weight_norm")
SPACES = {"autoformer-tiny": 100, "pit": 50}
TRUTHS = [f"{data}_{end}_acc" for end in ("kd", "base") for data in ("c100", "flower", "chaoyang")]


def judged(truth, tau, params, half=0.1, given=0.0):
    """A column with intervals of one half-width."""
    over = tau - params
    ends = [end for value in (tau, over, given) for end in (value, value - half, value + half)]
    return Judged(truth, 50, *ends)


@pytest.fixture(scope="module")
def correlations():
    """Scores that follow the size, and some that do not."""
    space = tvtfast.spaces.get("pit")
    table = tvtfast.score(space.sample(12), space=space, proxies=("weight_norm",))
    return tvtfast.correlate(table, {"acc": table["params"] ** 0.5}, n_resamples=5)


@pytest.mark.parametrize("space", SPACES)
def test_the_default_ranking_is_judged_on_all_columns(space):
    found = tvtfast.judgement(space, DEFAULT)
    assert (found.space, found.ranking) == (space, "tvt")
    assert [one.truth for one in found.columns] == TRUTHS
    assert {one.n for one in found.columns} == {SPACES[space]}
    for one in found.columns:
        assert one.tau_low <= one.tau <= one.tau_high and abs(one.params_tau) <= 1
        assert one.tau_over_params_low <= one.tau_over_params <= one.tau_over_params_high
        told = re.search(rf"{one.truth} ([+-]\S+) against ([+-]\S+?),? ?", found.warning)
        assert (told is not None) == (one.tau < one.params_tau), "said where it falls below"


def test_what_nobody_has_judged_has_no_judgement():
    assert tvtfast.judgement("asvit", DEFAULT) is None
    assert tvtfast.judgement("pit", DEFAULT, "rank_sum") is None
    assert tvtfast.judgement("pit", DEFAULT, lambda frame: frame.sum(axis=1)) is None
    assert tvtfast.judgement("pit", ("calibrated",)) is None
    assert tvtfast.judgement("pit", ()) is None


def test_one_proxy_ranks_alike_by_any_method():
    found = tvtfast.judgement("pit", ("weight_norm",), "rank_sum")
    assert found == tvtfast.judgement("pit", ["weight_norm"]) and found.ranking == "weight_norm"


def test_the_warning_tells_chance_from_more():
    columns = (judged("a_acc", 0.3, 0.8, given=0.2), judged("b_acc", 0.5, 0.55), judged("c", 0, -1))
    found = Judgement("pit", "tvt", "8 px", columns)
    assert found.below_params == columns[:2]
    assert "on 2 of 3 accuracies" in found.warning and "beyond chance on 1 of them" in found.warning
    assert "a_acc +0.30 against +0.80, b_acc +0.50 against +0.55." in found.warning
    assert "tvt still ranks on a_acc." in found.warning
    better = Judgement("pit", "tvt", "8 px", columns[2:])
    assert better.below_params == () and better.warning == ""
    assert json.loads(json.dumps(found.to_dict()))["below_params"] == ["a_acc", "b_acc"]


def test_rows_of_a_study_are_those_of_scores(correlations):
    rows = judged_rows(correlations, "pit", "8 px")
    assert list(rows["ranking"]) == ["weight_norm"] and list(rows["truth"]) == ["acc"]
    assert list(rows) == list(pd.read_csv(FILE, nrows=1))
    first = correlations.set_index("proxy").loc["weight_norm"]
    assert rows["tau_over_params"].item() == first["tau_over_params"]


def test_a_search_says_where_size_ranks_better(tmp_path, capsys):
    known = tvtfast.judgement("pit", ("weight_norm",))
    settings = {"trials": 4, "strategy": "random", "proxies": ("weight_norm",)}
    assert tvtfast.search("pit", **settings).judgement == known
    flags = ["--space", "pit", "--proxies", "weight_norm", "--trials", "4", "--strategy", "random"]
    assert main(["search", *flags, "--quiet", "--output-dir", str(tmp_path)]) == 0
    assert " ".join(capsys.readouterr().out.split()).count(known.warning) == 1
    page = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "SIZE RANKS BETTER" in known.warning and known.warning in page
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["judgement"] == json.loads(json.dumps(known.to_dict()))


def test_the_winner_of_a_run_comes_with_the_warning():
    from tvtfast.pipeline.stages import ranking_warning

    best = {"space": "pit", "proxies": dict.fromkeys(DEFAULT, 0.5)}
    assert ranking_warning(best) == tvtfast.judgement("pit", DEFAULT).warning != ""
    assert ranking_warning({"space": "asvit", "proxies": {"length_distortion": 1.0}}) == ""


def scored(space="pit", **changes):
    chosen = tvtfast.spaces.get(space)
    return tvtfast.score(
        chosen.sample(3), **{"space": chosen, "proxies": ("weight_norm",)} | changes
    )


def test_a_ranking_below_the_parameter_count_warns_with_its_figures():
    table = scored()
    told = tvtfast.judgement("pit", ("weight_norm",)).warning
    for ranked in (lambda: tvtfast.rank(table), table.rank):
        with pytest.warns(tvtfast.SizeRanksBetterWarning) as caught:
            ranked()
        assert [str(one.message) for one in caught] == [told]
        assert caught[0].filename == __file__, "it names the caller's line, which warns once"


def test_the_hosts_of_adapters_are_told():
    scorer = tvtfast.Scorer(space="autoformer-tiny", proxies=("weight_norm",))
    archs = tvtfast.spaces.get("autoformer-tiny").sample(2)
    with pytest.warns(tvtfast.SizeRanksBetterWarning) as caught:
        autoformer.score_candidates([autoformer.to_candidate(arch) for arch in archs], scorer)
    assert caught[0].filename == __file__


def test_rankings_that_nobody_has_judged_do_not_warn():
    trained = tvtfast.build(tvtfast.spaces.get("pit").sample(1)[0], space="pit")
    module_beside = tvtfast.score(
        [*tvtfast.spaces.get("pit").sample(2), trained], space="pit", proxies=("weight_norm",)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tvtfast.rank(scored("asvit"))
        tvtfast.rank(scored(), proxies=["params"])
        tvtfast.rank(scored(proxies=("weight_norm", "l2_norm")))
        tvtfast.rank(module_beside)
    assert module_beside.space is None and scored().space == "pit"


def test_inherited_weights_were_not_judged():
    space = tvtfast.spaces.get("autoformer-tiny")
    arch = space.decode({"hidden_dim": 24, "depth": 1, "mlp_ratio": [1.0], "num_heads": [1]})
    options = {"space": space, "img_size": 16, "patch_size": 8, "num_classes": 3}
    weights = tvtfast.build(arch, **options)
    table = tvtfast.score([arch], proxies=("weight_norm",), weights=weights, **options)
    assert table.space is None


def test_the_default_ranking_is_the_better_judged_one():
    """In every judged space it is below the parameter count, beyond chance, nowhere where a choice
    of TVT's two scores is not."""
    for space in SPACES:
        chosen = tvtfast.judgement(space, default_proxies(space))
        assert not any(one.tau_over_params_high < 0 for one in chosen.columns), space
    assert default_proxies("pit") == default_proxies(tvtfast.spaces.get("pit")) == ("weight_norm",)
    assert default_proxies("autoformer-tiny") == default_proxies(None) == DEFAULT


def test_scores_are_of_the_default_ranking_of_the_space():
    pit = tvtfast.spaces.get("pit")
    assert tvtfast.score(pit.sample(2), space=pit).scored == ("weight_norm",)
    assert tvtfast.Scoring.of(tvtfast.Scoring(seed=1), space="pit").asked == ["weight_norm"]
    with pytest.raises(ValueError, match="'teacher_aware' needs"):
        tvtfast.score(tvtfast.spaces.get("autoformer-tiny").sample(2), space="autoformer-tiny")
