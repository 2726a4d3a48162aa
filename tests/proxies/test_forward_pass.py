"""Latency and peak memory of a forward pass at a stated batch, as scores and as limits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies
from tvtfast.cli.options import constraints
from tvtfast.cli.search import parser
from tvtfast.proxies.peak_memory import bytes_of_pass
from tvtfast.spaces import AutoFormerSpace, InfeasibleError

SPACE = AutoFormerSpace("pass-small", (16, 32), (2,), (2.0, 3.0), (2, 4))
COUNTED = {"img_size": 16, "patch_size": 8, "num_classes": 3}
OPTIONS = {**COUNTED, "device": "cpu"}
FLOAT = 4


@pytest.fixture(scope="module", autouse=True)
def registered():
    if SPACE.name not in tvtfast.spaces.available():
        tvtfast.spaces.register(SPACE)


@pytest.fixture
def timed(monkeypatch):
    """Batches of the passes that were timed: one takes a microsecond per parameter and image."""
    batches = []

    def seconds(module, images):
        assert not module.training
        batches.append(len(images))
        return 1e-6 * len(images) * sum(p.numel() for p in module.parameters())

    monkeypatch.setattr("tvtfast.proxies.forward_pass.seconds", seconds)
    return batches


def test_latency_is_the_median_of_seven_passes_after_two(monkeypatch):
    passes = iter([9.0, 9.0, 3.0, 1.0, 2.0, 2.0, 2.0, 2.5, 1.5])
    monkeypatch.setattr("tvtfast.proxies.forward_pass.seconds", lambda *_: next(passes))
    table = tvtfast.score(
        SPACE.sample(1, 0), space=SPACE, proxies=["latency:8", "latency_spread:8"], **OPTIONS
    )
    assert table["latency:8"].tolist() == [2000.0]
    assert table["latency_spread:8"].tolist() == [1.0], "of the same passes"


def test_batches_are_columns_side_by_side(timed):
    archs = SPACE.sample(2, 0)
    table = tvtfast.score(archs, space=SPACE, proxies=["latency:1", "latency:3"], **OPTIONS)
    params = table["params"]
    assert table["latency:1"] == pytest.approx(1e-3 * params)
    assert table["latency:3"] == pytest.approx(3e-3 * params)
    assert timed == [1] * 9 + [3] * 9 + [1] * 9 + [3] * 9
    assert not table.higher_is_better["latency:1"]


def test_a_limit_on_latency_keeps_what_is_slower_from_winning(timed):
    most = sorted(SPACE.params(arch, **COUNTED) for arch in SPACE.enumerate())[5]
    found = tvtfast.search(
        SPACE,
        proxies=["weight_norm"],
        constraints={"latency:2": (None, 2e-3 * most)},
        **OPTIONS,
    )
    frame = found.table.to_pandas()
    inside = frame["params"] <= most
    assert found.table.scored == ("weight_norm",), "a limit is not ranked"
    assert 0 < inside.sum() < len(frame) and len(found.order) == inside.sum()
    assert (found.table.status["latency:2"] == "ok").tolist() == inside.tolist()
    assert found.describe_best()["limited"]["latency:2"] <= 2e-3 * most
    assert (frame["latency_spread:2"] == 0).all()
    with pytest.raises(InfeasibleError, match=r"has latency:2 in .*reached latency:2"):
        tvtfast.search(SPACE, proxies=["weight_norm"], constraints={"latency:2": 1e-9}, **OPTIONS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latency", "needs the number of images of a batch; give latency:BATCH"),
        ("latency:0", "of a batch of '0' images; give a whole number from 1, such as latency:1"),
        ("peak_memory:many", "a batch of 'many' images"),
        ("latncy:1", "unknown (proxy|constraint) 'latncy:1'"),
    ],
)
def test_a_batch_is_a_whole_number(name, message):
    with pytest.raises(ValueError, match=message):
        proxies.get(name)
    with pytest.raises(ValueError, match=message):
        tvtfast.search(SPACE, proxies=["weight_norm"], constraints={name: 1}, **OPTIONS)


def layers():
    return [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)]


def test_peak_memory_is_what_is_held_at_once():
    """By hand, in fp32: weights, four images of 8 numbers, and the hidden layer before and after
    the ReLU."""
    weights = 8 * 16 + 16 + 16 * 4 + 4
    images, hidden = 4 * 8, 4 * 16
    batch = torch.randn(4, 8)
    expected = FLOAT * (weights + images + 2 * hidden)
    assert bytes_of_pass(nn.Sequential(*layers()), batch) == expected
    first, _, last = layers()
    in_place = nn.Sequential(first, nn.ReLU(inplace=True), nn.Unflatten(1, (4, 4)), nn.Flatten())
    in_place.append(last)
    output = 4 * 4
    expected = FLOAT * (weights + images + hidden + output)
    assert bytes_of_pass(in_place, batch) == expected, "views and what is in place take nothing"


def test_weights_that_are_shared_count_once_and_depth_takes_nothing_more():
    batch = torch.randn(4, 8)
    layer = nn.Linear(8, 8)
    counted = FLOAT * (8 * 8 + 8 + 3 * 4 * 8)
    for depth in (2, 5):
        assert bytes_of_pass(nn.Sequential(*[layer] * depth), batch) == counted


def test_peak_memory_of_a_candidate_grows_by_its_activations():
    arch = SPACE.sample(1, 0)[0]
    names = [f"peak_memory:{batch}" for batch in (1, 2, 3)]
    table = tvtfast.score([arch], space=SPACE, proxies=names, **OPTIONS)
    one, two, three = (table[name][0] for name in names)
    assert one > FLOAT * SPACE.params(arch, **COUNTED)
    assert three - two == two - one >= FLOAT * 3 * 16 * 16


@pytest.mark.parametrize("proxy", ["throughput", "latency:2", "peak_memory:2"])
def test_measuring_changes_no_statistics_and_no_mode(proxy):
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    net[3].eval()
    before = net[1].running_mean.clone()
    tvtfast.score([net], proxies=[proxy], images=torch.randn(2, 3, 16, 16), on_error="raise")
    assert torch.equal(net[1].running_mean, before) and net[1].num_batches_tracked == 0
    assert net.training and net[1].training and not net[3].training


def test_limits_are_flags():
    cfg = parser().parse_args(["--score-limits.peak_memory:2", "60000"])
    assert constraints(cfg)["peak_memory:2"] == (None, 60_000)
    limits = {"peak_memory:2": (None, 60_000)}
    found = tvtfast.search(SPACE, proxies=["weight_norm"], constraints=limits, **OPTIONS)
    inside = found.table["peak_memory:2"] <= 60_000
    assert (found.table.status["peak_memory:2"] == "ok").tolist() == inside.tolist()
    assert 0 < inside.sum() < len(inside)
