"""The run's page in a browser: on a desk and on a phone, in the light and in the dark."""

import re

import browser
import pytest
import run_pages
from browser import VIEWS, chromium, faults, opened

from waltzjax.report.run import Outcome, write_report
from waltzjax.report.validation import write_validation
from waltzjax.validation.checks import decide_all

pytestmark = pytest.mark.skipif(bool(why := browser.missing()), reason=why or "a browser is here")

THREE = {"sft": 1, "stage1": 40, "stage2": 30}
PAGES = {
    "whole": (run_pages.record(THREE), run_pages.outcome(9)),
    "bare": (run_pages.record({"stage1": 5, "stage2": 7}, bare=True), run_pages.outcome(0)),
    "one step": (run_pages.record({"stage2": 1}), Outcome()),
    "nothing": (run_pages.record({}, state="not finished"), Outcome()),
}
OPEN_ALL = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
SHOWN = "[...document.querySelectorAll('.transcript')].filter((t) => !t.hidden).length"


@pytest.fixture(scope="module")
def chrome():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The address of each page."""
    directory = tmp_path_factory.mktemp("pages")
    for name, (record, outcome) in PAGES.items():
        write_report(directory / f"{name}.html", record, outcome)
    checks = [check.as_json() for check in decide_all(run_pages.checks())]
    write_validation(
        directory / "validation.html", subject=run_pages.LONG, source="played now", checks=checks,
        added_ms=[150.0, 200.0, 210.0, 620.0], warnings=["A warning"], note="A note.",
    )  # fmt: skip
    return {name: (directory / f"{name}.html").as_uri() for name in (*PAGES, "validation")}


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_reader_stumbles_over_nothing(chrome, written, width, scheme):
    alike = (width, scheme) == (390, "dark")  # the others differ from "whole" in what is not there
    for name, url in written.items() if alike else [("whole", written["whole"])]:
        with opened(chrome, url, width, scheme) as (page, errors):
            page.evaluate(OPEN_ALL)
            assert faults(page) == [], name
            assert errors == [], name
            light = page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
            assert light == (scheme == "light")


BREAKS = [  # the fault that is seen, and what brings it about
    ("scrolls sideways", "document.querySelector('h1').style.width = '2000px'"),
    ("too wide: <h1", "document.querySelector('h1').style.width = '2000px'"),
    ('overlap: "WaltzRL"', "document.querySelector('header p').style.marginTop = '-2rem'"),
    ('overlap: .*"step"', "document.querySelectorAll('figure svg text').forEach((t) => { "
     "t.removeAttribute('transform'); t.setAttribute('x', 50); t.setAttribute('y', 50); })"),
    ("cut off", "document.querySelector('.panels figure > svg')"
     ".setAttribute('viewBox', '60 0 288 172.8')"),
    ("faint", "document.documentElement.style.setProperty('--soft', '#888a90')"),
    ("small", "document.querySelector('.tiles small').style.fontSize = '8px'"),
]  # fmt: skip


def test_each_fault_is_seen(chrome, written):
    for fault, script in BREAKS:
        with opened(chrome, written["one step"], 390, "light") as (page, _):
            page.evaluate(script)
            assert any(re.match(fault, line) for line in faults(page)), fault


def test_an_error_of_a_page_is_seen(chrome, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('one'); nowhere();</script>")
    with opened(chrome, page.as_uri(), 390, "dark") as (_, errors):
        assert errors[0] == "one" and "nowhere" in errors[1]


def test_a_script_of_somebody_else_does_not_run(chrome, written):
    """Even where markup came through: the page's policy names its own script alone."""
    with opened(chrome, written["whole"], 390, "light") as (page, errors):
        page.evaluate(
            "const s = document.createElement('script'); s.text = 'window.bad = 1'; "
            "document.body.append(s)"
        )
        assert page.evaluate("window.bad") is None and "Content Security Policy" in errors[0]


def test_the_search_finds_words_in_any_order_and_case(chrome, written):
    with opened(chrome, written["whole"], 390, "light") as (page, _):
        for words, count in {
            "": 9,
            "日本語の": 2,
            "umbrochen EIN kurzerer": 2,
            "no such": 0,
        }.items():
            page.fill("input[type=search]", words)
            assert page.evaluate(SHOWN) == count, words
            said = page.inner_text(".search output")
            assert said == (f"{count} of 9" if words else "")
