"""SIGTERM and Ctrl-C as a request to stop between two steps, so that no step is cut in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_RULE = 3  # of a run that a rule ended, and of a monitor where a critical rule stands


class Stopped(Exception):
    """The run was asked to stop, and what it had done is saved. ``signum`` 0: not by a signal, but
    by a rule of its config or a request in its directory."""

    def __init__(self, message: str, signum: int = 0):
        super().__init__(message)
        self.exit_status = 128 + signum if signum else EXIT_RULE  # the former as a shell reports it


class StopSignals:
    """Within the block a first SIGTERM or Ctrl-C is only noted; a second Ctrl-C acts at once."""

    def __init__(self, also: threading.Event | None = None) -> None:
        """``also`` is set with the first signal, for threads that wait for something."""
        self._also = also
        self.received = 0  # the signal's number
        self._saved = ""  # within ``at_once``: what a stop there may say
        self._before: dict[int, Any] = {}

    def check(self, signum: int, saved: str) -> None:
        """Raise Stopped if ``signum`` is a signal's number; ``saved`` says where the run stands."""
        if signum:
            raise Stopped(f"stopped by {signal.Signals(signum).name}: {saved}", signum)

    @contextmanager
    def at_once(self, saved: str) -> Iterator[None]:
        """A block that may be left at any point: a signal raises Stopped there and then."""
        self._saved = saved
        try:
            self.check(self.received, saved)
            yield
        finally:
            self._saved = ""

    def _note(self, signum: int, _: FrameType | None) -> None:
        if signum == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signum
        if self._also and not self._also.is_set():  # setting it twice would not return
            self._also.set()
        if self._saved:
            self.check(signum, self._saved)

    def __enter__(self) -> Self:
        for signum in SIGNALS:
            try:
                self._before[signum] = signal.signal(signum, self._note)
            except ValueError:  # not the main thread: leave signals to whoever has them
                return self
        return self

    def __exit__(self, *_: Any) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
