"""All runs of one command: each is checked, its files are kept, and people are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from waltzjax.metrics.rules import chosen
from waltzjax.monitor import watch
from waltzjax.monitor.alert import Alert, sentence
from waltzjax.monitor.book import Book
from waltzjax.monitor.sources import Source, named
from waltzjax.monitor.watch import Status, Watch

# Told at each check of the new alerts of every run, by the directory of its files; returns lines
# for those who watch.
Send = Callable[[Mapping[Path, Sequence[Alert]]], list[str]]


class Desk:
    """The runs under watch, their files, and who is told."""

    def __init__(self, sources: list[Source], added: Sequence[str], stop_on: Sequence[str],
                 send: Send) -> None:  # fmt: skip
        self.watches = [Watch(each, added) for each in named(sources)]
        self.books = [Book() for _ in sources]
        self._stop_on, self._send = stop_on, send
        for watched in self.watches:
            chosen(watched.rules, stop_on, "--stop_on")

    def check(self, say: Callable[[str], None]) -> list[tuple[Watch, Status, str]]:
        """Check every run once; ``say`` is told of alerts. Returns how each stands, with what else
        there is to say of it."""
        shown, raised = [], {}
        for watched, book in zip(self.watches, self.books, strict=True):
            now = time.time()
            status, alerts = watched.check(now)
            book.open(watched.source.home)
            new, note = book.new(alerts, watched.passes), book.why
            try:
                book.told(new, now)
                book.snapshot(status)
                note = self._stop(watched, book, status, new) or note
            except OSError as error:
                note = f"nothing is written: {error}"
            for alert in new:
                say(sentence(alert))
            if watched.source.home and book.writes:
                raised[watched.source.home] = new
            shown.append((watched, status, note))
        for line in self._send(raised):
            say(line)
        return shown

    def _stop(self, watched: Watch, book: Book, status: Status, new: Sequence[Alert]) -> str:
        """Ask a trainer to stop for the alerts of a rule that is to stop it; returns what was
        asked."""
        standing = {(e.rule.name, e.metric, e.stage) for e in status.standing}
        reasons = [
            sentence(alert)
            for alert in new
            if alert.rule in self._stop_on and (alert.rule, alert.metric, alert.stage) in standing
        ]
        if not reasons or not book.writes or status.state in (watch.STOPPED, watch.FINISHED):
            return ""
        book.ask_to_stop(watched.source.path, "; ".join(reasons))
        return f"asked to stop: {'; '.join(reasons)}"

    def close(self) -> None:
        for book in self.books:
            book.close()


def send_nowhere(raised: Mapping[Path, Sequence[Alert]]) -> list[str]:
    """Alerts go to the console and to alerts.jsonl alone."""
    del raised
    return []
