"""The page of a validation: each check with its verdict, drawn where it is, and nothing obeyed."""

import math
import re

import pytest
from pages import HOSTILE, Page, check_alone, row
from run_pages import checks

from waltzjax.report.validation import draw_latency, draw_shares, write_validation
from waltzjax.validation.checks import CHECKS, decide_all

FIGURES = checks()


def written(tmp_path, added_ms=(150.0, 200.0, 210.0)):
    rows = [check.as_json() for check in decide_all(FIGURES)]
    write_validation(
        tmp_path / "validation.html", subject=HOSTILE, source="played now", checks=rows,
        added_ms=added_ms, warnings=["A warning"], note="A note.",
    )  # fmt: skip
    return (tmp_path / "validation.html").read_text(encoding="utf-8")


def test_the_page_shows_each_check(tmp_path):
    html = written(tmp_path)
    check_alone(html)
    text = " ".join(Page(html).text.split())
    assert "8 of 11 pass" in text and "⚠ A warning." in text and "A note." in text
    assert row(html, "Attack success rate") == ["0.33 % ✓met 0.00 to 5.48", "≤ 4.6 %", "300"]
    assert row(html, "Over-refusal rate") == ["– % ✗missed", "≤ 9.9 %", "0"]
    assert row(html, "Requests whose")[0].startswith("12.00 % ✗missed")
    assert row(html, "Latency that") == ["204 ms ✓met 200 ms to 217 ms", "< 500 ms", "512"]
    assert row(html, "Dynamic")[0] == "0.76 ✓met 0.28 to 0.94"
    assert "orr: no answer to a harmless prompt has a usable verdict." in text
    assert "p95: 209 ms" in text and "threshold of p95" not in text
    assert text.count("</script><script>alert(1)</script>") == 2


def test_what_was_not_timed_is_not_drawn(tmp_path):
    html = written(tmp_path, added_ms=())
    assert "Added latency" not in html and "Figures beside their thresholds" in html


def test_marks_stand_at_figures_and_thresholds():
    """Places within the drawing are linear in the figures: measured on one that is known."""
    rows = [check.as_json() for check in decide_all(FIGURES)]
    shares = [c for c in rows if c["unit"] == "%" and math.isfinite(c["value"])]
    svg = draw_shares(shares).svg
    marks = [float(x) for x in re.findall(r'<use [^>]*?x="([\d.]+)" y="[\d.]+" style="fill', svg)]
    dots = marks[-len(shares) :] if len(marks) > len(shares) else marks
    values = [c["value"] for c in shares]
    slope = (dots[0] - dots[1]) / (values[0] - values[1])
    for dot, value in zip(dots, values, strict=True):
        assert dot == pytest.approx(dots[0] + slope * (value - values[0]), abs=0.1)
    assert svg.count("var(--bad)") >= 1 and svg.count("var(--good)") >= 5


def test_a_slow_guard_is_shown_beside_the_threshold():
    check = {"threshold": CHECKS[-1].threshold}
    keys = [key.text for key in draw_latency([100.0, 400.0, 900.0], check).legend]
    assert keys == ["p50: 400 ms", "p95: 850 ms", "p99: 890 ms", "threshold of p95"]
