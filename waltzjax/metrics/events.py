"""``events.jsonl``: what happened to a run, and when; appended to, never shortened."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from waltzjax.support.processes import writes

EVENTS = "events.jsonl"
LAUNCH, RESUME, EVALUATION, CHECKPOINT, STOP, END = KINDS = (
    "launch", "resume", "evaluation", "checkpoint", "stop", "end",
)  # fmt: skip


class Events:
    """The events of one launch; ``stage`` and ``step`` are where the run is.

    Of several processes only the one that writes the run's files writes events.
    """

    def __init__(self, workdir: Path) -> None:
        self.path = workdir / EVENTS
        self.stage, self.step = "", 0

    def add(self, kind: str, text: str = "", **more: Any) -> None:
        """Append an event of ``kind``, one of ``KINDS``; ``more`` are fields of its own.

        Raises:
          OSError: the disk is full, say.
        """
        if not writes():
            return
        event = {
            "wall_time": time.time(),
            "kind": kind,
            "stage": self.stage,
            "step": self.step,
            "text": text,
            **more,
        }
        # A line that a kill cut off stays alone: what follows it begins anew.
        begin = "\n" if _cut_off(self.path) else ""
        with self.path.open("a") as file:
            file.write(begin + json.dumps(event) + "\n")

    @contextmanager
    def launch(self, text: str, total_steps: dict[str, int]) -> Iterator[None]:
        """A block that is the run: it ends with "end", or with "stop" and why."""
        self.add(LAUNCH, text, total_steps=total_steps)
        try:
            yield
        except BaseException as error:
            with suppress(OSError):  # the error is what counts
                self.add(STOP, f"{type(error).__name__}: {error}")
            raise
        self.add(END)


def _cut_off(path: Path) -> bool:
    """Whether a file's last line has no end."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"


def read_events(path: Path) -> list[dict[str, Any]]:
    """Whole events of an ``events.jsonl``, oldest first; lines cut off by a kill are left out."""
    if not path.exists():
        return []
    events = []
    for line in path.read_text().splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if type(event) is dict and event.get("kind") in KINDS:
                events.append(event)
    return events
