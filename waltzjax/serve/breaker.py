"""A circuit breaker: a part that fails again and again is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, OPENED, HALF_OPEN = "closed", "open", "half-open"


class Breaker:
    """Whether a part may be called; safe to ask from several threads.

    "closed": it may. After ``failures`` in a row "open": it may not, for ``pause_s`` seconds. Then
    "half-open": one call may try it, whose success closes the breaker and whose failure opens it
    for as long again. Each call that ``allow`` lets through ends in one of ``succeeded``,
    ``failed`` and ``abandoned``. A call that began before the breaker opened is no news to it then:
    let ``pause_s`` be longer than a call may take, or it may be taken for the one that tries.
    """

    def __init__(
        self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._pause_s, self._clock = failures, pause_s, clock
        self._lock = threading.Lock()
        self._failed = 0  # in a row
        self._until: float | None = None  # the end of the pause; None: closed
        self._probing = False  # the one call of a half-open breaker is under way

    @property
    def state(self) -> str:
        with self._lock:
            return self._state()

    def allow(self) -> bool:
        """Whether a call may be made now. True for one caller alone while half-open."""
        with self._lock:
            state = self._state()
            if state == HALF_OPEN and not self._probing:
                self._probing = True
                return True
            return state == CLOSED

    def succeeded(self) -> None:
        with self._lock:
            if self._until is None or self._probing:
                self._failed, self._until, self._probing = 0, None, False

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            if self._probing or (self._until is None and self._failed >= self._most):
                self._until, self._probing = self._clock() + self._pause_s, False

    def abandoned(self) -> None:
        """Say that a call ended with no news of the part, as its caller left: another may try."""
        with self._lock:
            self._probing = False

    def _state(self) -> str:
        if self._until is None:
            return CLOSED
        return HALF_OPEN if self._clock() >= self._until else OPENED
