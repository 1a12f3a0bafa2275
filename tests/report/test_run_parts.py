"""The parts of a run's page beside its table: tiles, times, marks, history, what fits."""

import math

import numpy as np
import pytest
import run_pages
from pages import Page

from waltzjax.report import curves
from waltzjax.report.figures import plain
from waltzjax.report.history import happened
from waltzjax.report.measures import by_key
from waltzjax.report.run import LETTERS, Outcome, Record, fitting, write_report
from waltzjax.report.summary import Target, clock, tiles
from waltzjax.report.timeline import Mark, marks, timeline
from waltzjax.report.times import times


def rows(**figures):
    return [
        {"stage": "s", "step": i + 1, **{k.replace("__", "/"): v[i] for k, v in figures.items()}}
        for i in range(len(next(iter(figures.values()))))
    ]


def test_times_by_hand():
    found = times(rows(time_s=[4.0, 8.0, 3.0], time__judge=[1, 2, 0], time__generate=[3, 6, 3]))
    assert found.total_s == 15 and found.step_s == 4
    assert [(p.name, p.seconds, p.share) for p in found.parts] == [
        ("generate", 4.0, 0.8),
        ("judge", 1.0, 0.2),
    ]
    assert not found.cut


def test_times_of_older_runs_and_of_none():
    whole = times(rows(time_s=[4.0, 8.0]))
    assert whole.total_s == 12 and whole.parts == () and whole.figure is None
    assert times(rows(loss=[1.0])) is None and times([]) is None
    mixed = times([*rows(time_s=[2.0]), {"stage": "s", "step": 2, "time_s": 2, "time/save": 2.0}])
    assert [p.share for p in mixed.parts] == [1.0]


def test_a_step_that_compiles_flattens_no_other_one():
    found = times(rows(time_s=[100.0] + [1.0] * 40, time__update=[100.0] + [1.0] * 40))
    assert found.cut
    heights = [float(y) for y in Page(found.figure.svg).text.split() if y.isdigit()]
    assert 2 in heights and 100 not in heights  # the ticks of the axis


def test_the_tiles():
    metrics = [
        *rows(time_s=[60.0] * 3, perf__tokens_per_s=[1000.0, 3000.0, 2000.0]),
        {"stage": "t", "step": 1, "time_s": 3600.0},
    ]
    events = [
        {"kind": "launch", "stage": "s", "step": 0, "total_steps": {"s": 3, "t": 9}},
        {"kind": "checkpoint", "stage": "s", "step": 2},
        {"kind": "resume", "stage": "s", "step": 2},
    ]
    targets = [
        Target(by_key("asr"), 4.6, False), Target(by_key("orr"), 9.91, False),
        Target(by_key("ftr"), 1.0, True), Target(by_key("f1"), 90.0, False),
        Target(by_key("dir"), math.nan, False),
    ]  # fmt: skip
    alerts = [{"critical": True}, {"critical": False}]
    found = {
        t.name: (t.value, t.state)
        for t in tiles(metrics, events, alerts, times(metrics), targets, "running")
    }
    assert found == {
        "State": ("running", ""), "Targets met": ("1 of 3", "missed"), "Steps": ("4 of 12", ""),
        "Time in steps": ("1 h 03 min", ""), "Tokens per second": ("2,000", ""),
        "Launches": ("1", ""), "Alerts": ("2", "missed"),
    }  # fmt: skip
    [_, steps] = tiles([], [], [], None, [], "running")
    assert steps.value == "0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)  # fmt: skip
def test_a_clock(seconds, text):
    assert clock(seconds) == text


