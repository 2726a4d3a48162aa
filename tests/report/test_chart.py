"""Figures as a page draws them: what matplotlib was told, and no less."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from tvtfast.report import (
    AttentionPanel,
    Entrant,
    TrainedNetwork,
    accuracy_figure,
    attention_maps_figure,
    comparison_figure,
    front_figure,
    growth_figure,
    score_distributions_figure,
    score_vs_params_figure,
    superformer_figure,
    timings_figure,
    tournament_figure,
    trace_figure,
)
from tvtfast.report.figures.canvas import label_points, new_figure, png
from tvtfast.report.figures.policy import policy_figure
from tvtfast.report.interactive.chart import chart
from tvtfast.report.interactive.marks import POINTS
from tvtfast.report.interactive.script import PLOTLY, link_plotly


def told(figure):
    """The chart of a drawn figure, as it comes out of the page."""
    png(figure)
    return json.loads(json.dumps(chart(figure), allow_nan=False))


def panel():
    figure = new_figure(4, 3)
    return figure, figure.add_subplot()


def entrant(number, accuracies, **changes):
    given = {
        **{"roles": ("pick",), "params": 1, "flops": 2, "rungs": len(accuracies)},
        **{"seconds": 1.0, "failed": None, "won": False},
    }
    return Entrant(name=f"finalist-{number:03}", accuracies=accuracies, **given | changes)


def test_every_figure_has_a_chart(make_report):
    trace = pd.DataFrame({"generation": [1, 2], "evaluations": [5, 9], "best": [1.0, np.nan]})
    trace["mean"], trace["entropy"] = [0.1, 0.2], [2.0, 1.0]
    policy = pd.DataFrame(
        {"generation": [1, 2], "decision": "depth", "choice": 3, "probability": [0.5, 0.9]}
    )
    models = pd.DataFrame({"params": [1e6, 2e6], "width": [8, 9], "depths": ["1-2", "2-2"]})
    models["ntk"] = [1.0, 1e5]
    report = make_report(objectives={"proxy_0": True, "params": False}, front=(1, 2))
    network = TrainedNetwork("teacher", "", 1, 2, 90.0, 91.0, 1.0, (50.0, 90.0))
    figures = {
        "score": score_vs_params_figure(report),
        "distributions": score_distributions_figure(report),
        "front": front_figure(report),
        "timings": timings_figure({"sample": 1.0, "score": 9.0}, 10),
        "trace": trace_figure(trace, "score"),
        "policy": policy_figure(policy),
        "growth": growth_figure(models, {"ntk": False}),
        "accuracy": accuracy_figure([network]),
        "superformer": superformer_figure([2.0, 1.0], [5.0, 50.0]),
        "tournament": tournament_figure([entrant(1, (50.0, 60.0), won=True)], [2, 4]),
        "comparison": comparison_figure({"loss": ([1.0, 2.0], [3.0])}, ("a", "b")),
    }
    for name, figure in figures.items():
        found = told(figure)
        panels = {trace["xaxis"] for trace in found["data"]}
        assert len(panels) == len(figure.axes), name


def test_points_keep_values_colours_and_labels():
    figure, axes = panel()
    points = axes.scatter([1.0, 2.5], [3.0, 4.0], s=49, color="#0072b2", label="a <b>")
    label_points(points, ["first", "second"])
    axes.set_xlabel("x & more")
    (trace,) = told(figure)["data"]
    assert trace["x"] == [1.0, 2.5] and trace["y"] == [3.0, 4.0]
    assert trace["customdata"] == ["first", "second"] and trace["name"] == "a &lt;b&gt;"
    assert trace["marker"]["color"] == "#0072b2" and trace["marker"]["symbol"] == "circle"
    assert trace["marker"]["size"] == pytest.approx(7 * 115 / 72, abs=0.01)
    assert told(figure)["layout"]["xaxis"]["title"]["text"] == "x &amp; more"


def test_of_many_points_evenly_many_are_drawn_and_the_rest_is_counted():
    figure, axes = panel()
    n = 3 * POINTS
    points = axes.scatter(range(n), range(n))
    label_points(points, list(map(str, range(n))))
    found = told(figure)
    (trace,) = found["data"]
    assert found["left_out"] == n - POINTS and len(trace["x"]) == POINTS
    assert trace["x"][0] == 0 and trace["x"][-1] == n - 1
    assert [float(label) for label in trace["customdata"]] == trace["x"]
    assert max(np.diff(trace["x"])) <= 4


def test_axes_keep_scale_range_direction_and_ticks():
    figure, axes = panel()
    axes.plot([1, 1000], [0, 1])
    axes.set_xscale("log")
    axes.set_xlim(1, 1000)
    axes.set_ylim(2, -1)
    axes.set_yticks([0, 1], ["none <", "all"])
    layout = told(figure)["layout"]
    assert layout["xaxis"]["type"] == "log" and layout["xaxis"]["range"] == [0, 3]
    assert layout["yaxis"]["range"] == [2, -1], "an axis that leads down leads down"
    assert layout["yaxis"]["tickvals"] == [0, 1]
    assert layout["yaxis"]["ticktext"] == ["none &lt;", "all"]


def test_panels_lie_where_they_lay_and_shared_axes_zoom_together():
    figure = new_figure(6, 4)
    (upper, lower) = figure.subplots(2, 1, sharex=True)
    upper.plot([0, 1], [0, 1])
    lower.plot([0, 2], [5, 6])
    layout = told(figure)["layout"]
    assert layout["xaxis2"]["matches"] == "x" and "matches" not in layout["yaxis2"]
    assert layout["yaxis"]["domain"][1] == 1 and layout["yaxis2"]["domain"][0] == 0
    assert layout["yaxis2"]["domain"][1] < layout["yaxis"]["domain"][0]
    assert not layout["xaxis"]["showticklabels"] and layout["xaxis2"]["showticklabels"]


def test_bars_have_the_corners_of_the_picture():
    figure, axes = panel()
    edges = np.geomspace(1, 1e6, 4)
    axes.set_xscale("log")
    axes.hist([2.0, 3.0, 5e5], bins=edges.tolist())
    (trace,) = told(figure)["data"]
    assert trace["y"] == [2, 0, 1]
    centre, width = np.array(trace["x"]), np.array(trace["width"])
    np.testing.assert_allclose(centre - width / 2, edges[:-1], rtol=1e-3)
    np.testing.assert_allclose(centre + width / 2, edges[1:], rtol=1e-3)


def test_rules_spans_and_text_lie_in_their_own_units():
    figure, axes = panel()
    axes.plot([1, 100], [0, 1])
    axes.set_xscale("log")
    axes.axvline(10, color="#24292f", linestyle="--")
    axes.axhspan(0.2, 0.4, color="#6e7781", alpha=0.5)
    axes.annotate("here", (10, 0.5), xytext=(5, 0), textcoords="offset points")
    axes.text(0.5, 0.25, "there", transform=axes.transAxes)
    layout = told(figure)["layout"]
    rule, span = layout["shapes"]
    assert (rule["xref"], rule["yref"], rule["x0"], rule["x1"]) == ("x", "y domain", 10, 10)
    assert rule["line"]["color"] == "--ink" and rule["line"]["dash"] == "dash"
    assert (span["xref"], span["yref"], span["y0"], span["y1"]) == ("x domain", "y", 0.2, 0.4)
    assert span["fillcolor"] == "--quiet" and span["opacity"] == 0.5
    here, there = layout["annotations"]
    assert here["x"] == pytest.approx(math.log10(10)), "text on a logarithmic axis"
    assert here["xshift"] == pytest.approx(5 * 115 / 72, abs=0.01)
    assert (there["xref"], there["x"], there["y"]) == ("x domain", 0.5, 0.25)


def test_what_is_not_finite_is_a_gap():
    figure, axes = panel()
    axes.plot([1, 2, 3], [1.0, math.nan, 3.0])
    assert told(figure)["data"][0]["y"] == [1.0, None, 3.0]


def test_a_finalist_that_is_only_in_the_legend_stays_there():
    found = told(tournament_figure([entrant(1, (50.0, 60.0), won=True)], [2, 4]))
    names = [trace["name"] for trace in found["data"] if trace["showlegend"]]
    assert names == ["winner", "default", "picks", "diverse", "proposed"]
    assert found["layout"]["showlegend"]


def test_what_a_chart_cannot_show_is_an_error():
    maps = AttentionPanel(np.full((1, 8, 8, 3), 0.5), ("a",), {"t": np.full((1, 4, 4), 0.25)})
    with pytest.raises(TypeError, match="figure with images"):
        told(attention_maps_figure(maps))
    figure, axes = panel()
    axes.scatter([1], [1], marker="v")
    with pytest.raises(TypeError, match="no marker"):
        told(figure)
    figure, axes = panel()
    axes.vlines([1], 0, 1)
    with pytest.raises(TypeError, match="no LineCollection"):
        told(figure)


def test_without_plotly_the_page_is_told_to_have_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="pictures that do not zoom; pip install plotly"):
        link_plotly(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_script_is_that_of_the_wheel_and_a_copy_where_links_are_not_allowed(
    tmp_path, monkeypatch
):
    link_plotly(tmp_path)
    whole = (tmp_path / PLOTLY).read_bytes()
    assert len(whole) > 1_000_000 and b"plotly.js" in whole[:200]

    def refuse(*arguments):
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "other").mkdir()
    link_plotly(tmp_path / "other")
    assert (tmp_path / "other" / PLOTLY).read_bytes() == whole
