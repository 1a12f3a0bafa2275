"""The report of a run on maths: self-contained, escaped, with the figures of its results."""

import dataclasses
import re

from pages import HOSTILE, Page, check_alone, row
from support import answered, attempt

from waltzjax.report.run import PANELS, Record, write_report
from waltzjax.rlvr.rates import result
from waltzjax.rlvr.results import outcome


def groups(rights, subject="Algebra"):
    return [
        answered(i, attempt(bool(r), reflect=0.5 * r), subject=subject, level="1")
        for i, r in enumerate(rights)
    ]


def render(tmp_path, before, after, title="Run", text="", **metrics):
    """The page of a run of three steps, whose config and answers are ``text``."""
    results = result(after, seed=0, settings={})
    found = [("rlvr", 3, results)]
    if before:
        results = {**results, "base": result(before, seed=0, settings={})}
        found = [("rlvr", 0, results["base"]), *found]
    record = Record(
        title,
        text,
        [
            {"stage": "rlvr", "step": step, **{k: v * step for k, v in metrics.items()}}
            for step in (1, 2, 3)
        ],
        evaluations=found,
    )
    write_report(tmp_path / "report.html", record, outcome(results, before or after, after))
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_metric_of_a_run_has_a_panel_or_is_listed(tmp_path):
    keys = {
        name + part: 0.1
        for panel in PANELS
        for name in panel.names
        for part in ("", "/policy", "/verify")
    }
    html = render(tmp_path, groups([0, 1]), groups([1, 1]), **keys, odd=1.0)
    check_alone(html)
    assert html.count("<figcaption>") == len(PANELS)
    listed = re.findall(r'<p class="soft" id="left-out">.*?</p>', html, re.DOTALL)[0]
    assert re.findall("<code>(.*?)</code>", listed) == ["odd"]
    assert "validation/accuracy" in html  # drawn beside the accuracy of the steps


def test_before_and_after_by_hand(tmp_path):
    html = render(tmp_path, groups([0, 0, 0, 1]), groups([1, 1, 0, 1]), reward=1.0)
    assert row(html, "Accuracy") == ["25.00 % 0.63 to 80.59", "75.00 % 19.41 to 99.37"]
    assert row(html, "Reflection") == ["+0.125 +0.000 to +0.652", "+0.375 +0.125 to +0.751"]
    assert row(html, "Algebra") == ["4", "25.00 %", "100.00 %", "75.00 %", "100.00 %"]
    assert row(html, "1")[:2] == ["4", "25.00 %"]
    assert row(html, "RLVR, step 0")[0].startswith("25.00 %")
    assert row(html, "RLVR, step 3")[0].startswith("75.00 %")
    assert "Solved by at least one" not in html  # one sample: the accuracy again
    text = Page(html).text
    assert [text.count(word) for word in ("A mended answer", "A still wrong", "A checked")] == [
        1
    ] * 3
    assert "3 training steps · 4 evaluated problems, 1 sample of each" in text


def test_a_run_without_a_base_and_without_subjects(tmp_path):
    html = render(tmp_path, None, groups([1, 0], subject=""), reward=1.0)
    assert row(html, "Accuracy") == ["50.00 % 1.26 to 98.74"]
    assert "By subject" not in html and "By level" in html


def test_hostile_text_is_shown_and_not_obeyed(tmp_path):
    after = [answered(0, attempt(False, text=HOSTILE), subject="$x_{</script>$", answer=HOSTILE)]
    after[0] = dataclasses.replace(
        after[0], problem=dataclasses.replace(after[0].problem, text=HOSTILE)
    )
    html = render(tmp_path, after, after, title=HOSTILE, text=HOSTILE, reward=1.0)
    check_alone(html)
    # Title twice, config, the problem, its label, the answer twice.
    assert Page(html).text.count("</script><script>alert(1)</script><img src=x") == 7
