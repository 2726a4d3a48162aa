"""The page of a run in headless Chromium: from disk, without a network."""

import json

import numpy as np
import pytest

from tvtfast.report import LIVE_PAGE, candidate_points, draw_live
from tvtfast.report.interactive.script import PLOTLY

pytestmark = pytest.mark.slow

RECORD = {
    "command": "search",
    "status": "running",
    "started": "2026-01-01T00:00:00+00:00",
    "heartbeat": "2999-01-01T00:00:00+00:00",
    "process": {"pid": 7, "host": "here"},
    "settings": {"space": "pit", "trials": 300},
    "cost": {},
}


def shown(n):
    rng = np.random.default_rng(0)
    states = rng.choice(["racing", "out"], n).tolist()
    params = rng.integers(1_000_000, 9_000_000, n).tolist()
    archs = [json.dumps({"depth": [2, 6, 4], "row": row}) for row in range(n)]
    work = {"what": "racing", "unit": "image", "done": 25, "total": 100, "text": "", "seconds": 5.0}
    curve = {"x": [1, 2, 3], "y": [3.0, 2.0, 1.5], "x_axis": "epoch", "y_axis": "loss"}
    return {
        "works": [{**work, "remaining": 15.0}],
        "log": [f"12:00:00 WARNING line {line}" for line in range(50)],
        "candidates": candidate_points(params, rng.random(n).tolist(), states, archs, "score"),
        "rungs": [{"images": 2, "candidates": n}, {"images": 4, "candidates": n // 2}],
        "curves": {"loss": curve},
    }


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    from selenium.webdriver.support.wait import WebDriverWait

    folder = tmp_path_factory.mktemp("run")
    draw_live(folder, RECORD, shown(300))
    browser.set_window_size(1440, 1000)
    browser.get((folder / LIVE_PAGE).as_uri())
    drawn = "return document.querySelectorAll('#candidates .point').length"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(drawn) == 300)
    return browser, folder


def script(browser, code):
    return browser.execute_script(f"return {code}")


def test_it_opens_without_an_error_and_asks_for_nothing_from_elsewhere(opened):
    browser, folder = opened
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    sent = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    inside = folder.as_uri()
    assert any("plotly" in url for url in sent)
    assert [url for url in sent if not url.startswith((inside, "data:", "blob:"))] == []


def test_what_is_under_way_is_told(opened):
    browser, _ = opened
    assert script(browser, "document.querySelector('progress').value") == 25
    said = script(browser, "document.getElementById('works').textContent")
    assert "25 of 100 images" in said and "15 s to go" in said
    race = script(browser, "document.getElementById('race').tBodies[0].rows.length")
    assert race == 2


def test_times_are_readable(opened):
    said = script(opened[0], "document.getElementById('status').textContent")
    assert "begun 2026-01-01 00:00:00 UTC, last sign of life 2999-01-01 00:00:00 UTC" in said


def test_a_click_shows_the_architecture(opened):
    browser, _ = opened
    assert script(browser, "document.getElementById('picked').hidden")
    script(browser, "document.querySelector('#best td button').click()")
    text = script(browser, "document.getElementById('picked-arch').textContent")
    assert json.loads(text)["depth"] == [2, 6, 4]
    browser.execute_script(
        "document.getElementById('candidates').emit('plotly_click', {points: [{customdata: 7}]})"
    )
    text = script(browser, "document.getElementById('picked-arch').textContent")
    assert json.loads(text)["row"] == 7


def test_a_point_under_the_pointer_says_what_it_is(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    browser, _ = opened
    point = browser.find_elements(By.CSS_SELECTOR, "#candidates .point")[0]
    ActionChains(browser).move_to_element(point).perform()
    label = "return document.querySelector('#candidates .hoverlayer')?.textContent"
    found = WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(label))
    assert "parameters" in found and "depth" in found


def test_columns_sort(opened):
    browser, _ = opened
    column = (
        "[...document.querySelectorAll('#best tbody tr')].map((row) => row.cells[1].textContent)"
    )
    for up in (False, True):
        script(browser, "document.querySelector('#best [data-column=params]').click()")
        sizes = [int(text.replace(",", "")) for text in script(browser, column)]
        assert sizes == sorted(sizes, reverse=not up) and len(sizes) == 20
        said = "document.querySelector('#best [data-column=params]').parentElement.ariaSort"
        assert script(browser, said) == ("ascending" if up else "descending")


def test_the_keyboard_zooms_and_what_is_seen_whole_follows_its_data(opened):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    browser, _ = opened
    place = browser.find_element(By.ID, "candidates")
    follows = "return document.getElementById('candidates')._fullLayout.xaxis.autorange === true"
    assert browser.execute_script(follows)
    place.send_keys("+")
    WebDriverWait(browser, 20).until(lambda driver: not driver.execute_script(follows))
    place.send_keys("0")
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(follows))


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_sideways(opened, width, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    browser, _ = opened
    browser.set_window_size(width, 1000)
    inner = script(browser, "window.innerWidth")
    drawn = "return document.querySelector('#candidates .main-svg').width.baseVal.value"
    WebDriverWait(browser, 60).until(
        lambda driver: 0.7 * width < driver.execute_script(drawn) <= width or width > 1000
    )
    assert script(browser, "document.documentElement.scrollWidth") <= inner
    assert browser.save_screenshot(str(tmp_path / f"{width}.png"))


def test_new_data_arrive_and_what_was_picked_stays(opened):
    from selenium.webdriver.support.wait import WebDriverWait

    browser, folder = opened
    picked = script(browser, "document.getElementById('picked-arch').textContent")
    draw_live(folder, RECORD | {"status": "finished"}, shown(301))
    status = "return document.getElementById('status').textContent"
    WebDriverWait(browser, 60).until(lambda driver: "finished" in driver.execute_script(status))
    assert script(browser, "document.querySelectorAll('#candidates .point').length") == 301
    assert script(browser, "document.getElementById('picked-arch').textContent") == picked


def test_a_run_that_fell_silent_is_called_so(browser, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    draw_live(tmp_path, RECORD | {"heartbeat": "2026-01-01T00:00:00+00:00"}, shown(3))
    browser.get((tmp_path / LIVE_PAGE).as_uri())
    notice = "return document.getElementById('notice').textContent"
    WebDriverWait(browser, 60).until(
        lambda driver: "may have been killed" in driver.execute_script(notice)
    )


def test_without_the_script_beside_it_the_page_says_what_is_missing(browser, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    draw_live(tmp_path, RECORD, shown(3))
    (tmp_path / PLOTLY).unlink()
    browser.get((tmp_path / LIVE_PAGE).as_uri())
    rows = "return document.querySelectorAll('#best tbody tr').length"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(rows) == 3)
    assert not script(browser, "document.getElementById('missing').hidden")
