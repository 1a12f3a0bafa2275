"""What a backend has to know of the run whose figures it is given."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from waltzjax.metrics.events import EVENTS


class RunInfo(NamedTuple):
    """A stage of a run, as it begins or goes on.

    workdir: the run's directory.
    stage: its name; steps count from 1 in each.
    resume_step: the step it goes on after; 0: it begins.
    project: under which a service files the run.
    prometheus_file: where the text for Prometheus goes.
    """

    workdir: Path
    stage: str
    resume_step: int
    project: str
    prometheus_file: Path

    @property
    def name(self) -> str:
        """A name for people: the directory's."""
        return self.workdir.resolve().name

    @property
    def key(self) -> str:
        """The same for all launches of a run, another one for a new run in a directory that was
        emptied: made of its path and its first event."""
        first, events = b"", self.workdir / EVENTS
        if events.exists():
            with events.open("rb") as file:
                first = file.readline()
        return hashlib.sha256(str(self.workdir.resolve()).encode() + first).hexdigest()[:8]
