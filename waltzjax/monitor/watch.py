"""One run under watch: each check reads what is new, judges it, and says how the run stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from waltzjax.metrics import pace
from waltzjax.metrics.episodes import Episode, Episodes
from waltzjax.metrics.follow import Record
from waltzjax.metrics.rules import Rule, make_rules
from waltzjax.monitor.alert import Alert
from waltzjax.monitor.sources import Log, Watched

HISTORY = 1000  # records that are kept
EMPTY, STARTING, RUNNING, EVALUATING, STALLED, STOPPED, FINISHED = (
    "not begun", "starting", "running", "evaluating", "stalled", "stopped", "finished",
)  # fmt: skip


class Status(NamedTuple):
    """How a run stands at a check. Times in seconds, ``checked`` and ``last_record`` in unix time.

    state: one of the words above; text: a sentence that says more, or "".
    stage, number, stages: the stage of the last record, which it is (from 1), how many there are.
    total: the stage's steps, 0: unknown. left_s, low_s, high_s: see ``metrics.pace.Pace``.
    run_left_s: with later stages, at this stage's pace; None: their steps are not known.
    standing: the episodes that have not ended. figures: those of the last record.
    alerts: how many there were, ``records``: how many were read.
    """

    run: str
    checked: float
    state: str
    text: str
    stage: str
    number: int
    stages: int
    step: int
    total: int
    step_s: float | None
    left_s: float | None
    low_s: float | None
    high_s: float | None
    run_left_s: float | None
    last_record: float | None
    standing: tuple[Episode, ...]
    figures: dict[str, float]
    alerts: int
    records: int
    unreadable: int

    @property
    def critical(self) -> bool:
        return any(episode.rule.critical for episode in self.standing)


class Watch:
    """The watch of one run. ``added``: texts of rules, see ``metrics.rules.make_rules``.

    history: the last 1,000 records.
    began: episodes that began, oldest first; the last 100.
    passes: how often the records were read from the first one.
    """

    def __init__(self, watched: Watched, added: Sequence[str] = ()) -> None:
        self.name, self.source, self._added = watched.name, watched.source, added
        self.history: deque[Record] = deque(maxlen=HISTORY)
        self._seen_at: float | None = None  # when a log's last line was read
        self.passes = 0
        self.source.changed()
        self._begin()

    def _begin(self) -> None:
        settings = self.source.monitor()
        self.rules: tuple[Rule, ...] = make_rules(settings, self._added)
        self._episodes = Episodes(self.rules, self.source.totals(), settings["grace"])
        self.began: deque[Episode] = deque(maxlen=100)
        self._forget()
        self.source.again()

    def _forget(self) -> None:
        self.history.clear()
        self.began.clear()
        self._episodes.restart()
        self.records = self.alerts = 0
        self.passes += 1

    def check(self, now: float) -> tuple[Status, list[Alert]]:
        """Read and judge what is new.

        Returns:
          How the run stands, and an alert for each episode that began. After the run's file was
          replaced all are there again: who has told of one before must know it.
        """
        if self.source.changed():
            self._begin()
        alerts: list[Alert] = []
        for records, rewound in self.source.read():
            if rewound:
                self._forget()
            self._episodes.totals = self.source.totals()
            for change in self._episodes.feed(records):
                if not change.ended:
                    self.began.append(change.episode)
                    alerts.append(to_alert(self.name, change.episode))
            self._keep(records, now)
        self.alerts += len(alerts)
        return self._status(now), alerts

    def _keep(self, records: Sequence[Record], now: float) -> None:
        if isinstance(self.source, Log):
            for record in records:
                if self.history and record["step"] < self.history[-1]["step"]:
                    self.history.clear()  # a trainer that goes on in the same log went back
                if self._seen_at:  # else the lines may be of long ago
                    record.setdefault("wall_time", now)
                self.history.append(record)
        else:
            self.history.extend(records)
        self.records += len(records)
        if records:
            self._seen_at = now

    def _status(self, now: float) -> Status:
        last = self.history[-1] if self.history else {}
        stage, step = last.get("stage", ""), last.get("step", 0)
        totals, stages = self.source.totals(), self.source.stages()
        total = totals.get(stage, 0)
        of_stage = [r for r in self.history if r.get("stage", "") == stage]
        events = list(self.source.events)
        steps = pace.durations(of_stage, events)
        known = pace.estimate(steps, max(0, total - step) if total else None)
        later = stages[stages.index(stage) + 1 :] if stage in stages else []
        run_left = None
        if known and known.left is not None and all(name in totals for name in later):
            run_left = known.left + known.seconds * sum(totals[name] for name in later)
        written = last.get("wall_time")
        state, text = self._state(now, steps, total, bool(later))
        return Status(
            run=self.name,
            checked=now,
            state=state,
            text=text,
            stage=stage,
            number=stages.index(stage) + 1 if stage in stages else 0,
            stages=len(stages),
            step=step,
            total=total,
            step_s=known.seconds if known else None,
            left_s=known.left if known else None,
            low_s=known.low if known else None,
            high_s=known.high if known else None,
            run_left_s=run_left,
            last_record=written if pace.number(written) else None,
            standing=tuple(self._episodes.standing.values()),
            figures={k: v for k, v in last.items() if k not in ("stage", "step") and _shown(v)},
            alerts=self.alerts,
            records=self.records,
            unreadable=self.source.unreadable,
        )

    def _state(
        self, now: float, steps: Sequence[pace.Step], total: int, more: bool
    ) -> tuple[str, str]:
        """One of the words for a run's state, and what it is known by."""
        last = self.history[-1] if self.history else {}
        events = self.source.events
        event = events[-1] if events else {}
        times = [x for x in (last.get("wall_time"), event.get("wall_time")) if pace.number(x)]
        active = max(times) if times else self._modified()
        if not self.history and not event and self.source.home is None:
            return EMPTY, "no run has begun here: neither config.json nor metrics.jsonl is there"
        done = bool(total) and last.get("step", 0) >= total and not more
        if event.get("kind") == "end" or (not event and done and self.source.has_results()):
            return FINISHED, ""
        if event.get("kind") == "stop":
            return STOPPED, str(event.get("text", ""))
        due = self._evaluates(last.get("step", 0), total)
        launched = event.get("kind") in pace.STARTS and event.get("wall_time") == active
        compiles = not last or launched
        allowed, quiet = pace.longest_quiet(steps, due or compiles), now - active
        if quiet > allowed:
            usual = f"; a step takes {duration(steps[-1].seconds)}" if steps else ""
            return STALLED, f"nothing written for {duration(quiet)}{usual}"
        if not last:
            return STARTING, "no step is done yet"
        if due and steps and quiet > 3 * steps[-1].seconds:
            return EVALUATING, ""
        return RUNNING, ""

    def _modified(self) -> float:
        for path in (
            self.source.path / "metrics.jsonl",
            self.source.path / "config.json",
            self.source.path,
        ):
            try:
                return path.stat().st_mtime
            except OSError:
                continue
        return 0.0

    def _evaluates(self, step: int, total: int) -> bool:
        """Whether the run may be evaluating after this step: no record comes meanwhile."""
        record = getattr(self.source, "record", {})
        every = record.get("train", {}).get("validate_every", 0)
        return bool(step) and (step == total or (bool(every) and step % every == 0))


def _shown(value: Any) -> bool:
    return type(value) in (int, float)


def to_alert(run: str, episode: Episode) -> Alert:
    """The alert of an episode of this run."""
    rule = episode.rule
    return Alert(
        run=run,
        rule=rule.name,
        critical=rule.critical,
        stage=episode.stage,
        step=episode.step,
        metric=episode.metric,
        value=episode.value,
        above=rule.above,
        threshold=episode.threshold,
        history=episode.history,
    )


def duration(seconds: float | None) -> str:
    """Seconds in words of at most two units: "0.8 s", "3 min 5 s", "15 h 49 min", "2 d 3 h"."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for size, unit, small, part in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(round(seconds / small), size // small)
            return f"{whole} {unit} {rest} {part}" if rest else f"{whole} {unit}"
    return f"{seconds:.0f} s"
