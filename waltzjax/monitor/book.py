"""The monitor's own files in a run's directory: what was told, and how the run stands.

monitor/status.json   the snapshot of the last check, whole at any time
monitor/alerts.jsonl  a line an alert
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from waltzjax.metrics.episodes import Episode
from waltzjax.metrics.follow import parse_json
from waltzjax.metrics.rules import REQUEST
from waltzjax.monitor.alert import Alert
from waltzjax.monitor.watch import Status
from waltzjax.support.files import write_json, write_text

Key = tuple[str, str, str, int]  # rule, figure, stage, step
SAME = 24  # steps: an episode that begins so near to one told before is that one, done again


class Book:
    """The files of one run, under ``home``/monitor. Of several monitors of a run one writes; the
    others only look.

    home: None while there is no place for them.
    writes: whether this monitor does; ``why``: "" or why it does not.
    """

    def __init__(self) -> None:
        self.writes, self.why = False, ""
        self._lock: TextIO | None = None
        self._directory: Path | None = None
        self._told: list[Key] = []
        self._of_earlier: list[Key] = []  # told before this pass over the records, not yet met
        self._pass = 0

    def open(self, home: Path | None) -> None:
        """Take the run's directory, once there is one, if no other monitor has it."""
        if home is None or self._lock:
            return
        self._directory, self.why = home / "monitor", ""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            lock = (self._directory / ".lock").open("w")
        except OSError as error:
            self.why = f"nothing is written: {error}"
            return
        self._told = [key for line in self._lines() if (key := _key(line))]
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            self.why = "another monitor of this run writes and sends its alerts"
            return
        self._lock, self.writes = lock, True

    def _lines(self) -> list[dict[str, Any]]:
        assert self._directory
        try:
            text = (self._directory / "alerts.jsonl").read_bytes()
        except OSError:
            return []
        return [line for line in map(parse_json, text.split(b"\n")) if line]

    def new(self, alerts: Sequence[Alert], passes: int) -> list[Alert]:
        """Those that were not told before, by this monitor or an earlier one; ``passes`` counts how
        often the run's records were read from the first one, where all its episodes come again."""
        if passes != self._pass:
            self._pass, self._of_earlier = passes, [*self._told]
        return [alert for alert in alerts if not self._met(alert)]

    def _met(self, alert: Alert) -> bool:
        same = [
            earlier
            for earlier in self._of_earlier
            if earlier[:3] == (alert.rule, alert.metric, alert.stage)
            and abs(earlier[3] - alert.step) <= SAME
        ]
        if same:
            self._of_earlier.remove(min(same, key=lambda earlier: abs(earlier[3] - alert.step)))
        return bool(same)

    def told(self, alerts: Sequence[Alert], now: float) -> None:
        """Note alerts as told; raises OSError where the disk is full, say."""
        self._told += [(a.rule, a.metric, a.stage, a.step) for a in alerts]
        if self.writes and alerts and self._directory:
            lines = [json.dumps({"wall_time": now, **a._asdict()}) + "\n" for a in alerts]
            with (self._directory / "alerts.jsonl").open("a") as file:
                file.write("".join(lines))

    def snapshot(self, status: Status) -> None:
        """Replace the snapshot; raises OSError where the disk is full, say."""
        if self.writes and self._directory:
            write_json(self._directory / "status.json", as_json(status))

    def close(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock, self.writes = None, False


def _key(line: dict[str, Any]) -> Key | None:
    key = line.get("rule"), line.get("metric"), line.get("stage"), line.get("step")
    return key if type(key[3]) is int else None  # type: ignore[return-value]


def ask_to_stop(workdir: Path, reason: str) -> None:
    """Ask the run's trainer to write a checkpoint and end (see ``stages.stopping``)."""
    write_text(workdir / REQUEST, reason + "\n")


def as_json(status: Status) -> dict[str, Any]:
    """A status as its snapshot has it."""
    return {
        **status._asdict(),
        "critical": status.critical,
        "standing": [_episode(episode) for episode in status.standing],
    }


def _episode(episode: Episode) -> dict[str, Any]:
    rule = episode.rule
    return {
        "rule": rule.name,
        "critical": rule.critical,
        "metric": episode.metric,
        "stage": episode.stage,
        "step": episode.step,
        "value": episode.value,
        "above": rule.above,
        "threshold": episode.threshold,
    }
