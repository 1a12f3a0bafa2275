"""What a run's directory tells of the run, for its page: records, events, alerts, evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from waltzjax.evaluation.files import validations
from waltzjax.metrics.events import EVENTS, read_events
from waltzjax.metrics.records import METRICS, read_metrics
from waltzjax.report.run import Record
from waltzjax.run.environment import read_environment

ALERTS = "monitor/alerts.jsonl"
EVENT = {"kind": str, "stage": str, "step": int}  # what a page needs of an event, and of an alert
ALERT = {"metric": str, "stage": str, "step": int}


def read_record(workdir: Path, title: str, config_text: str) -> Record:
    """That of a run that is over or goes on; what older runs do not leave is empty."""
    metrics = read_metrics(workdir / METRICS)
    return Record(
        title=title,
        config_text=config_text,
        metrics=metrics,
        events=[e for e in read_events(workdir / EVENTS) if _has(e, EVENT)],
        alerts=_alerts(workdir / ALERTS),
        environment=read_environment(workdir),
        evaluations=validations(workdir, metrics),
    )


def _has(value: object, fields: Mapping[str, type]) -> bool:
    return isinstance(value, dict) and all(type(value.get(k)) is t for k, t in fields.items())


def _alerts(path: Path) -> list[dict[str, Any]]:
    """The whole ones of a file that the monitor appends to; a last line may be half written."""
    if not path.exists():
        return []
    alerts = []
    for line in path.read_text().splitlines():
        with suppress(ValueError):
            alerts.append(json.loads(line))
    return [alert for alert in alerts if _has(alert, ALERT)]
