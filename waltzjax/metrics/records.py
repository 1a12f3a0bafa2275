"""``metrics.jsonl``: one record a step, the run's own memory of its figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waltzjax.support.files import write_text

METRICS = "metrics.jsonl"


class MetricsFile:
    """Appends records of one stage to ``metrics.jsonl`` under ``workdir``.

    Opening it for a stage drops that stage's records after ``resume_step`` (and a last line cut in
    half by a kill): the steps that are about to be run again are not recorded twice. The file is
    replaced then, so that a reader that follows it sees a new one.
    """

    def __init__(self, workdir: Path, stage: str, resume_step: int):
        self._stage, path = stage, workdir / METRICS
        kept = [r for r in read_metrics(path) if r["stage"] != stage or r["step"] <= resume_step]
        write_text(path, "".join(json.dumps(r) + "\n" for r in kept))
        self._file = path.open("a")

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append a record, with the time of day; it is in the file on return.

        Raises:
          OSError: the disk is full, say. The run must not go on without its records.
        """
        record = {"stage": self._stage, "step": step, "wall_time": time.time(), **scalars}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Whole records of a ``metrics.jsonl``; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
