"""All runs of one command: each is checked, its files are kept, and people are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from waltzjax.metrics.rules import chosen
from waltzjax.monitor import watch
from waltzjax.monitor.alert import Alert, sentence
from waltzjax.monitor.book import Book, ask_to_stop
from waltzjax.monitor.sources import Source, named
from waltzjax.monitor.watch import Status, Watch, to_alert

Began = tuple[str, str, str]  # rule, figure, stage


class Sender(Protocol):
    """Whoever sends alerts; ``monitor.send.Sender`` does.

    queue: keeps alerts of the run with these files until they are sent.
    send: sends what waits of these runs; lines for those who watch.
    """

    @property
    def destinations(self) -> Sequence[object]: ...
    def queue(self, home: Path, alerts: Sequence[Alert]) -> None: ...
    def send(self, homes: Sequence[Path]) -> list[str]: ...


class Desk:
    """The runs under watch, their files, and who is told.

    stop_on: rules; a trainer is asked to stop at the alert of one, and, unless this is to be the
      only check (``once``), where one stands at the first check.
    """

    def __init__(
        self,
        sources: list[Source],
        added: Sequence[str],
        stop_on: Sequence[str],
        sender: Sender,
        once: bool = False,
    ) -> None:
        self.watches = [Watch(each, added) for each in named(sources)]
        self.books = [Book() for _ in sources]
        self._stop_on, self._sender, self._joins = stop_on, sender, not once
        self._before: dict[str, Status] = {}
        self._owed: dict[str, set[Began]] = {}  # alerts of which no trainer could be told, by run
        for watched in self.watches:
            chosen(watched.rules, stop_on, "--stop_on")

    def check(self, say: Callable[[str], None]) -> list[tuple[Watch, Status, str]]:
        """Check every run once; ``say`` is told of alerts. Returns how each stands, with what else
        there is to say of it.

        Raises:
          OSError: a run cannot be read, and never could.
        """
        shown, raised = [], []
        for watched, book in zip(self.watches, self.books, strict=True):
            status, new, note = self._check(watched, book, time.time())
            for alert in new:
                say(sentence(alert))
            if watched.source.home and book.writes:
                raised.append(watched.source.home)
            shown.append((watched, status, note))
        for line in self._sender.send(raised):
            say(line)
        self._joins = False
        return shown

    def _check(self, watched: Watch, book: Book, now: float) -> tuple[Status, list[Alert], str]:
        try:
            status, alerts = watched.check(now)
        except OSError as error:  # a file system that is away for a while, say
            if watched.name not in self._before:
                raise
            return self._before[watched.name], [], f"cannot be read: {error}"
        self._before[watched.name] = status
        book.open(watched.source.home)
        new, notes = book.new(alerts, watched.passes), [book.why]
        if book.why and self._sender.destinations:
            notes.append("--alert sends nothing from here: give it to that one")
        began = {(alert.rule, alert.metric, alert.stage) for alert in new}
        owed = self._owed.get(watched.name, set()) | began
        try:
            notes.append(self._stop(watched, status, owed))
            self._owed[watched.name] = set()
        except OSError as error:
            self._owed[watched.name] = owed
            notes.append(f"could not ask to stop, tries again: {error}")
        # In this order: who is ended in between repeats an alert, and loses none.
        if watched.source.home and book.writes:
            self._sender.queue(watched.source.home, new)
        try:
            book.told(new, now)
            book.snapshot(status)
        except OSError as error:
            notes.append(f"nothing is written: {error}")
        return status, new, "; ".join(filter(None, notes))

    def _stop(self, watched: Watch, status: Status, began: set[Began]) -> str:
        """Ask a trainer to stop where a rule of ``stop_on`` stands that ``began``; returns what it
        was asked."""
        if status.state in (watch.STOPPED, watch.FINISHED):
            return ""
        reasons = [
            sentence(to_alert(watched.name, episode))
            for episode in status.standing
            if episode.rule.name in self._stop_on
            and (self._joins or (episode.rule.name, episode.metric, episode.stage) in began)
        ]
        if not reasons:
            return ""
        ask_to_stop(watched.source.path, "; ".join(reasons))
        return f"asked to stop: {'; '.join(reasons)}"

    def close(self) -> None:
        for book in self.books:
            book.close()
