"""What a run's directory tells of the run, for its page: records, events, alerts, evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from waltzjax.evaluation.files import validations
from waltzjax.report.run import Record
from waltzjax.run.environment import read_environment
from waltzjax.training.metrics import read_metrics

EVENT = {"kind": str, "stage": str, "step": int}  # what a page needs of an event, and of an alert
ALERT = {"metric": str, "stage": str, "step": int}


def read_record(workdir: Path, title: str, config_text: str) -> Record:
    """Of a run that is over or goes on; what older runs do not leave is empty."""
    metrics = read_metrics(workdir / "metrics.jsonl")
    return Record(
        title=title,
        config_text=config_text,
        metrics=metrics,
        events=_lines(workdir / "events.jsonl", EVENT),
        alerts=_lines(workdir / "monitor" / "alerts.jsonl", ALERT),
        environment=read_environment(workdir),
        evaluations=validations(workdir, metrics),
    )


def _lines(path: Path, fields: dict[str, type]) -> Sequence[dict[str, Any]]:
    """The objects of a file that somebody appends to, if they have these ``fields``; a last line
    may be half written."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if type(value) is dict and all(type(value.get(k)) is t for k, t in fields.items()):
            found.append(value)
    return found
