"""What there is to watch: a run's directory, or a trainer's plain log."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.config.defaults import default
from waltzjax.metrics.follow import Follower, News
from waltzjax.metrics.log_lines import LogLines

EVENTS = 1000  # that are kept


class RunDirectory:
    """A directory that ``waltzjax.train`` writes.

    home: where the monitor's own files go, in "monitor" there; None until the run has begun: the
      trainer takes no directory that holds other files.
    record: the run's config as its directory has it; {} before it begins.
    """

    def __init__(self, directory: Path) -> None:
        self.path, self._stamp = directory, (0, 0)
        self.record: dict[str, Any] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._launched: dict[str, int] = {}  # total steps by stage, as the trainer has said
        self.again()

    @property
    def home(self) -> Path | None:
        begun = self.record or (self.path / "metrics.jsonl").exists()
        return self.path if begun else None

    def again(self) -> None:
        """Read everything from the beginning, with the next call."""
        self._metrics = Follower(self.path / "metrics.jsonl")
        self._events = Follower(self.path / "events.jsonl")

    def changed(self) -> bool:
        """Read the config if it is another than before; returns whether it is."""
        try:
            status = (self.path / "config.json").stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return False
            self.record = json.loads((self.path / "config.json").read_text())
        except (OSError, ValueError):  # none yet
            return False
        self._stamp = stamp
        return True

    def read(self) -> Iterator[News]:
        for news in self._events.read():
            if news.rewound:
                self.events.clear()
            for event in news.records:
                self.events.append(event)
                if isinstance(steps := event.get("total_steps"), dict):
                    self._launched |= {s: n for s, n in steps.items() if type(n) is int and n > 0}
        for rows, rewound in self._metrics.read():
            yield News([r for r in rows if type(r.get("step")) is int], rewound)

    @property
    def unreadable(self) -> int:
        return self._metrics.unreadable

    def totals(self) -> dict[str, int]:
        """Steps of each stage, where they are known."""
        given = self.record.get("train", {}).get("steps", {})
        return {name: n for name, n in given.items() if n} | self._launched

    def stages(self) -> list[str]:
        return list(self.record.get("stages", []))

    def monitor(self) -> dict[str, Any]:
        """The values of ``config.monitor``; those of today's default that the record lacks."""
        usual = default().monitor.to_dict()
        return _filled(usual, self.record.get("monitor", {}))

    def has_results(self) -> bool:
        """Whether the run has written its final results."""
        return (self.path / "final_validation_results.json").exists()


def _filled(usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _filled(value, given.get(key, {}))
        if isinstance(value, dict)
        else given.get(key, value)
        for key, value in usual.items()
    }


class Log:
    """A plain log; see ``metrics.log_lines`` for what is read of it. The monitor's own files go to
    "monitor" in the directory LOG.watch beside it."""

    def __init__(self, path: Path, total_steps: int) -> None:
        self.path, self._total = path, total_steps
        self.home: Path | None = path.with_name(f"{path.name}.watch")
        self.events: deque[dict[str, Any]] = deque()
        self.unreadable = 0  # a log has lines of all kinds
        self.again()

    def again(self) -> None:
        self._lines = LogLines()
        self._file = Follower(self.path, lambda line: self._lines.parse(line))

    def changed(self) -> bool:
        return False

    def read(self) -> Iterator[News]:
        return self._file.read()

    def totals(self) -> dict[str, int]:
        total = self._total or self._lines.total
        return {"": total} if total else {}

    def stages(self) -> list[str]:
        return []

    def monitor(self) -> dict[str, Any]:
        return default().monitor.to_dict()

    def has_results(self) -> bool:
        return True  # a log's last step is all there is


Source = RunDirectory | Log


class Watched(NamedTuple):
    """A source, and the name under which people know it."""

    name: str
    source: Source


def named(sources: list[Source]) -> list[Watched]:
    """Each source by the last part of its path, or the whole where two have the same."""
    short = [source.path.resolve().name for source in sources]
    return [
        Watched(name if short.count(name) == 1 else str(source.path), source)
        for name, source in zip(short, sources, strict=True)
    ]
