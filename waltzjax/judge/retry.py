"""When a remote judge is asked again, and how a run waits while it cannot be reached."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

from waltzjax.support.errors import JudgeOutage, JudgeStopped

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


class CutOff(UnusableReply):
    """The server ended the model's ``text``, and would again."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(why, final=True)
        self.text = text


class Retry:
    """Retries calls to one server, from any number of threads at once.

    what: the server's name in messages.
    tries: failures in a row that make an outage; unusable replies in a row that end a call.
    retry_s: how long a call goes on failing, and nobody is answered, before JudgeOutage is
      raised. Where others are answered meanwhile it is no outage, and a limit of requests is waited
      for. What fails otherwise, ``tries`` times in at least a minute (or retry_s), may be the
      fault of the request: the server is probed, and if it answers that, one more failure ends the
      call alone, with UnusableReply.
    say: is told once when an outage begins, and once when it is over.
    stop: once it is set, every call ends with JudgeStopped, also one that is waiting.
    clock, wait: the time in seconds; sleeps so long and returns whether ``stop`` is set.
    """

    def __init__(
        self,
        what: str,
        *,
        tries: int,
        retry_s: float,
        say: Callable[[str], None],
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.what, self.tries, self.retry_s, self.stop = what, tries, retry_s, stop
        self._say, self._clock, self._wait = say, clock, wait or stop.wait
        self._lock = threading.Lock()
        self._answers, self._answered_at = 0, -math.inf  # of the server, to anyone
        self._began: float | None = None  # when the outage did; None: there is none
        self._probing = threading.Lock()  # held by the one thread that probes

    def call(self, attempt: Callable[[], str], probe: Callable[[], None]) -> str:
        """The first reply of ``attempt``; it is tried again after Unreached and UnusableReply.

        probe: asks what any server that is there answers; raises Unreached if this one does not.

        Raises:
          JudgeOutage: Unreached for ``retry_s``.
          UnusableReply: a final one, the last of ``tries``, or only others are answered.
          JudgeStopped; and at once whatever else ``attempt`` and ``probe`` raise.
        """
        failed = streak = broken = unusable = 0
        since = first = 0.0  # of the streak, in which nobody was answered; of the broken, no limits
        seen, others_served = self._answers, False
        while not self.stop.is_set():
            try:
                reply = attempt()
            except UnusableReply as error:
                self._note_answer()
                failed = streak = broken = 0
                seen, others_served, unusable = self._answers, False, unusable + 1
                if error.final or unusable >= self.tries:
                    raise
                self._sleep(_backoff_s(unusable))
            except Unreached as error:
                if others_served and not error.limit:
                    raise UnusableReply(
                        f"{self.what} answers others, but not this request: {error}"
                    ) from error
                others_served = False
                if not error.limit:
                    broken, first = broken + 1, first if broken else self._clock()
                    lasts = self._clock() - first >= min(_LONGEST_S, self.retry_s)
                    others_served = lasts and broken >= self.tries and self._is_there(probe)
                if others_served:
                    continue  # once more, at once
                probing = self._probing.locked()  # read first: its answer counts before it ends
                now, answers = self._clock(), self._answers
                if answers != seen:  # others' answers: the server is there
                    seen, streak = answers, 0
                failed, streak = failed + 1, streak + 1
                since = now if streak == 1 else since
                if not probing:
                    self._check_outage(error, streak, since)
                backoff_s, left_s = _backoff_s(failed), since + self.retry_s - self._clock()
                last = streak >= self.tries and left_s > 0  # pause before an outage
                longest_s = left_s if last else max(left_s, backoff_s)
                self._sleep(min(max(backoff_s, error.retry_after_s), longest_s), error, streak)
            else:
                self._note_answer()
                return reply
        raise JudgeStopped(f"{self.what} is no longer waited for: the run is to stop")

    def _is_there(self, probe: Callable[[], None]) -> bool:
        """Whether ``probe`` is answered; False also where another thread is finding that out."""
        if not self._probing.acquire(blocking=False):
            return False
        try:
            probe()
            self._note_answer()
        except Unreached:
            return False
        finally:
            self._probing.release()
        return True

    def _note_answer(self) -> None:
        with self._lock:
            self._answers, self._answered_at = self._answers + 1, self._clock()
            if self._began is not None:
                took = _duration(self._clock() - self._began)
                self._began = None
                self._say(f"{self.what} answers again, after {took}; the run goes on")

    def _check_outage(self, error: Unreached, streak: int, since: float) -> None:
        now = self._clock()
        if streak >= self.tries and now >= since + self.retry_s:
            raise JudgeOutage(
                f"{self.what} could not be reached for {_duration(now - since)} "
                f"(config.judge.retry_s = {self.retry_s:g}): {error}. Start it again, or "
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
                    f"and tries again, for {_duration(self.retry_s)}"
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
