"""Scalars of each step to JSON Lines and TensorBoard, under clu's method names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.support.files import write_text


class MetricWriter:
    """Appends to ``metrics.jsonl`` and to ``tensorboard/<stage>`` under ``workdir``.

    Opening it for a stage drops that stage's lines after ``resume_step`` (and a last line cut in
    half by a kill): the steps that are about to be run again are not recorded twice.
    """

    def __init__(self, workdir: Path, stage: str, resume_step: int):
        self.stage = stage
        self.path = workdir / "metrics.jsonl"
        kept = [
            r for r in read_metrics(self.path) if r["stage"] != stage or r["step"] <= resume_step
        ]
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        # Late: it imports PyTorch where there is one, two seconds of every command.
        from tensorboardX import SummaryWriter

        self._file = self.path.open("a")
        self._board = SummaryWriter(
            str(workdir / "tensorboard" / stage), purge_step=resume_step + 1
        )

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """One record; a value that is not finite (nothing was counted) is left out."""
        finite = {k: float(v) for k, v in scalars.items() if math.isfinite(v)}
        self._file.write(json.dumps({"stage": self.stage, "step": step, **finite}) + "\n")
        self._file.flush()
        for name, value in finite.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict]:
    """Whole records of a ``metrics.jsonl``; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def training_metrics(
    stages: Sequence[str], seed: int, metrics: Sequence[dict], seconds: float
) -> dict[str, Any]:
    """The content of a run's ``training_metrics.json``: of each stage its steps, seconds, and the
    last step's figures; ``seconds``: of this launch."""
    by_stage = {}
    for stage in stages:
        of_stage = [m for m in metrics if m["stage"] == stage]
        if of_stage:
            times = [m["time_s"] for m in of_stage]
            by_stage[stage] = {
                "steps": of_stage[-1]["step"],
                "training_s": sum(times),
                "last": of_stage[-1],
            }
    return {"seed": seed, "this_launch_s": seconds, "stages": by_stage}
