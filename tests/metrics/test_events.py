"""Events of a run: each once, whole, also after a kill."""

import json

import pytest

from waltzjax.metrics.events import Events, read_events
from waltzjax.metrics.summary import training_metrics


def kinds(workdir):
    events = read_events(workdir / "events.jsonl")
    return [(e["kind"], e["stage"], e["step"]) for e in events]


def test_a_run_that_ends_and_one_that_stops(tmp_path):
    events = Events(tmp_path)
    events.stage = "stage1"
    with events.launch("waltzjax 1", {"stage1": 4}):
        events.step = 4
        events.add("checkpoint")
    events = Events(tmp_path)
    events.stage = "stage2"
    with pytest.raises(ValueError, match="why"), events.launch("waltzjax 1", {}):
        raise ValueError("why")
    assert kinds(tmp_path) == [
        ("launch", "stage1", 0), ("checkpoint", "stage1", 4), ("end", "stage1", 4),
        ("launch", "stage2", 0), ("stop", "stage2", 0),
    ]  # fmt: skip
    first, *_, last = read_events(tmp_path / "events.jsonl")
    assert first["total_steps"] == {"stage1": 4} and first["text"] == "waltzjax 1"
    assert last["text"] == "ValueError: why" and last["wall_time"] >= first["wall_time"]


def test_a_line_cut_off_by_a_kill_costs_no_other(tmp_path):
    path = tmp_path / "events.jsonl"
    Events(tmp_path).add("launch")
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    Events(tmp_path).add("resume")
    assert [kind for kind, *_ in kinds(tmp_path)] == ["launch", "resume"]


def test_the_summary_of_two_launches():
    """One of 100 s that was killed 50 s after its last record, one of 30 s."""
    times = {1000.0: "launch", 1080.0: "checkpoint", 5000.0: "launch", 5029.0: "end"}
    events = [{"kind": kind, "wall_time": time} for time, kind in times.items()]
    metrics = [
        {"stage": "rlvr", "step": 1, "wall_time": 1050.0, "time_s": 5.0, "time/update": 2.0,
         "time/host": 3.0, "perf/tokens": 10.0},
        {"stage": "rlvr", "step": 2, "wall_time": 1100.0, "time_s": 4.0, "time/update": 4.0,
         "perf/tokens": 20.0},
        {"stage": "rlvr", "step": 3, "time_s": 1.0},  # of a version that knew no parts
    ]  # fmt: skip
    got = training_metrics(("sft", "rlvr"), 7, metrics, events, 30.0)
    assert (got["seed"], got["launches"], got["this_launch_s"]) == (7, 2, 30.0)
    assert got["wall_hours"] == pytest.approx(130 / 3600)
    [(name, stage)] = got["stages"].items()
    assert (name, stage["steps"], stage["training_s"], stage["tokens"]) == ("rlvr", 3, 10.0, 30.0)
    spent = {part: s for part, s in stage["time_by_part_s"].items() if s}
    assert spent == {"update": 6.0, "host": 3.0} and stage["last"] == metrics[-1]
    json.dumps(got)
    # The clock was set back an hour before the second launch: of the first nothing is known.
    back = [{"kind": "launch", "wall_time": 5000.0}, {"kind": "launch", "wall_time": 1400.0}]
    assert training_metrics(("rlvr",), 7, metrics, back, 30.0)["wall_hours"] == 30.0 / 3600
