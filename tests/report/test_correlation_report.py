"""The page of a correlation study."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from tvtfast.report import write_correlation_report
from tvtfast.report.missing import REASONED, missing_values

COEFFICIENTS = (
    *("tau", "tau_over_params", "tau_given_params", "tau_given_params_depth"),
    *("rho", "r"),
)
KINDS = {"params": "count", "flops": "count", "depth": "feature"}
Study = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def study(proxies: dict[str, float], truths: list[str], n: int = 30) -> Study:
    """Proxies with the given tau for every accuracy, intervals of half-width 0.1."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=n) for name in proxies})
    truth = pd.DataFrame({name: rng.normal(70, 2, size=n) for name in truths})
    rows = [
        {"proxy": proxy, "truth": name, "n": n, "fitted": 0, "kind": KINDS.get(proxy, "score")}
        | dict.fromkeys(COEFFICIENTS, tau)
        | {f"{key}_low": tau - 0.1 for key in COEFFICIENTS}
        | {f"{key}_high": tau + 0.1 for key in COEFFICIENTS}
        | {"gain": 2 * tau, "gain_low": tau, "gain_high": 3 * tau}
        | {"gain_share": tau, "gain_share_low": tau - 0.1, "gain_share_high": tau + 0.1}
        | {"windows": 20, "precision": 0.3, "precision_k": 10}
        | {"seconds": 0.0123, "draws": 2, "draw_tau": 0.9, "reason": ""}
        | {f"{key}_reason": "" for key in REASONED}
        for name in truths
        for proxy, tau in proxies.items()
    ]
    return frame, truth, pd.DataFrame(rows)


def written(content: Study, folder: Path, title: str = "ViT-Bench-101") -> str:
    path = write_correlation_report(folder, *content, title=title, settings={"seed": "0"})
    return path.read_text(encoding="utf-8")


def test_page_and_pictures(tmp_path: Path) -> None:
    page = written(study({"params": 0.5, "teacher_aware": 0.8}, ["cifar100"]), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "correlation.html",
        "plotly.min.js",
        "scatter.png",
        "tau.png",
        "gain.png",
    }
    assert all(imread(path).shape[1] > 400 for path in tmp_path.glob("*.png"))
    assert "NOTHING BEYOND" not in page
    for text in ("ViT-Bench-101", "30 candidates", "teacher_aware", "cifar100", "(baseline)"):
        assert text in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)


@pytest.mark.parametrize(
    ("proxies", "reading"),
    [
        ({"params": 0.5, "x": 0.8}, "beats the baseline"),
        ({"params": 0.5, "x": 0.55}, "intervals overlap"),
        ({"params": 0.5, "x": 0.2}, "worse than the baseline"),
        ({"params": -0.5, "x": 0.0}, "not better than chance"),
        ({"x": 0.5}, "nothing to compare"),
        ({"params": 0.5, "x": float("nan")}, "nothing to compare"),
    ],
)
def test_verdict(tmp_path: Path, proxies: dict[str, float], reading: str) -> None:
    assert reading in written(study(proxies, ["cifar100"]), tmp_path)


def test_verdict_without_interval(tmp_path: Path) -> None:
    frame, truth, correlations = study({"params": 0.5, "x": 0.8}, ["cifar100"])
    correlations.loc[1, ["tau_low", "tau_high"]] = np.nan
    assert "no interval: too few" in written((frame, truth, correlations), tmp_path)


def test_what_is_no_accuracy_has_no_unit() -> None:
    from tvtfast.report import correlation_scatter_figure

    frame, truth, correlations = study({"x": 0.5}, ["kd_acc", "minus_loss"])
    labels = [
        axes.get_ylabel() for axes in correlation_scatter_figure(frame, truth, correlations).axes
    ]
    assert labels == ["kd_acc\naccuracy (%)", "minus_loss"]


def test_a_missing_coefficient_says_why(tmp_path: Path) -> None:
    frame, truth, correlations = study({"params": 0.5, "x": float("nan")}, ["cifar100"])
    truth.loc[:27] = np.nan
    why = "2 candidates have score and accuracy, 3 are needed"
    page = written((frame, truth, correlations.assign(reason=["", why])), tmp_path)
    assert (
        page.count(f"no value of x and cifar100: {why}") == 1
        and '<td>cifar100</td><td class="n">2</td>' in page
    )


