"""Forecasts for devices that are not here: ceilings, counted work, and what is said of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tvtfast.cli import main
from tvtfast.common.forecast import Forecast, Part
from tvtfast.pipeline.forecasts.counting import Work, call_seconds, counted
from tvtfast.pipeline.forecasts.devices import (
    DEVICES,
    LAUNCH,
    LEAST_UTILISATION,
    MOST_UTILISATION,
    UTILISATION,
    Device,
    on_device,
)
from tvtfast.spaces import get as get_space

ROOT = Path(__file__).parents[2]
ROUND = Device("round", single=1e12, half=1e13, bandwidth=1e11, memory=1e10, source="made up")
SAID = Forecast(
    command="search",
    unit="candidates",
    count=100,
    parts=(Part("set-up", 5.0), Part("scoring", 1.0, 2.0, shared=True)),
    low=0.8,
    high=1.25,
    memory=10**9,
    disk=7,
    basis="two small searches",
)


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_ceilings_are_of_one_order(name):
    """A factor of a thousand, or sparsity, would be seen."""
    device = DEVICES[name]
    assert 15e12 < device.single < 100e12 < device.half < 1000e12
    assert 3 < device.half / device.single < 17
    assert 0.2e12 < device.bandwidth < 5e12 and 20e9 < device.memory < 150e9
    assert "data sheet" in device.source


def test_the_page_has_the_table():
    rows = [
        f"| `{name}` | {one.name} | {one.single / 1e12:g} | {one.half / 1e12:g} | "
        f"{one.bandwidth / 1e12:g} | {one.source} |"
        for name, one in sorted(DEVICES.items())
    ]
    assert "\n".join(rows) in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("work", "dtype", "seconds"),
    [
        (Work(flops=1e12), "float32", 1.0),
        (Work(flops=1e12), "bfloat16", 0.1),
        (Work(flops=1e12, bytes=3e11), "float32", 3.0),
    ],
)
def test_the_slower_of_computing_and_moving_decides(work, dtype, seconds):
    assert ROUND.seconds(work, dtype, 1.0) == pytest.approx(seconds)
    assert ROUND.seconds(work, dtype, 0.5) == pytest.approx(2 * seconds)


def test_only_what_is_counted_is_on_the_device():
    work = {"scoring": Work(flops=1e12, calls=10)}
    found = on_device(SAID, ROUND, "float32", work, {}, 1e-6, sharing="none")
    assert found.seconds() == pytest.approx(5.0 + 1.0 + 100 / UTILISATION)
    low, high = found.interval()
    assert low == pytest.approx(0.8 * (6.0 + 100 / MOST_UTILISATION))
    assert high == pytest.approx(1.25 * (6.0 + 100 / LEAST_UTILISATION))
    assert found.memory is None and found.disk == 7
    assert {"device", "utilisation", "work", "host", "sharing"} == set(found.assumed)
    assert "made up" in found.assumed["device"] and "40%" in found.assumed["utilisation"]


def test_a_host_that_calls_slower_than_a_device_computes_decides():
    work = {"scoring": Work(flops=1.0, calls=1000)}
    found = on_device(SAID, ROUND, "float32", work, {}, 1e-3)
    assert found.seconds() == pytest.approx(6.0 + 100 * 1000 * (1e-3 + LAUNCH))


def test_work_of_a_layer_and_its_gradients():
    """Three products forward and backward, without the gradient of the images two."""
    layer = nn.Linear(64, 32, bias=False)
    images = torch.randn(16, 64)
    product = 2 * 16 * 64 * 32
    operands = 4 * (16 * 64 + 64 * 32 + 16 * 32)
    threads = torch.get_num_threads()
    forward = counted(lambda: layer(images))
    assert forward == Work(product, operands, 1)
    both = counted(lambda: layer(images).sum().backward())
    assert both.flops == 2 * product and both.bytes > 2 * operands and both.calls > forward.calls
    assert torch.get_num_threads() == threads
    assert counted(lambda: images.view(64, 16).t()) == Work(), "views compute nothing"
    assert 0 < call_seconds() < 1e-3


def test_operators_of_the_library_are_counted():
    from tvtfast import kernels

    tokens = torch.randn(2, 9, 16)
    found = counted(lambda: kernels.attention_map(tokens, prefix_tokens=1, grid=(2, 4)))
    assert found.flops >= 2 * 2 * 8 * 16, "a square and a sum of every value"


def test_a_search_for_a_device_says_what_it_assumes(tmp_path, capsys):
    given = ["plan", "search", "--space", "autoformer-tiny", "--proxies", "naswot", "--trials"]
    sizes = ["20", "--img-size", "16", "--patch-size", "8", "--batch-size", "4", "--seconds", "0.1"]
    own = ["--device", "h100", "--output-dir", str(tmp_path / "run"), "--json"]
    assert main([*given, *sizes, *own]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "H100" in found["assumed"]["device"] and "data sheet" in found["assumed"]["device"]
    assert found["memory"] is None
    one = found["for_workers"][0]
    assert one["low"] < one["seconds"] < one["high"]
    assert json.loads((tmp_path / "run" / "forecast.json").read_text())["assumed"]


def test_a_training_for_a_device_counts_whole_epochs(tmp_path, capsys):
    """A linear count: an epoch of the digits is three passes over 1,154 images, in batches."""
    space = get_space("autoformer-tiny")
    (first,) = space.sample(1, 0)
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps({"space": space.name, "arch": space.to_dict(first)}))
    given = ["plan", "distill", "--arch", str(arch), "--guidance", "none", "--data-set", "digits"]
    sizes = ["--epochs", "1", "--batch-size", "64", "--img-size", "16", "--patch-size", "8"]
    own = ["--seconds", "0.1", "--device", "l4", "--output-dir", str(tmp_path / "run"), "--json"]
    assert main([*given, *sizes, *own]) == 0
    work = json.loads(capsys.readouterr().out)["assumed"]["work"]
    found = float(work.split("training: ")[1].split(" GFLOP")[0]) * 1e9
    options = {"img_size": 16, "patch_size": 8, "num_classes": 10}
    forward = space.flops(first, **options) * (1154 // 64 * 64)
    assert found == pytest.approx(3 * forward, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grow", "--arch", "8,2,3|4,1,2|4,1,4|4,1,6|32", "--device", "h100"], "is not counted"),
        (["run", "--device", "a100"], "is not counted"),
        (["search", "--device", "h900"], "h900"),
    ],
)
def test_what_is_not_counted_is_refused(arguments, said, capsys):
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err
