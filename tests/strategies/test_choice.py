"""What runs where the user leaves the strategy or the number of trials open."""

from __future__ import annotations

import json

import pytest

import tvtfast
from tvtfast import spaces, strategies
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet
from tvtfast.spaces import AutoFormerSpace, NotEnumerableError

PIT, TINY = spaces.get("pit"), spaces.get("autoformer-tiny")


@pytest.mark.parametrize(
    ("space", "strategy", "trials", "chosen"),
    [
        (PIT, None, None, ("exhaustive", None)),
        (PIT, None, 5, ("random", 5)),
        (PIT, "random", None, ("random", 1000)),
        (TINY, None, None, ("random", 1000)),
        (TINY, "exact", None, ("exact", 10)),
        (TINY, strategies.exact, None, (strategies.exact, 10)),
        (TINY, "exact", 3, ("exact", 3)),
        (TINY, print, None, (print, 1000)),
    ],
)
def test_defaults(space, strategy, trials, chosen):
    assert strategies.choose(space, strategy, trials) == chosen


def test_exhaustive_takes_no_number():
    with pytest.raises(ValueError, match="'exhaustive' scores every .* trials is 5; leave trials"):
        tvtfast.search(PIT, strategy="exhaustive", trials=5)
    with pytest.raises(ValueError, match="'exhaustive' scores every"):
        strategies.choose(PIT, strategies.exhaustive, 5)


def test_every_architecture_of_a_window_is_scored(tmp_path):
    window = {"params": (4.0e6, 4.2e6)}
    options = {"img_size": 32, "patch_size": 8, "num_classes": 10}
    result = tvtfast.search(
        "pit",
        constraints=window,
        run_dir=tmp_path,
        teacher=tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10)), input_size=32),
        images=frozen_batch("digits", 2),
        **options,
    )
    assert result.table.candidates == PIT.enumerate(window, **options)
    assert 10 < len(result.order) < 40
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["settings"]["strategy"] == "exhaustive" and run["settings"]["trials"] is None


def test_nothing_to_list():
    with pytest.raises(tvtfast.InfeasibleError, match="no architecture of 'pit' has params in"):
        tvtfast.search("pit", proxies=["params"], constraints={"params": (1, 2)})
    with pytest.raises(NotEnumerableError, match="too many to enumerate"):
        tvtfast.search(TINY, strategy="exhaustive", proxies=["params"])


@pytest.mark.parametrize("strategy", ("exhaustive", "random", "evolution"))
def test_a_small_space_of_autoformer_is_searched_to_its_end(strategy):
    space = AutoFormerSpace("x", (24, 32), (2, 3), (2.0,), (2, 4))
    trials = None if strategy == "exhaustive" else space.size
    result = tvtfast.search(
        space, strategy=strategy, trials=trials, proxies=["weight_norm"], img_size=32, patch_size=8
    )
    archs = [space.decode(arch) for arch in result.table.to_pandas()["arch"]]
    assert set(archs) == set(space.enumerate()) and len(archs) == 24
