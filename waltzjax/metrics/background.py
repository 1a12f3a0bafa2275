"""A backend on a thread of its own: it can neither stall a step nor end a run."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

QUEUE = 1000  # calls that wait for a backend at most: minutes, of a run with a step a second
RETRY_S = (1.0, 5.0)  # waits before a call is tried again; after them the backend is given up
FLUSH_S = 10.0  # seconds between flushes, where records keep coming
CLOSE_S = 20.0  # how long the end of a stage waits for a backend


class Backend(Protocol):
    """Where figures go, under clu's method names. Any call may block, and raise anything."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None: ...
    def write_texts(self, step: int, texts: Mapping[str, str]) -> None: ...
    def write_hparams(self, hparams: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Background:
    """The backend that ``begin`` opens, called from a thread, in order.

    What does not fit the queue is left out and counted; a call that raises is tried again, then
    the backend is given up. ``say`` is told of each once, with what to do. ``abandon`` is called
    where the backend does not end in time: nothing of it may keep the process from ending.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[], Backend],
        say: Callable[[str], None],
        *,
        abandon: Callable[[], None] = lambda: None,
        room: int = QUEUE,
        retry_s: tuple[float, ...] = RETRY_S,
    ) -> None:
        self.name, self.failures, self.left_out, self.given_up = name, 0, 0, False
        self._begin, self._say, self._room, self._retry_s = begin, say, room, retry_s
        self._abandon = abandon
        self._backend: Backend | None = None
        self._calls: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._news, self._closing = threading.Condition(), threading.Event()
        self._flushed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"metrics {name}", daemon=True)
        self._thread.start()

    def call(self, method: str, *args: Any) -> None:
        """Have a method of the backend called; returns at once."""
        with self._news:
            if self.given_up:
                self.left_out += 1
                return
            full = len(self._calls) >= self._room
            if full:
                self.left_out += 1
            else:
                self._calls.append((method, args))
                self._news.notify()
        if full and self.left_out == 1:
            self._tell(f"is too slow: {self._room} records wait for it, and more are left out")

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Have all that waits written, and the backend closed; wait at most ``timeout_s``."""
        with self._news:
            self._closing.set()
            self._news.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            with self._news:
                self.left_out += len(self._calls)
                self._calls.clear()
                self.given_up = True
            self._abandon()
            self._tell(f"did not end within {timeout_s:g} s: its last records may be missing")

    def _run(self) -> None:
        while call := self._next():
            self._try(*call)
        if self._backend:
            self._try("close", ())

    def _next(self) -> tuple[str, tuple[Any, ...]] | None:
        """The next call; None: there will be none."""
        with self._news:
            while not self._calls and not self._closing.is_set():
                if self._backend and self._flush_due():
                    return "flush", ()
                self._news.wait(FLUSH_S if self._backend else None)
            return self._calls.popleft() if self._calls else None

    def _flush_due(self) -> bool:
        if time.monotonic() - self._flushed < FLUSH_S:
            return False
        self._flushed = time.monotonic()
        return True

    def _try(self, method: str, args: tuple[Any, ...]) -> None:
        """Call the backend; again after a while where it raises; else give it up."""
        for wait_s in (*self._retry_s, None):
            if self.given_up:
                return
            try:
                self._backend = self._backend or self._begin()
                getattr(self._backend, method)(*args)
                return
            except Exception as error:  # whatever a library may raise
                self.failures += 1
                why = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"[:300]
                if wait_s is not None:
                    self._closing.wait(wait_s)
        with self._news:
            if self.given_up:  # the end did not wait for it
                return
            self.given_up = True
            self.left_out += 1 + len(self._calls)
            self._calls.clear()
        self._tell(f"fails ({why}) and is given up after {self.failures} tries")

    def _tell(self, what: str) -> None:
        self._say(
            f"note: {self.name} of config.metrics.writers {what}; the run goes on, and "
            "metrics.jsonl has every record. Mend it, and a restart of the run writes there again"
        )
