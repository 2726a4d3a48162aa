"""Combined scores of several calls compare where all are relative to the same candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tvtfast
from tvtfast import spaces
from tvtfast.data import frozen_batch
from tvtfast.proxies import CombinedProxy
from tvtfast.scoring.ranking import METHODS, combine, incomparable, rank_population

TINY = spaces.get("autoformer-tiny")
UP = {"a": True, "b": True}
COMBINED = [
    CombinedProxy(f"by_{method}", ("teacher_aware", "weight_norm"), method) for method in METHODS
]


@pytest.fixture(scope="module")
def archs():
    return TINY.sample(8, 1)


@pytest.fixture(scope="module")
def run(teacher):
    arguments = {"space": TINY, "teacher": teacher, "images": frozen_batch("digits", 4)}

    def run(candidates, **changes):
        return tvtfast.score(candidates, **arguments | {"proxies": COMBINED} | changes)

    run.arguments = arguments
    return run


@pytest.fixture(scope="module")
def population(run, archs):
    return run(archs)


def columns(table):
    return table.to_pandas()[[proxy.name for proxy in COMBINED]]


def test_one_candidate_alone_has_no_combined_score(run, archs):
    table = run(archs[:1], proxies=["tvt", *COMBINED])
    for name in ("tvt", *columns(table)):
        assert table.status[name].tolist() == ["unsupported"]
        assert np.isnan(table.to_pandas()[name][0])
        assert "one candidate is compared with no other" in table.reasons[name][0]
        assert "relative_to=" in table.reasons[name][0]
    assert table.status["teacher_aware"].tolist() == ["ok"]
    with pytest.raises(ValueError, match="cannot be combined: one candidate .* relative_to="):
        tvtfast.rank(table)


def test_neither_have_candidates_with_equal_scores(run, archs):
    table = run([archs[0], archs[0]])
    assert (table.status[list(columns(table))] == "unsupported").all(axis=None)
    assert "all 2 candidates have equal scores" in table.reasons["by_rank_sum"][1]
    assert columns(table).isna().all(axis=None)


def test_members_score_among_others_what_they_score_in_their_population(run, archs, population):
    """Bit for bit, one at a time."""
    alone = [columns(run([arch], relative_to=population)) for arch in archs]
    pd.testing.assert_frame_equal(
        pd.concat(alone, ignore_index=True), columns(population), check_exact=True
    )
    others = run(archs[2:4], relative_to=population)
    assert others.rank().tolist() == tvtfast.rank(population)[2:4].tolist()
    assert others.reference is population
    table = run(archs[2:4])
    assert table.rank(relative_to=population).tolist() == others.rank().tolist()


def test_a_sample_of_the_space_is_scored_once(run, archs):
    scorer = tvtfast.Scorer(proxies=COMBINED, relative_to=6, **run.arguments)
    assert scorer.evaluated == 0
    alone = pd.concat([columns(scorer([arch])) for arch in archs], ignore_index=True)
    assert scorer.evaluated == 6 + len(archs)
    together = run(archs, relative_to=6)
    pd.testing.assert_frame_equal(alone, columns(together), check_exact=True)
    assert (together.status == "ok").all(axis=None)
    assert together.reference.candidates == TINY.sample(6, 0)
    other = run(archs, relative_to=6, seed=1)
    assert other.reference.candidates == TINY.sample(6, 1)


def test_a_host_that_scores_one_at_a_time_finds_the_best(run, archs, population):
    scorer = tvtfast.Scorer(proxies="tvt", relative_to=population, **run.arguments)
    scores = [scorer([arch]).to_pandas()["tvt"][0] for arch in archs]
    assert int(np.argmax(scores)) == tvtfast.rank(population).idxmax()
    assert len(set(scores)) == len(archs)
    ranks = [float(scorer([arch]).rank()[0]) for arch in archs]
    assert ranks == scores


def test_modules_are_relative_too(run, archs, population):
    module = tvtfast.build(archs[0], space=TINY, img_size=32, num_classes=10)
    table = run([module], relative_to=population)
    assert table.to_pandas()["by_minmax_sum"][0] == pytest.approx(
        population.to_pandas()["by_minmax_sum"][0], abs=1e-4
    )


def test_scores_of_other_settings_do_not_compare(run, archs, population):
    cases = [
        ({"images": frozen_batch("digits", 3)}, "teacher_aware of relative_to .* other batch"),
        ({"seed": 1}, "other init_seed"),
        ({"init_seeds": 2}, "other init_seed"),
        ({"dtype": "bfloat16"}, "other dtype"),
        ({"num_classes": 7}, "other num_classes"),
    ]
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            run(archs[:1], relative_to=population, **changes)
        with pytest.raises(ValueError, match=message):
            tvtfast.rank(run(archs[:2], **changes), relative_to=population)
    run(archs[:1], relative_to=run(archs[:3], images=None, teacher=None, proxies="weight_norm"),
        proxies=["weight_norm"])  # fmt: skip


@pytest.mark.parametrize(
    ("relative_to", "error", "message"),
    [
        (1, ValueError, "relative_to is 1; give a whole number of at least 2"),
        (True, ValueError, "relative_to is True; give a whole number of at least 2"),
        (2.5, TypeError, "relative_to is a float; give a ScoreTable"),
        ("64", TypeError, "relative_to is a str; give a ScoreTable"),
        ([1], TypeError, "relative_to is a list; give a ScoreTable"),
    ],
)
def test_what_it_may_not_be(run, archs, relative_to, error, message):
    with pytest.raises(error, match=message):
        run(archs[:1], relative_to=relative_to)


def test_what_it_has_to_have(run, archs):
    norms = run(archs[:3], proxies="weight_norm")
    with pytest.raises(ValueError, match="relative_to has no proxy teacher_aware; it has params"):
        run(archs[:1], relative_to=norms)
    with pytest.raises(ValueError, match="no space to draw them from"):
        tvtfast.Scorer(proxies="weight_norm", relative_to=4)
    alike = run([archs[0], archs[0]])
    table = run(archs[:2], relative_to=alike)
    assert set(table.status["by_product"]) == {"unsupported"}
    assert "all 2 candidates of relative_to have equal scores" in table.reasons["by_product"][0]
    with pytest.raises(ValueError, match="all 2 candidates of relative_to have equal scores"):
        table.rank()
    with pytest.raises(ValueError, match="leave relative_to out, or name a method"):
        table.rank(lambda frame: frame["weight_norm"])


def test_a_search_ranks_whole_populations(run, archs):
    result = tvtfast.search(TINY, strategy="random", trials=1, proxies="tvt", **_without_space(run))
    assert result.table.status["tvt"].tolist() == ["unsupported"]
    assert result.order == (0,) and result.best == result.table.candidates[0]
    assert rank_population(result.table)[0] == 0.0
    scorer = tvtfast.Scorer(relative_to=2, **run.arguments)
    assert "relative to other candidates" in scorer.race_obstacle()


def test_the_report_says_when_there_was_one(run, tmp_path):
    tvtfast.search(
        TINY, strategy="random", trials=1, run_dir=tmp_path / "run", **_without_space(run)
    )
    assert "the only one that was scored" in (tmp_path / "run" / "report.html").read_text()


def _without_space(run):
    return {name: value for name, value in run.arguments.items() if name != "space"}


numbers = st.integers(-9, 9).map(float)
frames = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12).map(
    lambda rows: pd.DataFrame(rows, columns=["a", "b"])
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(frame=frames)
def test_a_population_relative_to_itself_is_itself(method, frame):
    expected = combine(frame, UP, method)
    pd.testing.assert_series_equal(
        combine(frame, UP, method, reference=frame), expected, check_exact=True
    )
    one = [combine(frame[i : i + 1], UP, method, reference=frame).iloc[0] for i in frame.index]
    assert one == expected.tolist()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(frame=frames, others=frames)
def test_who_is_better_in_all_is_not_ranked_below(method, frame, others):
    scores = combine(frame, UP, method, reference=others)
    for i in frame.index:
        for j in frame.index:
            if (frame.loc[i] >= frame.loc[j]).all():
                assert scores[i] >= scores[j] - 1e-12


@settings(max_examples=40, deadline=None)
@given(frame=frames)
def test_published_formulas(frame):
    """Of whole populations, as they were before there was a reference."""
    span = frame.max() - frame.min()
    scaled = ((frame - frame.min()) / span.where(span > 0)).fillna(0.0)
    deviation = frame.std(ddof=0)
    standard = ((frame - frame.mean()) / deviation.where(deviation > 0)).fillna(0.0)
    expected = {
        "minmax_sum": scaled.sum(axis=1),
        "rank_sum": frame.rank(method="average").sum(axis=1),
        "zscore_sum": standard.sum(axis=1),
    }
    if (span > 0).all():
        expected["product"] = scaled.prod(axis=1)
    for method, values in expected.items():
        found = combine(frame, UP, method)
        pd.testing.assert_series_equal(found, values.rename(method), check_exact=True)


def test_a_column_without_spread_takes_no_part_in_a_product():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [5.0, 5.0, 5.0]})
    assert combine(frame, UP, "product").tolist() == [0.0, 0.5, 1.0]


def test_what_cannot_be_told_apart():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 3.0]})
    assert incomparable(frame) is None
    assert incomparable(frame.assign(a=np.nan)) is None, "there is nothing to compare"
    assert incomparable(frame[:1]) == "one candidate is compared with no other"
    assert incomparable(frame.assign(a=1.0)) == "all 2 candidates have equal scores"
    assert incomparable(frame[:1], frame) is None
    assert incomparable(frame, frame[:1]).startswith("one candidate of relative_to")
    assert incomparable(frame, frame.assign(a=np.nan)).startswith("no candidate of relative_to")
