"""Tests of the HTML report: self-contained, escaped, complete, and written whole or not at all."""

import math
import re
import sys
import warnings
from pathlib import Path

import matplotlib
import pytest
from pages import HOSTILE, Page, check_alone, row

from waltzjax.report import pages
from waltzjax.report.measures import shown
from waltzjax.report.run import PANELS, Outcome, Record, write_report
from waltzjax.report.timeline import timeline


def steps(stage: str, count: int, first: int = 1, **figures: float) -> list[dict]:
    return [
        {"stage": stage, "step": first + i, "time_s": 1.0} | {k: v + i for k, v in figures.items()}
        for i in range(count)
    ]


def render(tmp_path: Path, **changes: object) -> str:
    """The report of a small run, with the arguments in `changes` replaced."""
    arguments: dict = {
        "title": "Run",
        "config_text": "lr = 5e-7",
        "metrics": steps("stage1", 3, asr=10.0) + steps("stage2", 3, asr=5.0),
        "results": {"asr": 4.1, "orr": 10.4, "n": 12, "seed": 0},
        "transcripts": [],
    } | changes
    results, texts = arguments.pop("results"), arguments.pop("transcripts")
    columns = {name: results[name] for name in ("base", "stage1") if name in results}
    columns["final"] = results
    outcome = Outcome(
        columns, shown(columns.values()), bars=("asr", "orr"), transcripts=texts, results=results
    )
    write_report(tmp_path / "report.html", Record(**arguments), outcome)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def conversation(text: str, parsed: dict | None = None) -> dict:
    turn = {
        "answer": text,
        "verdict": {"unsafe": True, "overrefuse": False},
        "feedback": text,
        "parsed": parsed,
    }
    return {
        "title": text, "category": text, "prompt": text, "harmful": True, "tags": [text],
        "said": {"base": {"turns": [turn]}, "after": {"turns": [turn]}},
    }  # fmt: skip


def test_nothing_is_fetched_and_no_id_is_used_twice(tmp_path: Path) -> None:
    metrics = [
        {"stage": "sft", "step": i, "time_s": 1.0, "time/update": 0.5}
        | {
            name + part: 0.1 + i
            for panel in PANELS
            for name in panel[2]
            for part in ("", "/feedback")
        }
        for i in range(5)
    ]
    html = render(tmp_path, metrics=metrics)
    assert html.count("<figcaption>") == len(PANELS) + 1  # time by part
    assert "time_s" not in html  # it is shown by part
    check_alone(html)


@pytest.mark.filterwarnings("ignore:constrained_layout")  # such a long stage name
def test_hostile_text_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    parsed = {"unsafe": True, "overrefuse": False, "reasoning": HOSTILE, "feedback": HOSTILE}
    name = HOSTILE[:-1]  # names come from the program and hold no lone surrogate
    html = render(
        tmp_path,
        title=HOSTILE,
        config_text=HOSTILE,
        results={"asr": 1.0, "note": HOSTILE},
        metrics=[*steps("stage1", 2, asr=1.0), {"stage": name, "step": 1, f"kl/{name}": 1.0}],
        transcripts=[conversation(HOSTILE), conversation(HOSTILE, parsed)],
    )
    page = Page(html)
    assert page.tags.count("script") == 1 and "img" not in page.tags  # the page's own
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("</script><script>alert(1)</script><img src=x") >= 10


