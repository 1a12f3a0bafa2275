"""The view of runs, as text."""

import io
import json
from pathlib import Path

from rich.console import Console
from watched import START, begin, event, record, write

from waltzjax.monitor import view
from waltzjax.monitor.sources import RunDirectory, named
from waltzjax.monitor.watch import Watch

RECORDED = Path(__file__).parents[1] / "metrics/recorded_demo.jsonl"


def rendered(shown, width=100):
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(view.live(shown))
    return console.export_text()


def looked_at(workdir, now, note=""):
    [only] = named([RunDirectory(workdir)])
    watched = Watch(only)
    return watched, watched.check(now)[0], note


def test_a_run_that_goes_well_and_one_that_does_not(tmp_path):
    good, bad = (begin(tmp_path / name, ("stage1", "stage2")) for name in ("good", "bad"))
    event(good, "launch", START, total_steps={"stage1": 140})
    write(good, [json.loads(line) for line in RECORDED.read_text().splitlines()][:100])
    write(bad, [record(i, **{"kl/feedback": 0.01 * i}) for i in range(1, 61)])
    text = rendered([looked_at(good, START + 1), looked_at(bad, START + 601, "look here")])
    head, tail = text.split("bad: running")
    assert "good: " in head and "stage 1 (1 of 2)  step 100/140 (71 %)" in head
    assert "CRITICAL" not in head and "asr " in head and "> 10" in head and "< -0.3" in head
    assert "stage 2 (2 of 2)  step 60/100 (60 %)" in tail
    assert "10 s a step, 360 an hour   left 6 min 40 s (6 min 40 s to 6 min 40 s)" in tail
    assert "CRITICAL kl/feedback above 0.2 since step" in tail and "look here" in tail
    [row] = [line for line in tail.splitlines() if "kl/feedback  " in line]
    assert "0.6" in row and "▁▁▂" in row and "█" in row and "> 0.2" in row


def test_on_a_narrow_terminal_lines_are_not_longer_than_it(tmp_path):
    workdir = begin(tmp_path / "demo")
    write(workdir, [record(i) for i in range(1, 61)])
    text = rendered([looked_at(workdir, START + 601)], width=60)
    assert max(map(len, text.splitlines())) <= 60 and "kl/feedback" in text


def test_a_run_is_one_plain_line(tmp_path):
    workdir = begin(tmp_path / "demo")
    _, status, _ = looked_at(workdir, START + 1)
    assert view.plain(status) == "demo  starting  no step is done yet"
    write(workdir, [record(i, **{"kl/feedback": 0.4}) for i in range(1, 61)])
    _, status, _ = looked_at(workdir, START + 601)
    assert view.plain(status) == (
        "demo  running  stage 2  step 60/100 (60 %)  10 s a step, 360 an hour  "
        "left 6 min 40 s (6 min 40 s to 6 min 40 s)  "
        "CRITICAL kl/feedback above 0.2 since step 4 (0.4 there)"
    )


def test_an_episode_that_is_over_is_told_as_such(tmp_path):
    workdir = begin(tmp_path / "demo")
    wrong = [record(i, **{"kl/feedback": 0.4}) for i in range(1, 31)]
    write(workdir, [*wrong, *(record(i) for i in range(31, 61))])
    text = rendered([looked_at(workdir, START + 601)])
    assert "over: CRITICAL kl/feedback above 0.2 since step 4" in text


def test_curves():
    assert view.sparkline([]) == "" and view.sparkline([float("nan")]) == ""
    assert view.sparkline([3, 3, 3]) == "▁▁▁"
    assert view.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == view.BARS
    assert view.sparkline([0.0] * 50 + [1.0] * 50, 4) == "▁▁██"
