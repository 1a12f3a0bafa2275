"""A run's outbox: alerts that wait to be sent, and when messages were sent, kept on disk."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.monitor.alert import Alert
from waltzjax.monitor.delivery.message import Raised
from waltzjax.support.files import write_json, write_text

MOST_WAITING = 1000  # the oldest go first
HOUR_S = 3600.0


class Waiting(NamedTuple):
    """An alert that one destination has yet to get."""

    label: str
    raised: Raised


class Outbox:
    """The alerts of one run that wait, for any destination; threads may share it.

    ``unsent.jsonl`` and ``sent.json`` in ``directory`` hold the same, for the next process: one
    process at a time sends the alerts of a run. A disk that cannot be written changes nothing for
    this process.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._lock = directory, threading.Lock()
        self._waiting = _read_waiting(directory / "unsent.jsonl")
        self._sent = _read_sent(directory / "sent.json")

    def add(self, waiting: Iterable[Waiting]) -> None:
        with self._lock:
            if new := list(waiting):
                self._waiting = [*self._waiting, *new][-MOST_WAITING:]
                self._write_waiting()

    def waiting(self, label: str) -> tuple[Raised, ...]:
        """Alerts that the destination has yet to get, oldest first."""
        with self._lock:
            return tuple(w.raised for w in self._waiting if w.label == label)

    def note_sent(self, label: str, raised: Iterable[Raised], now: float) -> None:
        """One message with these alerts was sent."""
        with self._lock:
            sent = {id(r) for r in raised}  # not by value: NaN is no value's equal
            self._waiting = [
                w for w in self._waiting if w.label != label or id(w.raised) not in sent
            ]
            self._write_waiting()
            recent = [t for t in self._sent.get(label, ()) if now - HOUR_S < t <= now]
            self._sent[label] = [*recent, now]
            with contextlib.suppress(OSError):
                self._directory.mkdir(exist_ok=True)
                write_json(self._directory / "sent.json", self._sent)

    def sent_since(self, label: str, since: float) -> int:
        """How many messages the destination got after ``since``, unix seconds."""
        with self._lock:
            return sum(t > since for t in self._sent.get(label, ()))

    def _write_waiting(self) -> None:
        path = self._directory / "unsent.jsonl"
        lines = [json.dumps(_record(w), allow_nan=False) + "\n" for w in self._waiting]
        with contextlib.suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            write_text(path, "".join(lines)) if lines else path.unlink(missing_ok=True)


def _record(waiting: Waiting) -> dict[str, Any]:
    alert = waiting.raised.alert
    record = alert._asdict() | {
        "value": _finite(alert.value),
        "threshold": _finite(alert.threshold),
        "history": [[int(step), _finite(value)] for step, value in alert.history],
    }
    return {"to": waiting.label, "wall_time": waiting.raised.when, **record}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no other numbers


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _read_waiting(path: Path) -> list[Waiting]:
    """What the file holds; lines that are none of ours are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    waiting = []
    for line in lines:
        try:
            record = json.loads(line)
            label, when = str(record.pop("to")), float(record.pop("wall_time"))
            history = tuple((int(step), _number(value)) for step, value in record.pop("history"))
            value, threshold = _number(record.pop("value")), _number(record.pop("threshold"))
            alert = Alert(**record, value=value, threshold=threshold, history=history)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        waiting.append(Waiting(label, Raised(when, alert)))
    return waiting


def _read_sent(path: Path) -> dict[str, list[float]]:
    try:
        sent = json.loads(path.read_text())
        return {str(label): [float(t) for t in times] for label, times in sent.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