def test_baselines_stand_last(tmp_path: Path) -> None:
    from tvtfast.report import tau_figure

    names = {"depth": 0.6, "weight_norm": 0.5, "x": 0.1, "params": 0.4, "y": 0.2}
    figure = tau_figure(study(names, ["cifar100", "flowers"])[2])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["x", "y", "params", "weight_norm", "depth"]


def test_large_grid_and_missing_accuracies(tmp_path: Path) -> None:
    frame, truth, correlations = study(
        {f"proxy_{index}": 0.1 for index in range(6)}, [f"t{index}" for index in range(7)]
    )
    truth.loc[:10, "t0"] = np.nan
    frame["proxy_0"] = 1.0
    written((frame, truth, correlations.drop(index=3)), tmp_path)


def test_features_are_baselines_without_a_panel(tmp_path: Path) -> None:
    frame, truth, correlations = study({"params": 0.5, "depth": 0.7, "x": 0.55}, ["cifar100"])
    page = written((frame.drop(columns="depth"), truth, correlations), tmp_path)
    assert 'depth <span class="quiet">(baseline)' in page and "worse than" not in page
    _, _, clear = study({"params": 0.5, "depth": 0.7, "x": 0.3}, ["cifar100"])
    assert "worse than the baseline" in written((frame, truth, clear), tmp_path)


def test_one_loud_line_where_scores_carry_nothing_beyond_size(tmp_path: Path) -> None:
    from tvtfast.report import nothing_beyond_size, size_warning

    content = study({"params": 0.9, "depth": 0.9, "x": 0.09, "y": 0.05}, ["cifar100", "flowers"])
    correlations = content[2]
    assert nothing_beyond_size(correlations) == ["cifar100", "flowers"]
    above = (correlations["proxy"] == "y") & (correlations["truth"] == "flowers")
    correlations.loc[above, "tau_given_params_low"] = 0.01
    assert nothing_beyond_size(correlations) == ["cifar100"]
    assert "NOTHING BEYOND SIZE on cifar100: given" in written(content, tmp_path)
    correlations.loc[correlations["proxy"] == "x", "tau_given_params_low"] = 0.01
    assert size_warning(correlations) == ""
    unknown = correlations.assign(tau_given_params_low=np.nan)
    assert nothing_beyond_size(unknown) == []


def test_gains_are_drawn_and_those_unknown_are_dashes(tmp_path: Path) -> None:
    from tvtfast.report import window_gain_figure

    correlations = study({"params": 0.5, "x": 0.2, "y": float("nan")}, ["kd_acc", "loss"])[2]
    axes = window_gain_figure(correlations).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.4, 1.0]
    assert [text.get_text() for text in axes.texts] == ["20%", "–", "50%"]


def test_reasons_are_told_once() -> None:
    _, _, correlations = study({"params": 0.5, "flops": 0.5, "x": 0.2}, ["a", "b"])
    counts = correlations["kind"] == "count"
    correlations.loc[counts, "tau_given_params_reason"] = "one ranking"
    correlations.loc[(correlations["truth"] == "b"), "gain_reason"] = "no limit"
    assert missing_values(correlations) == [
        "no tau_given_params of params, flops: one ranking",
        "no gain of params, flops, x on b: no limit",
    ]


def test_text_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert('x')"
    assert attack not in written(study({attack: 0.5}, [attack]), tmp_path, attack)


def test_unfit_content_is_refused(tmp_path: Path) -> None:
    frame, truth, correlations = study({"params": 0.5}, ["cifar100"])
    for content, message in (
        ((frame.iloc[:0], truth.iloc[:0], correlations), "no candidates"),
        ((frame, truth, correlations.iloc[:0]), "correlations has no rows"),
        ((frame, truth, correlations.drop(columns="tau_low")), r"missing \['tau_low'\]"),
        ((frame.drop(columns="params"), truth, correlations), r"missing \['params'\]"),
        ((frame, truth.iloc[1:], correlations), "truth has 29 rows"),
        ((frame, truth.rename(columns={"cifar100": "c"}), correlations), r"\['cifar100'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            written(content, tmp_path)
