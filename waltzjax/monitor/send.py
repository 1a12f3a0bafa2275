"""Sending alerts to the destinations of --alert, without ever holding up or ending the monitor."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from waltzjax.monitor.alert import Alert
from waltzjax.monitor.delivery.attempts import Refused, Unreached, attempt
from waltzjax.monitor.delivery.destinations import Destination, read_destinations
from waltzjax.monitor.delivery.message import Raised, compose, when_text
from waltzjax.monitor.delivery.outbox import HOUR_S, Outbox, Waiting
from waltzjax.support import console

MOST_PER_HOUR = 10  # messages to a destination
TIMEOUT_S = 10.0  # of one attempt: to connect, and for each answer
BUDGET_S = 30.0  # of one call of ``Sender.send``
REFUSED_PAUSE_S = 1800.0  # logins refused at each check would get an account locked


class Sender:
    """Sends the alerts of any number of runs to every destination.

    Each alert stands in WORKDIR/monitor/unsent.jsonl before the first attempt and until a
    destination has it, so that it outlives an outage, the limit of an hour, and the monitor.

    most_per_hour: messages an hour that a destination gets of all runs; alerts over it wait, and
      the next message sums them up.
    timeout_s, budget_s: seconds of one attempt, and of one call.
    clock, wait: the time in unix seconds; sleeps so many seconds.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        most_per_hour: int = MOST_PER_HOUR,
        timeout_s: float = TIMEOUT_S,
        budget_s: float = BUDGET_S,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.destinations, self._most_per_hour = tuple(destinations), most_per_hour
        self._timeout_s, self._budget_s = timeout_s, budget_s
        self._clock, self._wait, self._host = clock, wait, socket.gethostname()
        self._outboxes: dict[Path, Outbox] = {}
        self._threads: dict[str, threading.Thread] = {}  # those that send, by label
        self._pauses: dict[str, tuple[float, str]] = {}  # until when, and why, by label

    def queue(self, workdir: Path, alerts: Sequence[Alert]) -> None:
        """Keep alerts of the run in ``workdir`` for every destination, on disk before this returns
        (a full disk aside)."""
        now, labels = self._clock(), [d.label for d in self.destinations]
        if labels:
            new = [Raised(now, alert) for alert in alerts]
            self._outbox(workdir).add(Waiting(label, r) for r in new for label in labels)

    def _outbox(self, workdir: Path) -> Outbox:
        if workdir not in self._outboxes:
            self._outboxes[workdir] = Outbox(workdir / "monitor")
        return self._outboxes[workdir]

    def send(self, workdirs: Sequence[Path]) -> list[str]:
        """Send the alerts of these runs that wait; to be called at each check with every run, also
        one that raised nothing.

        Returns within ``budget_s``: what does not get through waits for the next call.

        Returns:
          One line for each destination that did not get all, without a secret.
        """
        if not self.destinations:
            return []
        labels = [d.label for d in self.destinations]
        for workdir in workdirs:
            self._outbox(workdir)
        problems: dict[str, str] = {}
        for destination in self.destinations:
            self._start(destination, problems)
        over = time.monotonic() + self._budget_s
        for label in labels:
            self._threads[label].join(max(0.0, over - time.monotonic()))
            if self._threads[label].is_alive():
                problems[label] = "no answer yet; what it does not get now waits for the next check"
        return [f"alerts to {label}: {problem}" for label, problem in problems.items()]

    def _start(self, destination: Destination, problems: dict[str, str]) -> None:
        """Have a thread send what waits, unless the one of an earlier call still does."""
        label, running = destination.label, self._threads.get(destination.label)
        if running is None or not running.is_alive():
            outboxes = list(self._outboxes.values())
            self._threads[label] = threading.Thread(
                target=self._send_all, args=(destination, outboxes, problems), daemon=True
            )
            self._threads[label].start()

    def _send_all(
        self, destination: Destination, outboxes: Sequence[Outbox], problems: dict[str, str]
    ) -> None:
        label, deadline = destination.label, self._clock() + self._budget_s
        for outbox in outboxes:
            waiting, now = outbox.waiting(label), self._clock()
            if not waiting:
                continue
            sent = sum(o.sent_since(label, now - HOUR_S) for o in outboxes)
            if sent >= self._most_per_hour:
                problems[label] = f"{sent} messages within an hour are the most; the rest waits"
                return
            until, why = self._pauses.get(label, (0.0, ""))
            if now < until:
                problems[label] = f"{why}. The alerts wait until {when_text(until)}"
                return
            if problem := self._deliver(destination, waiting, deadline):
                problems[label] = f"{problem}. The alerts wait for a later check"
                return
            outbox.note_sent(label, waiting, self._clock())

    def _deliver(
        self,
        destination: Destination,
        raised: Sequence[Raised],
        deadline: float,
        *,
        test: bool = False,
    ) -> str:
        """Deliver one message; returns "" or why it could not be."""
        message = compose(raised, self._host, test=test)
        try:
            attempt(
                lambda timeout_s: destination.deliver(message, timeout_s),
                timeout_s=self._timeout_s,
                deadline=deadline,
                clock=self._clock,
                wait=self._wait,
            )
        except Unreached as error:
            self._pauses[destination.label] = (self._clock() + error.retry_after_s, str(error))
            return str(error)
        except Refused as error:
            self._pauses[destination.label] = (self._clock() + REFUSED_PAUSE_S, str(error))
            return str(error)
        except Exception as error:  # its text is not shown: nobody knows what it holds
            return f"{type(error).__name__}, which is a fault of waltzjax or of a library"
        return ""

    def send_test(self, destination: Destination) -> str:
        """Send a test message, whatever the limit; returns "" or what to do."""
        now = self._clock()
        return self._deliver(destination, [Raised(now, EXAMPLE)], now + self._budget_s, test=True)


EXAMPLE = Alert(
    run="test",
    rule="kl",
    critical=False,
    stage="stage2",
    step=120,
    metric="kl",
    value=0.31,
    above=True,
    threshold=0.2,
    history=tuple(zip(range(111, 121), (0.05, 0.06, 0.05, 0.08, 0.09, 0.13, 0.15, 0.19, 0.24, 0.31),
                      strict=True)),
)  # fmt: skip


def make_sender(values: Sequence[str], environment: Mapping[str, str] = os.environ) -> Sender:
    """The sender for the values of --alert; raises ValueError for one that cannot be used."""
    return Sender(read_destinations(values, environment))


def send_test(sender: Sender) -> int:
    """Send a test message to each destination, and say of each "ok" or what to do; returns the
    exit status: 0, or 1 where one did not get it.

    Raises:
      ValueError: there is no destination.
    """
    if not sender.destinations:
        raise ValueError("--test_alert: needs at least one --alert, for example mailto:NAME@HOST")
    problems = [(d.label, sender.send_test(d)) for d in sender.destinations]
    for label, problem in problems:
        result = f"not sent: {problem}" if problem else "ok, the test message is sent"
        console.say(f"{label}: {result}")
    return 1 if any(problem for _, problem in problems) else 0
