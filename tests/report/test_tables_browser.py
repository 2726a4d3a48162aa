"""Tables of reports in headless Chromium."""

import json

import pytest

from tvtfast.report import write_search_report

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser, make_report, tmp_path):
    page = write_search_report(make_report(n=40), tmp_path)
    browser.set_window_size(390, 900)
    browser.get(page.as_uri())
    return browser


def rows(browser):
    code = "return [...document.querySelector('table.wide tbody').rows].map((row) => row.innerText)"
    return browser.execute_script(code)


def press(browser, name):
    found = browser.execute_script(
        "const heads = [...document.querySelectorAll('table.wide th')];"
        f"const head = heads.find((head) => head.innerText.startsWith('{name}'));"
        "head.querySelector('button').click(); return head.ariaSort"
    )
    return found, [row.split("\t")[1] for row in rows(browser)[::2]]


def test_a_column_sorts_and_every_candidate_keeps_its_architecture(opened):
    before = rows(opened)
    pairs = set(zip(before[::2], before[1::2], strict=True))
    said, up = press(opened, "Params")
    assert said == "ascending"
    sizes = [float(size.split()[0]) for size in up]
    assert all(size.endswith("M") for size in up) and sizes == sorted(sizes)
    said, down = press(opened, "Params")
    assert said == "descending" and [float(size.split()[0]) for size in down] == sorted(sizes)[::-1]
    after = rows(opened)
    assert set(zip(after[::2], after[1::2], strict=True)) == pairs and after != before


def test_a_narrow_page_scrolls_inside_its_tables_alone(opened):
    code = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert opened.execute_script(code)
    named = "return [...document.querySelectorAll('.scroll')].every((box) => box.ariaLabel)"
    assert opened.execute_script(named)


def test_nothing_is_asked_for_and_nothing_fails(opened):
    assert [line for line in opened.get_log("browser") if line["level"] == "SEVERE"] == []
    sent = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert [url for url in sent if not url.startswith(("file:", "data:", "blob:"))] == []
