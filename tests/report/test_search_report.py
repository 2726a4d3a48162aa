"""The page of a search: what it says, that it stands alone, and how it is written."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from tvtfast.report import (
    AttentionPanel,
    RaceTable,
    SearchReport,
    front_figure,
    write_search_report,
)
from tvtfast.report.interactive.script import PLOTLY

MakeReport = Callable[..., SearchReport]

_PANEL = AttentionPanel(
    images=np.full((1, 28, 28, 3), 0.5),
    labels=("class 0",),
    maps={
        "teacher: resnet56": np.full((1, 7, 7), 1 / 7),
        "student: winner": np.full((1, 14, 14), 1 / 14),
    },
)


def written(report: SearchReport, folder: Path, top_k: int = 10) -> str:
    return write_search_report(report, folder, top_k).read_text(encoding="utf-8")


def cells(page: str) -> list[str]:
    return [html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)]


def test_page_says_what_was_found(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(attention=_PANEL)
    page = written(report, tmp_path, top_k=5)
    winner = report.frame.iloc[report.score.argmax()]
    assert f"{winner['params'] / 1e6:.2f}\N{NO-BREAK SPACE}M" in page
    assert winner["arch"] in html.unescape(page)
    assert ">Block<" in page and "mlp_ratio" in page and "num_heads" in page
    assert page.count('class="n rank"') == 5
    for text in ("autoformer-tiny", "tvtfast search --seed 0", "2.13.0", "resnet56", "every cell"):
        assert text in page
    assert "1\N{NO-BREAK SPACE}min 15\N{NO-BREAK SPACE}s" in cells(page)
    assert "1 of 40" in cells(page)


def test_page_needs_nothing_else(make_report: MakeReport, tmp_path: Path) -> None:
    page = written(make_report(attention=_PANEL), tmp_path)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert re.findall(r"<script src=\"([^\"]*)", page) == [PLOTLY], "a file beside the page"
    assert "<link" not in page and "@import" not in page
    sources = re.findall(r'src="([^"]{30})', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_pictures_are_written_beside_the_page(make_report: MakeReport, tmp_path: Path) -> None:
    write_search_report(make_report(attention=_PANEL), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {"score_vs_params", "score_distributions", "attention_maps", "timings"}
    assert names == {"report.html", PLOTLY, *(f"{name}.png" for name in pictures)}
    for name in pictures:
        height, width, _ = imread(tmp_path / f"{name}.png").shape
        assert height > 200 and width > 400


def test_what_is_absent_has_no_section(make_report: MakeReport, tmp_path: Path) -> None:
    page = written(make_report(timings={}), tmp_path)
    assert "<h2>Time</h2>" not in page and "<h2>Race</h2>" not in page
    assert "teacher and student look" not in page
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        PLOTLY,
        "score_vs_params.png",
        "score_distributions.png",
    }


def test_equal_reports_give_equal_bytes(make_report: MakeReport, tmp_path: Path) -> None:
    assert written(make_report(), tmp_path / "a") == written(make_report(), tmp_path / "b")


def test_text_is_escaped(make_report: MakeReport, tmp_path: Path) -> None:
    attack = "<script>alert('x')</script>"
    report = make_report(
        n=2,
        title=attack,
        settings={attack: attack},
        machine={"CPU": attack},
        command=attack,
        timings={attack: 1.0},
    )
    report.frame["arch"] = [f'{{"kind": "{attack}"}}', attack]
    page = written(report, tmp_path)
    assert attack not in page
    assert page.count(html.escape(attack).replace("&#x27;", "&#39;")) >= 8


def test_failures_are_counted(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report()
    report.frame.loc[:4, "proxy_1"] = np.nan
    report.status.loc[:2, "proxy_1"] = "nan"
    report.status.loc[3:4, "proxy_1"] = "oom"
    found = cells(written(report, tmp_path).split("<h2>Failures</h2>")[1].split("</section>")[0])
    assert found == ["Proxy", "nan", "oom", "proxy_1", "3", "2"]


def test_a_race_is_told(make_report: MakeReport, tmp_path: Path) -> None:
    race = RaceTable(((2, 1200), (4, 77), (32, 25)), 32, 0.096, 10, 0.98)
    report = make_report(race=race)
    report.status.loc[3:, "proxy_0"] = "partial"
    page = written(report, tmp_path)
    told = " ".join(page.split("<h2>Race</h2>")[1].split("</section>")[0].split())
    assert "one of the best 10 (98% confidence): 10% of the image passes" in told
    assert cells(told) == ["Images", "Candidates", "2", "1,200", "4", "77", "32", "25"]
    assert "every cell has a value" in page, "an estimate is no failure"


def test_course_and_front_are_told(make_report: MakeReport, tmp_path: Path) -> None:
    trace = pd.DataFrame(
        {
            "generation": [1, 2],
            "evaluations": [20, 40],
            "best": [1.0, 1.5],
            "mean": [0.1, np.nan],
            "entropy": [2.0, 1.0],
        }
    )
    objectives = {"proxy_0": True, "params": False, "flops": False, "proxy_1": False}
    report = make_report(objectives=objectives, front=tuple(range(25)), trace=trace, answer=7)
    page = written(report, tmp_path)
    told = page.split("<h2>Pareto front</h2>")[1].split("</section>")[0]
    assert "these 25 candidates in one objective" in told and "20 of them are listed" in told
    assert "proxy_0 (higher is better), params (lower is better)" in told
    assert told.count('class="n rank"') == 20
    assert "<h2>Course of the search</h2>" in page
    rank = 1 + report.ranking.tolist().index(7)
    assert f"the answer of the strategy; rank {rank} of 40" in page
    assert report.frame["arch"][7] in html.unescape(page.split("<h2>Best candidates</h2>")[0])
    assert {"trace.png", "front.png"} <= {path.name for path in tmp_path.iterdir()}


def test_one_objective_has_a_table_and_no_figure(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(objectives={"params": False}, front=(3,))
    assert "<h2>Pareto front</h2>" in written(report, tmp_path)
    assert not (tmp_path / "front.png").exists()
    with pytest.raises(ValueError, match="two objectives or more"):
        front_figure(report)


def test_size_bias_is_named(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report()
    report.frame["proxy_1"] = report.frame["params"] * 2.0
    report.frame["proxy_2"] = report.frame["params"] * 1.0  # lower is better
    page = written(report, tmp_path)
    assert "in effect counts parameters</td>" in page
    assert "in effect counts parameters, reversed" in page


def test_nothing_ranked_says_why(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(n=4, score=pd.Series(np.nan, index=range(4), name="minmax_sum"))
    report.frame["proxy_0"] = np.nan
    report.status["proxy_0"] = ["nan", "nan", "nan", "oom"]
    page = written(report, tmp_path)
    assert "Nothing could be ranked" in page
    assert "None of 4 candidates has a finite minmax_sum." in page
    assert "proxy_0: 3 nan, 1 oom" in page
    assert (tmp_path / "score_vs_params.png").exists()


def test_nothing_ranked_without_failures(make_report: MakeReport, tmp_path: Path) -> None:
    score = pd.Series(np.nan, index=range(4), name="minmax_sum")
    report = make_report(n=4, score=score)
    assert "lost where the proxies were combined" in written(report, tmp_path / "varied")
    report.frame["proxy_1"] = 1.0
    assert "the values of proxy_1 are all alike" in written(report, tmp_path / "constant")


@pytest.mark.parametrize(("n", "proxies"), [(1, 1), (2, 8), (40, 1), (5000, 2)])
def test_any_size(make_report: MakeReport, tmp_path: Path, n: int, proxies: int) -> None:
    page = written(make_report(n=n, proxies=proxies), tmp_path)
    assert (f"{n:,} candidates" if n > 1 else "1 candidate,") in page
    assert page.count('class="n rank"') == min(n, 10)


def test_a_search_by_counts_alone(make_report: MakeReport, tmp_path: Path) -> None:
    """Without proxies there is no distribution to draw."""
    report = make_report(n=5)
    frame = report.frame[["arch", "params", "flops", "macs"]]
    changed = dataclasses.replace(
        report,
        frame=frame,
        status=report.status[[]],
        score=frame["params"].astype(float),
        higher_is_better={},
    )
    assert "Distribution of every proxy" not in written(changed, tmp_path)


def test_constant_columns(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(n=5)
    report.frame["proxy_1"] = 1e20
    report.frame["params"] = 7_000_000
    assert "not defined" in written(report, tmp_path)


def test_values_over_decades(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(n=30)
    report.frame["proxy_1"] = np.geomspace(1e-3, 1e30, 30)
    report.frame.loc[0, "proxy_2"] = np.inf
    written(report, tmp_path)


def test_earlier_report_is_kept_when_writing_fails(
    make_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(make_report(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    write_bytes = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        if "report.html" in path.name:
            write_bytes(path, data[:10])
            raise OSError("no space left on device")
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_search_report(make_report(title="another"), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": pd.DataFrame(columns=["arch", "params", "flops", "macs"])}, "no candidates"),
        ({"frame": pd.DataFrame({"arch": ["{}"], "params": [1]})}, r"missing \['flops', 'macs'\]"),
        ({"score": pd.Series([1.0])}, "score has 1 rows"),
        ({"objectives": {"latency": False}}, r"objectives name \['latency'\]"),
        ({"higher_is_better": {"proxy_0": True}}, r"not the proxies \['proxy_1', 'proxy_2'\]"),
    ],
)
def test_unfit_content_is_refused(
    make_report: MakeReport, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_report(**changes)


def test_top_k_below_one_is_refused(make_report: MakeReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_k=0"):
        write_search_report(make_report(), tmp_path, top_k=0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("images", np.zeros((1, 28, 28)), r"\[n, H, W, 3\]"),
        ("labels", (), "0 labels for 1 images"),
        ("maps", {}, "maps is empty"),
        ("maps", {"teacher": np.zeros((2, 7, 7))}, r"maps of 'teacher' have shape \[2, 7, 7\]"),
        ("maps", {"student": np.full((1, 7, 7), np.nan)}, "maps of 'student' range"),
    ],
)
def test_unfit_attention_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(_PANEL, **{field: value})


def test_import_loads_no_matplotlib_and_figures_no_pyplot() -> None:
    code = (
        "import sys, tvtfast.report as report;"
        "assert 'matplotlib' not in sys.modules;"
        "report.timings_figure({'score': 1.0}, 10);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
