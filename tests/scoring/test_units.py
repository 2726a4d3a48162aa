"""FLOPs are two per multiply-add, and MACs stand beside them everywhere."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import tvtfast
from tvtfast.cli import main
from tvtfast.cli.options import constraints
from tvtfast.cli.search import parser
from tvtfast.report.formatting import axis_name
from tvtfast.scoring import correlate
from tvtfast.spaces import AutoFormerSpace, InfeasibleError

SPACE = AutoFormerSpace("units-small", (16, 32), (2,), (2.0, 3.0), (2, 4))
OPTIONS = {"img_size": 16, "patch_size": 8, "num_classes": 3}
STRATEGIES = ("random", "exhaustive", "exact", "evolution")


@pytest.fixture(scope="module", autouse=True)
def registered():
    if SPACE.name not in tvtfast.spaces.available():
        tvtfast.spaces.register(SPACE)


def middle():
    """Multiply-adds that half the space has at most."""
    counts = sorted(SPACE.macs(arch, **OPTIONS) for arch in SPACE.enumerate())
    return counts[len(counts) // 2]


def test_the_published_figure_of_autoformer_is_multiply_adds():
    """Twelve blocks of width 384, six heads and ratio 4 are 4.6 G in the papers."""
    small = tvtfast.spaces.get("autoformer-small")
    arch = {"hidden_dim": 384, "depth": 12, "num_heads": [6] * 12, "mlp_ratio": [4.0] * 12}
    tokens, width = 197, 384
    block = tokens * width * (4 * width + 2 * 4 * width) + 2 * tokens * tokens * width
    counted = 196 * 16 * 16 * 3 * width + 12 * block
    macs = small.macs(arch, num_classes=1000)
    assert macs == pytest.approx(counted, rel=0.03) and 4.4e9 < macs < 4.9e9
    assert small.flops(arch, num_classes=1000) == 2 * macs
    paths = small.paths([arch], num_classes=1000)
    assert paths.macs.tolist() == [macs] and paths.flops.tolist() == [2 * macs]


def test_the_column_is_half_the_flops_of_architectures_and_modules():
    net = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.Flatten(), nn.Linear(96, 2))
    images = torch.zeros(2, 3, 16, 16)
    archs = SPACE.sample(3, 0)
    expected = [SPACE.macs(arch, img_size=16, patch_size=8, num_classes=100) for arch in archs]
    expected.append(16 * 3 * 16 * 6 + 96 * 2)
    table = tvtfast.score(
        [*archs, net],
        space=SPACE,
        proxies="weight_norm",
        images=images,
        patch_size=8,
        num_classes=100,
    )
    assert table["macs"].tolist() == expected
    frame = table.to_pandas()
    assert list(frame)[:4] == ["arch", "params", "flops", "macs"]
    assert frame["macs"].dtype == "Int64" and (2 * frame["macs"] == frame["flops"]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_window_of_macs_is_one_of_flops(strategy):
    most = middle()
    found = [
        tvtfast.search(
            SPACE,
            strategy=strategy,
            trials=None if strategy == "exhaustive" else 8,
            proxies=["weight_norm"],
            constraints=window,
            **OPTIONS,
        ).table.to_pandas()
        for window in ({"macs": (None, most)}, {"flops": 2 * most})
    ]
    assert found[0].equals(found[1]) and len(found[0]) >= 8
    assert found[0]["macs"].max() <= most < SPACE.feasible_range("macs", **OPTIONS)[1]


def test_both_windows_are_intersected_or_refused():
    most = middle()
    both = {"macs": (None, most), "flops": (most, None)}
    inside = SPACE.enumerate(both, **OPTIONS)
    assert inside and all(most <= SPACE.flops(one, **OPTIONS) <= 2 * most for one in inside)
    apart = {"macs": (None, 1e6), "flops": (3e6, None)}
    with pytest.raises(ValueError, match=r"flops in \[3,000,000, inf\] and macs in \[-inf, 1,000"):
        tvtfast.search(SPACE, proxies=["weight_norm"], constraints=apart, **OPTIONS)
    with pytest.raises(InfeasibleError, match=r"flops in \[-inf, 20\] \(macs in \[-inf, 10\]\)"):
        SPACE.sample(1, constraints={"macs": 10}, **OPTIONS)


def test_macs_are_a_cost_as_an_objective_and_a_proxy_where_asked_for():
    result = tvtfast.search(
        SPACE, proxies=["weight_norm"], objectives=["weight_norm", "macs"], **OPTIONS
    )
    assert result.objectives == {"weight_norm": True, "macs": False}
    cheapest = result.table.to_pandas()["macs"].astype(float)
    assert cheapest[list(result.front)].min() == cheapest.min()
    archs = SPACE.sample(6, 0)
    asked = tvtfast.score(archs, space=SPACE, proxies=["macs"], **OPTIONS)
    assert asked.scored == ("macs",) and list(asked.to_pandas())[3] == "macs"
    assert asked["macs"].tolist() == [SPACE.macs(arch, **OPTIONS) for arch in archs]


def test_correlations_do_not_repeat_the_baseline():
    archs = SPACE.sample(6, 0)
    truth = {"accuracy": [SPACE.params(arch) for arch in archs]}
    for asked, proxies in (("weight_norm", {"params", "flops", "weight_norm"}), ("macs", None)):
        table = tvtfast.score(archs, space=SPACE, proxies=asked, **OPTIONS)
        frame = correlate(table, truth, n_resamples=2)
        found = set(frame.loc[frame["kind"] != "feature", "proxy"])
        assert found == (proxies or {"params", "flops", "macs"})


def test_everything_a_search_leaves_has_units_and_cost(tmp_path, capsys):
    most = middle() / 1e9
    flags = ["search", "--space", SPACE.name, "--proxies", "weight_norm", "--img-size", "16"]
    flags += ["--patch-size", "8", "--num-classes", "3", "--macs-limits", f"{most:.9f}"]
    folder = tmp_path / "run"
    assert main([*flags, "--output-dir", str(folder), "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 2 * found["best"]["macs"] == found["best"]["flops"] <= 2e9 * most
    assert found["top"][0]["proxies"]["macs"]["value"] == found["best"]["macs"]
    assert found["cost"]["starts"] == 1
    assert json.loads((folder / "best.json").read_text())["macs"] == found["best"]["macs"]
    frame = pd.read_csv(folder / "scores.csv")
    assert (2 * frame["macs"] == frame["flops"]).all()
    assert yaml.safe_load((folder / "config.yaml").read_text())["macs_limits"] == round(most, 9)

    assert main([*flags, "--output-dir", str(folder), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert " GMACs)" in out and re.search(r"^ +params +flops +macs ", out, flags=re.M)
    told = " ".join(out.split())
    for words in ("cost: wall time ", "added up over 2 starts", "core hours", "time per candidate"):
        assert words in told
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "2 per multiply-add" in page and "MACs" in page and "added up over 2 starts" in page
    for name in ("wall time", "core hours", "peak memory of the process", "time per candidate"):
        assert f">{name}<" in page
    spent = json.loads((folder / "run.json").read_text())["cost"]
    assert spent["starts"] == 2 and spent["wall_seconds"] > found["cost"]["wall_seconds"]
    each = spent["wall_seconds"] / found["candidates"]
    assert spent["seconds_per_candidate"] == pytest.approx(each)


def test_limits_that_contradict_are_refused_before_work(tmp_path, capsys):
    flags = ["search", "--space", SPACE.name, "--proxies", "weight_norm"]
    flags += ["--output-dir", str(tmp_path / "x")]
    assert main([*flags, "--macs-limits", "1", "--min-flops-limits", "3"]) == 2
    assert "FLOPs are two per multiply-add" in capsys.readouterr().err
    assert main([*flags, "--score-limits.macs", "1"]) == 2
    assert "--macs-limits" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["search", "supernet"])
def test_the_flags_say_their_unit(command, capsys):
    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag in ("--min-flops-limits", "--flops-limits"):
        assert "two per multiply-add" in text.split(f"{flag} ")[-1][:120]
    for flag in ("--min-macs-limits", "--macs-limits"):
        assert "GMACs" in text.split(f"{flag} ")[-1][:120]


def test_axes_say_their_unit():
    assert axis_name("flops") == "FLOPs, two per multiply-add"
    assert (axis_name("macs"), axis_name("tvt")) == ("MACs", "tvt")


def test_published_budgets_of_vitas_are_limits_in_their_own_counter():
    """Published as 1.3 G, and 1.265 G multiply-adds."""
    cell = tvtfast.spaces.get("vitas-deit-cell")
    low, high = 1.28e9, 1.32e9
    found = tvtfast.search(
        cell,
        strategy="random",
        trials=3,
        proxies=["weight_norm"],
        constraints={"published_flops": (low, high)},
        num_classes=1000,
    )
    costs = [cell.original_flops(arch) for arch in found.table.candidates]
    assert len(costs) == 3 and all(low <= cost <= high for cost in costs)
    assert any(cell.macs(arch, num_classes=1000) < low for arch in found.table.candidates)
    best = found.describe_best()
    assert best["published_flops"] == cell.original_flops(best["arch"])
    least, most = cell.feasible_range("published_flops", num_classes=1000)
    assert least < low < high < most
    cfg = parser().parse_args(["--space", "vitas-deit-cell", "--published-flops-limits", "1.3"])
    assert constraints(cfg) == {"published_flops": (None, 1.3e9)}


@pytest.mark.parametrize("name", ["units-small", "asvit", "pit", "vitas-twins"])
def test_spaces_without_a_published_counter_refuse_its_limits(name):
    window = {"published_flops": 1e9}
    message = "has no published counter of its own: .*limit flops or macs"
    with pytest.raises(ValueError, match=message):
        tvtfast.search(name, proxies=["weight_norm"], constraints=window)
    with pytest.raises(ValueError, match=message):
        tvtfast.spaces.get(name).sample(1, constraints=window)


def test_the_exact_strategy_refuses_a_count_that_is_no_sum():
    with pytest.raises(ValueError, match="published_flops are no such sum; limit flops or macs"):
        tvtfast.search(
            "vitas-deit-cell",
            strategy="exact",
            proxies=["weight_norm"],
            constraints={"published_flops": 1.3e9},
        )
