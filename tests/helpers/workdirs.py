"""Directories of runs, for tests that resume and compare them."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from waltzjax.config.check import only_read
from waltzjax.metrics.clock import HOST, PARTS
from waltzjax.metrics.events import read_events
from waltzjax.recipes import readers


def records(workdir: Path) -> list[dict[str, Any]]:
    """Those of metrics.jsonl, but for what depends on the clock or the machine."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    measured = ("wall_time", "time/", "device/", "perf/mfu")
    return [
        {k: v for k, v in r.items() if not k.endswith("_s") and not k.startswith(measured)}
        for r in lines
    ]


def check_times(workdir: Path, *parts: str) -> None:
    """The parts of each step's time add up to it, and each of ``parts`` takes some; none of the
    other parts does, but saving and the host."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert steps
    for step in steps:
        of_step = {part: step[f"time/{part}"] for part in PARTS}
        assert abs(sum(of_step.values()) - step["time_s"]) < 1e-6
        taken = {part for part, seconds in of_step.items() if seconds > 0} - {"save", HOST}
        assert taken == set(parts)
        # The named parts make up a step, but for the 0.2 s that a short one may spend on the host.
        assert step["time/host"] < max(0.5 * step["time_s"], 0.2)
        assert step["perf/tokens_per_s"] == pytest.approx(step["perf/tokens"] / step["time_s"])
        assert 0 < step["device/memory_share"] <= 1 and step["wall_time"] > 1.7e9
    stages = [*dict.fromkeys(step["stage"] for step in steps)]
    events = read_events(workdir / "events.jsonl")
    [launch] = [event for event in events if event["kind"] == "launch"]
    ends = {stage: max(s["step"] for s in steps if s["stage"] == stage) for stage in stages}
    assert launch["total_steps"] == ends and events[-1]["kind"] == "end"
    saved = [(e["stage"], e["step"]) for e in events if e["kind"] == "checkpoint"]
    assert {*ends.items()} <= {*saved}
    # A step that follows a checkpoint has the seconds of writing it.
    for before, step in itertools.pairwise(steps):
        where = before["stage"], before["step"]
        assert (step["time/save"] > 0) == (where in saved and step["stage"] == before["stage"])
    names = {path.stem for path in (workdir / "evaluations").iterdir()}
    assert {e["name"] for e in events if e["kind"] == "evaluation"} == names
    summary = json.loads((workdir / "training_metrics.json").read_text())
    assert summary["launches"] == 1 and summary["wall_hours"] == summary["this_launch_s"] / 3600
    for stage, totals in summary["stages"].items():
        mine = [step for step in steps if step["stage"] == stage]
        assert totals["training_s"] == pytest.approx(sum(step["time_s"] for step in mine))
        assert sum(totals["time_by_part_s"].values()) == pytest.approx(totals["training_s"])
        assert totals["tokens"] == sum(step["perf/tokens"] for step in mine) > 0


def same_end(a: Path, b: Path, *weights: str) -> None:
    """Both left the same, to the bit."""
    for name in weights:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    assert records(a) == records(b)
    name = "final_validation_results.json"
    assert (a / name).read_text() == (b / name).read_text()


def prepared(finished: Path, workdir: Path) -> Path:
    """A fresh run directory that has its base model already, and what that was measured as."""
    for part in ("base", "evaluations/base.json"):
        source, target = finished / part, workdir / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    shutil.copy(finished / "config.json", workdir)
    return workdir


def on_base(c: ConfigDict, base: Path, reads: frozenset[str] = frozenset()) -> ConfigDict:
    """The config ``c`` on the base model there, instead of one of its own. ``reads``: of whom its
    keys are read, if not of its stages."""
    c = c.copy_and_resolve_references()
    c.model.base = str(base)
    return only_read(c, reads or readers(c))
