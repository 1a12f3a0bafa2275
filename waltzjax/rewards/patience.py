"""When a remote judge is asked again, and how a run waits while it cannot be reached."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

from waltzjax.rewards.errors import JudgeOutage, JudgeStopped

_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries; doubled from the one up to the other
_SLICE_S = 1.0  # how soon a pause notices that another thread was answered


class Unreached(Exception):
    """One try failed in a way that time may mend.

    retry_after_s: how long the server asked to wait; it is there, as it is with ``limit``: it only
      takes no more requests for now.
    """

    def __init__(self, why: str, retry_after_s: float = 0.0, *, limit: bool = False) -> None:
        super().__init__(why)
        self.retry_after_s, self.limit = retry_after_s, limit or retry_after_s > 0


class UnusableReply(Exception):
    """The server answered, but with nothing that could be a model's text; ``final``: nor would it
    if it were asked again."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Patience:
    """Retries calls to one server, from any number of threads at once.

    what: the server's name in messages.
    tries: failures in a row that make an outage; unusable replies in a row that end a call.
    patience_s: how long a call goes on failing, and nobody is answered, before JudgeOutage is
      raised. Where others are answered meanwhile it is no outage: a limit of requests is waited
      for, and what fails otherwise ends its own call alone, with UnusableReply, after ``tries`` in
      at least a minute.
    say: is told once when an outage begins, and once when it is over.
    stop: once it is set, every call ends with JudgeStopped, also one that is waiting.
    clock, wait: the time in seconds; sleeps so long and returns whether ``stop`` is set.
    """

    def __init__(self, what: str, *, tries: int, patience_s: float, say: Callable[[str], None],
                 stop: threading.Event, clock: Callable[[], float] = time.monotonic,
                 wait: Callable[[float], bool] | None = None) -> None:  # fmt: skip
        self.what, self.tries, self.patience_s, self.stop = what, tries, patience_s, stop
        self._say, self._clock, self._wait = say, clock, wait or stop.wait
        self._lock = threading.Lock()
        self._answers, self._answered_at = 0, -math.inf  # of the server, to anyone
        self._began: float | None = None  # when the outage did; None: there is none

    def call(self, attempt: Callable[[], str]) -> str:
        """The first reply of ``attempt``; it is tried again after Unreached and UnusableReply.

        Raises:
          JudgeOutage: Unreached for ``patience_s``.
          UnusableReply: a final one, the last of ``tries``, or only others are answered.
          JudgeStopped; and at once whatever else ``attempt`` raises.
        """
        failed = streak = passed_over = unusable = 0
        first = since = 0.0  # of the failures; of the streak, during which nobody was answered
        seen = self._answers
        while not self.stop.is_set():
            try:
                reply = attempt()
            except UnusableReply as error:
                self._note_answer()
                failed = streak = passed_over = 0
                seen, unusable = self._answers, unusable + 1
                if error.final or unusable >= self.tries:
                    raise
                self._sleep(_backoff_s(unusable))
            except Unreached as error:
                now, answers = self._clock(), self._answers
                if answers != seen:  # others' answers: the server is there
                    seen, streak, passed_over = answers, 0, passed_over + (not error.limit)
                failed, streak = failed + 1, streak + 1
                first, since = now if failed == 1 else first, now if streak == 1 else since
                if passed_over >= self.tries and now - first >= _LONGEST_S:
                    raise UnusableReply(
                        f"{self.what} answers others, but not this request: {error}"
                    ) from error
                self._check_patience(error, streak, since)
                backoff_s, left_s = _backoff_s(failed), since + self.patience_s - self._clock()
                longest_s = left_s if streak >= self.tries else max(left_s, backoff_s)
                self._sleep(min(max(backoff_s, error.retry_after_s), longest_s), error, streak)
            else:
                self._note_answer()
                return reply
        raise JudgeStopped(f"{self.what} is no longer waited for: the run is to stop")

    def _note_answer(self) -> None:
        with self._lock:
            self._answers, self._answered_at = self._answers + 1, self._clock()
            if self._began is not None:
                took = _duration(self._clock() - self._began)
                self._began = None
                self._say(f"{self.what} answers again, after {took}; the run goes on")

    def _check_patience(self, error: Unreached, streak: int, since: float) -> None:
        now = self._clock()
        if streak >= self.tries and now >= since + self.patience_s:
            raise JudgeOutage(
                f"{self.what} could not be reached for {_duration(now - since)} "
                f"(config.judge.patience_s = {self.patience_s:g}): {error}. Start it again, or "
                "correct config.judge.url, then start the run again: replies that came are on "
                "disk and are not asked again"
            ) from error

    def _announce(self, error: Unreached, streak: int) -> None:
        """Say that an outage begins, if one does."""
        with self._lock:
            begins = streak >= self.tries or error.retry_after_s > _LONGEST_S
            if error.limit and self._clock() - self._answered_at <= _LONGEST_S:
                begins = False  # a mere limit of requests
            if begins and self._began is None:
                self._began = self._clock()
                self._say(
                    f"{self.what} cannot be reached: {error}. No episode is lost: the run waits "
                    f"and tries again, for {_duration(self.patience_s)}"
                )

    def _sleep(self, seconds: float, error: Unreached | None = None, streak: int = 0) -> None:
        """Wait; past the end of an outage only where the server has asked for it."""
        now, began, over = self._clock(), self._began, False
        until, asked_until = now + seconds, now + (error.retry_after_s if error else 0.0)
        while (now := self._clock()) < until:
            over = over or began not in (None, self._began)
            if over and now >= asked_until:
                return
            if error and not over:
                self._announce(error, streak)
                began = self._began
            if self._wait(min(until - now, _SLICE_S)):
                return


def _backoff_s(failed: int) -> float:
    longest = min(_LONGEST_S, _FIRST_S * 2.0 ** min(failed - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # so that threads do not all come back at once


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
