"""Figures of finished pages in headless Chromium: they zoom, say what they show, and stay."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tvtfast.report import ComparisonReport, write_comparison_report, write_search_report
from tvtfast.report.interactive.script import PLOTLY

pytestmark = pytest.mark.slow

FIGURE = ".figure:has(script) .plot"


def opened(browser, page, width=1440):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.set_window_size(width, 1000)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())
    drawn = (
        "return [...document.querySelectorAll('.figure:has(script)')].every((box) => "
        "box.querySelector('.main-svg') && box.querySelector('.plot')._fullLayout)"
    )
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(drawn))
    return browser


@pytest.fixture
def search(browser, make_report, tmp_path):
    return opened(browser, write_search_report(make_report(n=40), tmp_path))


def span(browser):
    """Width of the first figure's x axis."""
    low, high = browser.execute_script(
        f"return document.querySelector('{FIGURE}')._fullLayout.xaxis.range"
    )
    return high - low


def until(browser, ready):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda driver: ready())


def quiet(browser, folder):
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    sent = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert any(url.endswith(PLOTLY) for url in sent)
    assert [url for url in sent if not url.startswith((folder.as_uri(), "data:", "blob:"))] == []


def test_the_mouse_zooms_and_a_double_click_shows_all(search, tmp_path):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    whole = span(search)
    area = search.find_element(By.CSS_SELECTOR, f"{FIGURE} .nsewdrag")
    ActionChains(search).scroll_to_element(area).perform()
    drag = ActionChains(search).move_to_element_with_offset(area, -150, -80).click_and_hold()
    drag.move_by_offset(200, 120).release().perform()
    until(search, lambda: span(search) < whole / 2)
    ActionChains(search).double_click(area).perform()
    until(search, lambda: span(search) == pytest.approx(whole))
    quiet(search, tmp_path)


def test_the_keyboard_zooms_moves_and_shows_all(search):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    whole = span(search)
    place = search.find_element(By.CSS_SELECTOR, FIGURE)
    place.send_keys("+")
    until(search, lambda: span(search) == pytest.approx(0.75 * whole))
    low = "return document.querySelector('.figure .plot')._fullLayout.xaxis.range[0]"
    before = search.execute_script(low)
    place.send_keys(Keys.ARROW_RIGHT)
    until(search, lambda: search.execute_script(low) > before)
    place.send_keys("0")
    until(search, lambda: span(search) == pytest.approx(whole))
    place.send_keys("-")
    until(search, lambda: span(search) > whole)
    label = place.get_attribute("aria-label")
    assert label.startswith("Scatter of minmax_sum against the number of parameters")
    assert place.get_attribute("tabindex") == "0"


def test_a_point_says_what_it_is_and_a_click_shows_its_architecture(search):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    point = search.find_elements(By.CSS_SELECTOR, f"{FIGURE} .point")[0]
    ActionChains(search).scroll_to_element(point).move_to_element(point).perform()
    label = f"return document.querySelector('{FIGURE} .hoverlayer').textContent"
    said = until(search, lambda: search.execute_script(label))
    assert "minmax_sum" in said and "Parameters" in said and "hidden_dim" in said
    ActionChains(search).click(point).perform()
    picked = "return document.querySelector('.picked').textContent"
    until(search, lambda: search.execute_script(picked).startswith("depth "))


def shown(browser):
    """Whether the first picture and its figure can be seen."""
    return browser.execute_script(
        "const box = document.querySelector('.figure:has(script)');"
        "const seen = (part) => part !== null && getComputedStyle(part).display !== 'none';"
        "return [seen(box.querySelector('img')), seen(box.querySelector('.plot'))]"
    )


def test_paper_has_the_picture(search):
    assert shown(search) == [False, True]
    search.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert shown(search) == [True, False]
    finally:
        search.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_figures_follow_light_and_dark(search):
    ink = f"return document.querySelector('{FIGURE}')._fullLayout.font.color"
    page = "return getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    found = []
    for scheme in ("light", "dark"):
        wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        search.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
        until(search, lambda: search.execute_script(ink) == search.execute_script(page))
        found.append(search.execute_script(ink))
    search.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found[0] != found[1]


def test_without_the_script_the_page_has_pictures_and_says_so(browser, make_report, tmp_path):
    page = write_search_report(make_report(n=4), tmp_path)
    (tmp_path / PLOTLY).unlink()
    browser.get(page.as_uri())
    until(browser, lambda: browser.execute_script("return document.querySelector('.how') !== null"))
    said = browser.execute_script("return document.querySelector('.how').textContent")
    assert "does not lie beside this page" in said
    assert shown(browser) == [True, False]


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_sideways(browser, make_report, tmp_path, width):
    opened(browser, write_search_report(make_report(n=40), tmp_path), width)
    code = "return [document.documentElement.scrollWidth, window.innerWidth]"
    whole, seen = browser.execute_script(code)
    assert whole <= seen
    assert browser.save_screenshot(str(tmp_path / f"search-{width}.png"))


def test_two_runs_side_by_side(browser, tmp_path):
    rng = np.random.default_rng(0)
    names = ("epoch", "best", "mean")
    curves = {name: (rng.random(9).tolist(), rng.random(12).tolist()) for name in names}
    page = write_comparison_report(
        ComparisonReport(
            folders=("runs/a", "runs/<b>"),
            facts={"status": ("finished", "running")},
            settings={"space": ("pit", "autoformer-tiny"), "seed": ("0", "1"), "a": ("b", "c")},
            best={"score": (1.25, 1.5), "params": (5e6, None)},
            curves=curves,
            reports=("a/report.html", None),
        ),
        tmp_path / "page.html",
    )
    opened(browser, page)
    text = browser.execute_script("return document.body.innerText")
    assert "runs/<b>" in text and "0.2500" in text and "5.00\N{NO-BREAK SPACE}M" in text
    lines = f"return document.querySelectorAll('{FIGURE} .scatterlayer .trace').length"
    assert browser.execute_script(lines) == 4, "two of each; epochs only count"
    code = (
        "const table = document.querySelectorAll('table')[1];"
        "table.querySelector('th button').click();"
        "return [...table.tBodies[0].rows].map((row) => row.cells[0].textContent)"
    )
    assert browser.execute_script(code) == ["a", "seed", "space"]
    assert browser.save_screenshot(str(tmp_path / "compare.png"))
    quiet(browser, tmp_path)