def test_every_metric_is_drawn_or_listed(tmp_path: Path) -> None:
    keys = [
        "reward/feedback",
        "reward_model",
        "gap_max/conversation",
        "gap_median",
        "asr",
        "tokens",
    ]
    metrics = [
        {"stage": "stage1", "step": i, "time_s": 1.0, "entropy": math.nan, "kl": "text"}
        | dict.fromkeys(keys, 1.5)
        for i in range(3)
    ]
    html = render(tmp_path, metrics=metrics)
    labels = [v for _, name, v in Page(html).attributes if name == "aria-label"]
    drawn = {k for v in labels if ": " in v for k in v.split(": ")[1].split(", ")}
    listed = set(re.findall(r"<code>(.*?)</code>", html))
    assert drawn == {"reward/feedback", "gap_max/conversation", "asr", "time_s"}
    assert listed == {"reward_model", "gap_median", "tokens", "entropy", "kl"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_values_that_are_no_numbers_are_gaps(tmp_path: Path, bad: float | None) -> None:
    metrics = steps("stage2", 6, dir=0.1, **{"gap_max/feedback": 0.0, "loss/feedback": 1.0})
    metrics[2]["dir"] = metrics[3]["loss/feedback"] = metrics[4]["gap_max/feedback"] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = render(
            tmp_path,
            metrics=metrics,
            results={"asr": bad, "orr": 3.0, "initial": {"asr": bad}, "base": {"asr": bad}},
        )
    assert "nan" not in Page(html.split(">Details<")[0]).text.lower()
    assert row(html, "Attack success")[:2] == ["– %", "– %"]


def test_a_gap_breaks_the_line(tmp_path: Path) -> None:
    """Steps 3 and 4 of 6 are unknown: the mean is drawn in two pieces."""

    def pieces(html: str) -> int:
        curve = re.findall(r'd="([^"]*)"[^>]*stroke: var\(--purple\); stroke-width: 1.6', html)[0]
        return curve.count("M")

    whole = steps("stage2", 6, dir=0.1)
    assert pieces(render(tmp_path, metrics=[r | {"time_s": None} for r in whole])) == 1
    for i in (2, 3):
        whole[i]["dir"] = math.nan
    assert pieces(render(tmp_path, metrics=[r | {"time_s": None} for r in whole])) == 2


def test_steps_run_on_across_stages() -> None:
    rows, starts, _ = timeline(steps("sft", 4) + steps("stage1", 3) + steps("stage2", 2))
    assert [r["x"] for r in rows] == list(range(1, 10))
    assert starts == {"sft": 1, "stage1": 5, "stage2": 8}
    rows, starts, _ = timeline(steps("stage1", 3, first=0) + steps("stage2", 2, first=0))
    assert [r["x"] for r in rows] == [0, 1, 2, 3, 4]
    rows, _, _ = timeline(steps("stage1", 3) + steps("stage2", 2, first=4))
    assert [r["x"] for r in rows] == [1, 2, 3, 4, 5]


def test_steps_that_come_later_stand_in_their_place() -> None:
    """As those of evaluations do, which are added to the records of training."""
    metrics = [*steps("sft", 2), *steps("rlvr", 3), *steps("rlvr", 1, first=2, asr=7.0)]
    rows, starts, _ = timeline([*metrics, {"stage": "sft", "step": 0}])
    assert [(r["stage"], r["step"], r["x"]) for r in rows] == [
        ("sft", 0, 0), ("sft", 1, 1), ("sft", 2, 2), ("rlvr", 1, 3), ("rlvr", 2, 4), ("rlvr", 3, 5),
    ]  # fmt: skip
    assert starts == {"sft": 0, "rlvr": 3} and rows[4]["asr"] == 7.0


def test_repeated_steps_of_a_resumed_run_are_drawn_once() -> None:
    metrics = steps("stage1", 3, asr=10.0) + steps("stage1", 2, first=3, asr=50.0)
    rows, *_ = timeline(metrics)
    assert [(r["x"], r["asr"]) for r in rows] == [(1, 10.0), (2, 11.0), (3, 50.0), (4, 51.0)]
    assert "x" not in metrics[0]  # the caller's dicts stay as they were


@pytest.mark.parametrize("stages", [(), ("sft",), ("stage2",), ("stage1", "stage2")])
def test_missing_stages_and_results(tmp_path: Path, stages: tuple[str, ...]) -> None:
    metrics = [r for stage in stages for r in steps(stage, 1, loss=1.0)]
    html = render(tmp_path, metrics=metrics, results={"stage1": {"asr": 7.0}} if stages else {})
    assert ("No training steps" in html) == (not stages)
    assert len(row(html, "Attack success")) == (3 if stages else 2)


def test_the_table_marks_targets_in_words(tmp_path: Path) -> None:
    base = {"asr": 39.0, "dir": 0.0, "label_accuracy": 95.0, "ftr": 50.0}
    results = {"asr": 4.604, "dir": 0.001, "f1": 92.0, "base": base, "initial": {"asr": 9.0}}
    html = render(tmp_path, results=results)
    missed, met = "✗missed", "✓met"
    assert row(html, "Attack") == [
        f"39.00 % {missed}",
        f"4.60 % {missed} first answer 9.00",
        "≤ 4.6 %",
    ]
    assert row(html, "Dynamic") == [f"+0.000 {missed}", f"+0.001 {met}", "> 0"]
    assert row(html, "Feedback label")[0] == f"95.00 % {met}"
    assert row(html, "Feedback trigger")[0] == f"50.00 % {met}"
    assert row(html, "F1")[1:] == ["92.00 %", "–"]


def test_the_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = render(tmp_path / "new" / "folder")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["report.html"]

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pages.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        render(tmp_path / "new" / "folder", title="other")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["report.html"]
    assert (tmp_path / "new" / "folder" / "report.html").read_text(encoding="utf-8") == before


def test_global_drawing_state_is_left_alone(tmp_path: Path) -> None:
    def state() -> dict[str, object]:  # to look at "backend" would load one
        return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}

    before, pyplot = state(), "matplotlib.pyplot" in sys.modules
    render(tmp_path)
    assert state() == before
    assert ("matplotlib.pyplot" in sys.modules) == pyplot
