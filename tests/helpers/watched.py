"""Run directories as a trainer writes them, for tests that watch them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

START = 1_800_000_000.0  # unix seconds, of every run's launch
STEP_S = 10.0


def begin(workdir: Path, stages: tuple[str, ...] = ("stage2",), **config: Any) -> Path:
    """A run that has been launched and has no record yet."""
    workdir.mkdir(parents=True)
    train = {"steps": dict.fromkeys(stages, 100), "validate_every": 0}
    (workdir / "config.json").write_text(
        json.dumps({"stages": list(stages), "train": train, **config})
    )
    event(workdir, "launch", START, total_steps=dict.fromkeys(stages, 100))
    return workdir


def event(workdir: Path, kind: str, at: float, text: str = "", **more: Any) -> None:
    line = {"wall_time": at, "kind": kind, "stage": "stage2", "step": 0, "text": text, **more}
    with (workdir / "events.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def record(step: int, stage: str = "stage2", **figures: float) -> dict[str, Any]:
    return {"stage": stage, "step": step, "wall_time": START + STEP_S * step, "time_s": STEP_S,
            "kl/feedback": 0.05, "asr": 4.0, **figures}  # fmt: skip


def write(workdir: Path, records: list[dict[str, Any]]) -> None:
    """Append records."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(r) + "\n" for r in records))


def resume(workdir: Path, step: int) -> None:
    """Drop the records after ``step``, as a resumed trainer does."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    other = workdir / ".metrics.jsonl.tmp"
    other.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))
    os.replace(other, workdir / "metrics.jsonl")
