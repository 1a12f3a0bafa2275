"""When a remote judge is asked again, and how a run waits while it cannot be reached."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries; doubled from the one up to the other
_SLICE_S = 1.0  # how soon a pause notices that another thread was answered


class Unreached(Exception):
    """One try failed in a way that time may mend; ``retry_after_s`` is what the server asked."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class UnusableReply(Exception):
    """The server answered, but with nothing that could be a model's text."""


class JudgeOutage(Exception):
    """The judge could not be reached for as long as the run was told to wait."""


class JudgeStopped(Exception):
    """A call of the judge was ended because the run is to stop."""


class Patience:
    """Retries calls to one server, from any number of threads at once.

    what: the server's name in messages.
    tries: failures in a row that make an outage; unusable replies in a row that end a call.
    patience_s: how long a call goes on failing before JudgeOutage is raised.
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
        self._answers = 0  # of the server, to anyone
        self._began: float | None = None  # when the outage did; None: there is none

    def call(self, attempt: Callable[[], str]) -> str:
        """The first reply of ``attempt``; it is tried again after Unreached and UnusableReply.

        Raises:
          JudgeOutage: Unreached for ``patience_s``. UnusableReply: the last of ``tries``.
          JudgeStopped; and at once whatever else ``attempt`` raises.
        """
        failed = streak = unusable = seen = 0
        since = 0.0  # of the first failure
        while not self.stop.is_set():
            try:
                reply = attempt()
            except UnusableReply:
                self._note_answer()
                failed, unusable = 0, unusable + 1
                if unusable >= self.tries:
                    raise
                self._sleep(_backoff_s(unusable))
            except Unreached as error:
                since = since if failed else self._clock()
                failed += 1
                # Where others are answered meanwhile, it is a limit of requests, or this one.
                streak, seen = (streak + 1 if seen == self._answers else 1), self._answers
                self._note_failure(error, failed, streak, since)
                backoff_s, left_s = _backoff_s(failed), since + self.patience_s - self._clock()
                longest_s = left_s if failed >= self.tries else max(left_s, backoff_s)
                self._sleep(min(max(backoff_s, error.retry_after_s), longest_s))
            else:
                self._note_answer()
                return reply
        raise JudgeStopped(f"{self.what} is no longer waited for: the run is to stop")

    def _note_answer(self) -> None:
        with self._lock:
            self._answers += 1
            if self._began is not None:
                took = _duration(self._clock() - self._began)
                self._began = None
                self._say(f"{self.what} answers again, after {took}; the run goes on")

    def _note_failure(self, error: Unreached, failed: int, streak: int, since: float) -> None:
        """Raise JudgeOutage if patience is over; say that an outage begins, if one does."""
        with self._lock:
            failing_s = self._clock() - since
            if failed >= self.tries and failing_s >= self.patience_s:
                raise JudgeOutage(
                    f"{self.what} could not be reached for {_duration(failing_s)} (patience_s = "
                    f"{self.patience_s:g}): {error}. Start it again, or correct its address, then "
                    "start the run again: replies that came are on disk and are not asked again"
                ) from error
            begins = streak >= self.tries or error.retry_after_s > _LONGEST_S
            if begins and self._began is None:
                self._began = self._clock()
                self._say(
                    f"{self.what} cannot be reached: {error}. No episode is lost: the run waits "
                    f"and tries again, for {_duration(self.patience_s)}"
                )

    def _sleep(self, seconds: float) -> None:
        """Wait, but not past the end of the outage that there is now."""
        until, began = self._clock() + seconds, self._began
        while (left := until - self._clock()) > 0 and began in (None, self._began):
            if self._wait(min(left, _SLICE_S)):
                return


def _backoff_s(failed: int) -> float:
    longest = min(_LONGEST_S, _FIRST_S * 2.0 ** min(failed - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # so that threads do not all come back at once


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
