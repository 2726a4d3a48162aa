"""What the page of a search shows, and that looking changes nothing."""

import json
import re

import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast.common import board
from tvtfast.scoring.race_population import ImageScores
from tvtfast.scoring.scorer import Scorer
from tvtfast.searching import watching
from tvtfast.searching.archive import Archive

MODEL = {"num_classes": 10, "img_size": 32, "patch_size": 8}


@pytest.fixture
def looks(monkeypatch):
    """All that a page was drawn of, drawn as often as can be."""
    monkeypatch.setattr(board, "PERIOD", 0.001)
    monkeypatch.setattr(board, "_SHARE", 1.0)
    found = []
    look = board.Board.look

    def kept(self):
        found.append(look(self))
        return found[-1]

    monkeypatch.setattr(board.Board, "look", kept)
    return found


def searched(folder, **more):
    return tvtfast.search(
        "pit",
        proxies=("weight_norm", "naswot"),
        images=torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        strategy="random",
        run_dir=folder,
        seed=1,
        **MODEL,
        **more,
    )


def test_a_search_is_seen_while_it_works_and_is_not_changed(tmp_path, looks):
    found = searched(tmp_path / "watched", trials=12)
    seen = [look["candidates"] for look in looks if look.get("candidates")]
    assert seen and seen[-1]["seen"] == 12 and seen[-1]["without"] == 0
    assert seen[-1]["scores"] == pytest.approx(found.scores.tolist())
    assert seen[-1]["params"] == found.table.to_pandas()["params"].tolist()
    assert all(one["without"] <= 12 for one in seen)
    assert looks[-1]["curves"]["best score"]["x"] == [12]
    text = (tmp_path / "watched" / "live" / "data.js").read_text("utf-8")
    data = json.loads(re.fullmatch(r"tvtfastLive\((.*)\);\n", text, re.DOTALL)[1])
    assert data["status"] == "finished" and data["report"] == "../report.html"

    plain = searched(None, trials=12)
    pd.testing.assert_frame_equal(
        found.table.to_pandas()[["weight_norm", "naswot"]],
        plain.table.to_pandas()[["weight_norm", "naswot"]],
        check_exact=True,
    )


def test_a_race_shows_who_is_still_in_it(monkeypatch, teacher):
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    space = tvtfast.spaces.get("autoformer-tiny")
    scorer = Scorer(
        space=space,
        proxies=("teacher_aware", "weight_norm"),
        teacher=teacher,
        images=images,
        **MODEL,
    )
    view = watching.SearchView(space, Archive(space, "minmax_sum"), scorer, "minmax_sum")
    assert view.candidates() is None and view.rungs() is None and view.curves() == {}
    seen = []
    compute = ImageScores._compute

    def looked(self, seed, rows, shown):
        compute(self, seed, rows, shown)
        seen.append((view.candidates(), view.rungs()))

    monkeypatch.setattr(ImageScores, "_compute", looked)
    scorer.race(space.sample(12, 0), top_k=2)
    assert seen[0][1] == [{"images": 2, "candidates": 12}]
    assert set(seen[0][0]["states"]) == {"racing"} and seen[0][0]["without"] == 0
    last, rungs = seen[-1]
    assert rungs[-1]["images"] == 16
    assert last["states"].count("racing") == rungs[-1]["candidates"]
    assert last["states"].count("out") == 12 - rungs[-1]["candidates"] > 0
    best = {state for _, state in sorted(zip(last["scores"], last["states"], strict=True))[-2:]}
    assert best == {"racing"}
    assert scorer.glance() is None


def test_the_course_of_a_search_goes_to_those_who_keep_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = tvtfast.search(
        "pit",
        proxies=("weight_norm",),
        strategy=tvtfast.strategies.Evolution(population=4),
        trials=8,
        run_dir=tmp_path,
        tensorboard=True,
        **MODEL,
    )
    kept = EventAccumulator(str(tmp_path))
    kept.Reload()
    points = kept.Scalars("best")
    assert [point.step for point in points] == found.trace["evaluations"].tolist()
    assert {"best", "mean"} <= set(kept.Tags()["scalars"])