def test_what_happened_is_in_order_and_says_what():
    events = [
        {"wall_time": 30.0, "kind": "end", "stage": "stage2", "step": 9, "text": "done"},
        {"wall_time": 0.0, "kind": "launch", "stage": "stage1", "step": 0, "text": "x"},
        {"wall_time": 5.0, "kind": "checkpoint", "stage": "stage1", "step": 3, "text": "x"},
    ]
    alerts = [
        {"wall_time": 20.0, "rule": "ORR", "metric": "orr", "value": 15.5, "above": True,
         "threshold": 15, "critical": True, "stage": "stage2", "step": 4},
    ]  # fmt: skip
    found = happened(events, alerts)
    assert [(h.when[11:], h.kind, h.where, h.bad) for h in found] == [
        ("00:00:00", "launch", "stage 1", False),
        ("00:00:20", "alert", "stage 2, step 4", True),
        ("00:00:30", "end", "stage 2, step 9", False),
    ]
    assert found[1].text == "ORR: orr is 15.5, above 15"


def test_marks_stand_where_things_happened(monkeypatch):
    """Stage t begins at x = 4: its step 2 is drawn at 5, an alert around that metric's value."""
    metrics = [*rows(loss=[1.0, 2.0, 3.0]), *({"stage": "t", "step": i, "loss": 7.0, "dir": 0.1}
               for i in (1, 2))]  # fmt: skip
    line = timeline(metrics)
    assert line.x(Mark("alert", "t", 2)) == 5
    found = marks(
        [{"kind": "resume", "stage": "t", "step": 1}, {"kind": "stop", "stage": "t", "step": 1}],
        [{"stage": "t", "step": 2, "metric": "loss"}],
        [("s", 0), ("elsewhere", 3)],
    )
    drawn = []

    class Axes:
        def get_xaxis_transform(self):
            return "axis"

        def axvline(self, x, **_):
            drawn.append(("line", x))

        def plot(self, x, y, form, **_):
            drawn.append((form, x, y))

    for panel in curves.UPDATE:
        if panel.names == ("loss",):
            curves._draw_marks(Axes(), line, ["loss"], panel, found)
            curves._draw_marks(Axes(), line, ["dir"], panel._replace(names=("dir",)), found[2:])
    assert drawn == [("line", 4.5), ("D", 0, 0), ("o", [5], [7.0])]


def test_many_points_are_thinned_and_keep_peaks_and_gaps():
    x = np.arange(5000)
    y = np.sin(x / 100)
    y[1234], y[2000:2100] = 50.0, np.nan
    thin_x, thin_y = curves.thinned(x, y)
    assert len(thin_x) <= 2 * curves.POINTS and (np.diff(thin_x) > 0).all()
    assert np.nanmax(thin_y) == 50.0 and np.nanmin(thin_y) == np.nanmin(y)
    assert np.isnan(thin_y[(thin_x >= 2000) & (thin_x < 2100)]).all()
    assert np.isfinite(thin_y[(thin_x < 2000) | (thin_x >= 2100)]).all()
    few = curves.thinned(x[:300], y[:300])
    assert (few[0] == x[:300]).all() and (few[1] == y[:300]).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.25, "0.25"), (-1500.0, "−1500"), (1.5e-4, "1.5e−4"), (-2e6, "−2e6")],
)  # fmt: skip
def test_a_tick(value, text):
    assert plain(value) == text


def test_a_page_of_many_steps_and_transcripts_stays_small(tmp_path):
    stages = {"sft": 3, "stage1": 2500, "stage2": 2500}
    write_report(tmp_path / "r.html", run_pages.record(stages), run_pages.outcome(500))
    html = (tmp_path / "r.html").read_text()
    assert len(html.encode()) < 3e6
    assert html.count('class="card transcript"') < 500 and " of 500 prompts; the others" in html


def test_what_fits():
    long = [{"prompt": "x" * (LETTERS // 2)}] * 5
    assert len(fitting(long)) == 1 and len(fitting(long[:1] * 1)) == 1
    assert len(fitting([{"prompt": "x" * LETTERS}])) == 1  # one at least
    assert len(fitting([{"prompt": "x"}] * 3)) == 3


def test_a_run_without_anything_has_a_page(tmp_path):
    write_report(tmp_path / "r.html", Record("Run", "", []), Outcome())
    text = Page((tmp_path / "r.html").read_text()).text
    for words in ("No evaluation was made", "No training steps", "No transcripts were recorded"):
        assert words in text
