"""The page of a run that works, and its server."""

import http.client
import json
import math
import re
import threading

import pytest

from tvtfast.report import LIVE_PAGE, candidate_points, draw_live, live_server
from tvtfast.report.interactive.script import PLOTLY
from tvtfast.report.live import page

RECORD = {
    "command": "search",
    "status": "running",
    "started": "2026-01-01T00:00:00+00:00",
    "heartbeat": "2026-01-01T00:01:00+00:00",
    "process": {"pid": 7, "host": "here"},
    "settings": {"space": "pit", "trials": 5},
    "cost": {},
}
SHOWN = {"works": [], "log": []}


def data(folder):
    text = (folder / "live" / "data.js").read_text("utf-8")
    found = re.fullmatch(r"tvtfastLive\((.*)\);\n", text, re.DOTALL)
    return json.loads(found[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_page_and_its_data_lie_in_the_run_folder(tmp_path):
    draw_live(tmp_path, RECORD, SHOWN | {"curves": {"loss": {"x": [1], "y": [math.nan]}}})
    found = data(tmp_path)
    assert found["settings"] == {"space": "pit", "trials": "5"}
    assert found["curves"]["loss"]["y"] == [None]
    assert found["report"] is None and found["parts"] == []
    html = (tmp_path / LIVE_PAGE).read_text("utf-8")
    assert tmp_path.name in html
    assert set(re.findall(r'src="([^"]*)"', html)) == {f"../{PLOTLY}"}
    assert "http://" not in html and "https://" not in html
    assert (tmp_path / PLOTLY).stat().st_size > 1_000_000, "where the report looks, too"


def test_the_page_stays_and_its_data_change(tmp_path):
    draw_live(tmp_path, RECORD, SHOWN)
    written = (tmp_path / LIVE_PAGE).stat().st_mtime_ns
    (tmp_path / "report.html").write_text("<p>")
    part = tmp_path / "student" / "live"
    part.mkdir(parents=True)
    (part / "index.html").touch()
    draw_live(tmp_path, RECORD | {"status": "finished"}, SHOWN | {"log": ["a line"]})
    assert (tmp_path / LIVE_PAGE).stat().st_mtime_ns == written
    found = data(tmp_path)
    assert found["status"] == "finished" and found["log"] == ["a line"]
    assert found["report"] == "../report.html"
    assert found["parts"] == [{"name": "student", "page": "../student/live/index.html"}]
    assert not list((tmp_path / "live").glob(".*"))


def test_a_text_cannot_end_the_script_it_is_in(tmp_path):
    draw_live(tmp_path, RECORD, SHOWN | {"log": ["</script><b>"]})
    assert "</script" not in (tmp_path / "live" / "data.js").read_text("utf-8")
    assert data(tmp_path)["log"] == ["</script><b>"]


def test_candidates_without_a_score_are_counted():
    found = candidate_points([1, 2, 3], [0.5, math.nan, -math.inf], ["scored"] * 3, "abc", "tvt")
    assert found["scores"] == [0.5] and found["archs"] == ["a"]
    assert (found["seen"], found["without"]) == (3, 2)


def test_of_many_candidates_the_best_and_the_latest_are_shown(monkeypatch):
    monkeypatch.setattr(page, "POINTS", 4)
    scores = [9.0, 1.0, 8.0, 2.0, 3.0, 4.0]
    found = candidate_points(range(6), scores, ["scored"] * 6, "abcdef", "tvt")
    assert found["archs"] == ["a", "c", "e", "f"]
    assert (found["seen"], found["without"]) == (6, 0)


@pytest.fixture
def served(tmp_path):
    draw_live(tmp_path, RECORD, SHOWN)
    (tmp_path / "weights.pt").write_bytes(b"secret")
    (tmp_path / ".hidden.html").write_bytes(b"secret")
    (tmp_path.parent / "beside.html").write_bytes(b"secret")
    with live_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def answer(server, path, method="GET"):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(method, path)
    found = connection.getresponse()
    return found.status, found.read(), found.headers


def test_a_page_is_served_on_this_machine_alone(served):
    assert served.server_address[0] == "127.0.0.1"
    status, _, headers = answer(served, "/")
    assert status == 302 and headers["Location"] == "/live/index.html"
    status, found, headers = answer(served, "/live/data.js?123")
    assert status == 200 and found.startswith(b"tvtfastLive(")
    assert headers["Cache-Control"] == "no-store"
    status, found, _ = answer(served, f"/{PLOTLY}")
    assert status == 200 and len(found) > 1_000_000, "the script that its figures are drawn by"


@pytest.mark.parametrize(
    "path",
    ["/weights.pt", "/.hidden.html", "/live", "/live/", "/../beside.html", "/%2e%2e/beside.html"],
)
def test_nothing_else_is_served(served, path):
    status, found, _ = answer(served, path)
    assert status == 404 and b"secret" not in found


def test_a_link_out_of_the_folder_is_not_followed(served, tmp_path):
    (tmp_path / "link.html").symlink_to(tmp_path.parent / "beside.html")
    assert answer(served, "/link.html")[0] == 404


def test_nothing_can_be_written(served):
    assert answer(served, "/live/data.js", "POST")[0] == 501
