"""Time of a step by part; the parts add up to the step.

Every second from one ``lap`` to the next belongs to exactly one part. Two sources say which:

- the host: ``with part("generate"):`` around what it does or waits for. What runs beside it, a
  judge's threads during generation say, takes no time of its own: it counts once it is waited for.
- the device: ``program("score", f, ...)`` calls a jitted function, which returns before the device
  is done. A thread of the clock waits for the outputs and notes when each program ends; programs
  end in the order in which they were called. So no wait is added to the step, and the device's
  queue never runs dry for the sake of a measurement. Of the host's time outside of any ``part``
  that during which a program is under way is the program's; the rest is "host".

The clock that runs is a context variable: both functions cost nothing, and do nothing else, where
none runs: in evaluations, and in other threads.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, Self

HOST = "host"
# generate: rollouts. judge: waiting for verdicts or verification. score: the policy's own
# log-probs. reference: the reference's. save: checkpoints. host: all the rest.
PARTS = ("generate", "judge", "score", "reference", "update", "save", HOST)
DRAIN_S = 1.0  # how long a lap waits for a program that should have ended

_running: ContextVar[Clock | None] = ContextVar("clock", default=None)


class Lap(NamedTuple):
    """Seconds since the lap before: in total, and by part; the parts' sum is the total."""

    seconds: float
    parts: dict[str, float]


class _Program(NamedTuple):
    part: str
    begun: float
    output: Any  # with ``block_until_ready``


class Clock:
    """A stage's clock, as a context; of the thread that enters it. ``now`` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._part, self._since = HOST, now()
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._free: list[tuple[float, float]] = []  # when the host was in no part, in this lap
        self._called = 0  # programs whose end no lap has seen
        self._todo: queue.SimpleQueue[_Program | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[str, float, float]] = queue.SimpleQueue()
        self._last_end = 0.0  # of a program
        self._watcher: threading.Thread | None = None
        self._token: Token[Clock | None] | None = None

    def switch(self, name: str) -> str:
        """Begin part ``name``; return the one that ends."""
        now, before = self._now(), self._part
        self._seconds[before] += now - self._since
        if before == HOST:
            self._free.append((self._since, now))
        self._part, self._since = name, now
        return before

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """A block whose time is no step's."""
        before = self.switch(HOST)
        token = _running.set(None)
        try:
            yield
        finally:
            _running.reset(token)
            self._part, self._since = before, self._now()

    def lap(self) -> Lap:
        """End a step. A program that has not ended by then has no time after this point."""
        self._part = self.switch(self._part)
        for name, start, end in self._busy():
            for a, b in self._free:
                moved = max(0.0, min(b, end) - max(a, start))
                self._seconds[name] += moved
                self._seconds[HOST] -= moved
        parts, self._free = self._seconds, []
        self._seconds = dict.fromkeys(PARTS, 0.0)
        parts[HOST] = max(parts[HOST], 0.0)  # rounding
        return Lap(sum(parts.values()), parts)

    def call(self, name: str, output: Any, begun: float) -> None:
        """Have a program, begun at ``begun``, belong to part ``name`` until ``output`` is there."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="clock", daemon=True)
            self._watcher.start()
        self._called += 1
        self._todo.put(_Program(name, begun, output))

    def now(self) -> float:
        return self._now()

    def _busy(self) -> Iterator[tuple[str, float, float]]:
        """When the device was at which part: the lap's programs, one after another."""
        while self._called:
            try:
                name, begun, end = self._ended.get(timeout=DRAIN_S)
            except queue.Empty:  # still under way: the next lap has the rest of it
                return
            self._called -= 1
            yield name, max(begun, self._last_end), end
            self._last_end = max(end, self._last_end)

    def _watch(self) -> None:
        while program := self._todo.get():
            # What went wrong on the device is raised where the result is used.
            with contextlib.suppress(Exception):
                program.output.block_until_ready()
            self._ended.put((program.part, program.begun, self._now()))
            del program  # it keeps the arrays

    def __enter__(self) -> Self:
        self._since, self._token = self._now(), _running.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token:
            _running.reset(self._token)
        self._todo.put(None)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """A block that is ``name``, one of ``PARTS``, of the step; within it another part may be."""
    clock = _running.get()
    if clock is None:
        yield
        return
    before = clock.switch(name)
    try:
        yield
    finally:
        clock.switch(before)


def program(
    name: str, function: Callable[..., Any], *args: Any, output: Callable[[Any], Any] | None = None
) -> Any:
    """``function(*args)``, whose time on the device is part ``name`` of the step.

    ``output`` chooses, of what the function returns, an array that no later program is given to
    overwrite; None: it returns one.
    """
    clock = _running.get()
    if clock is None:
        return function(*args)
    begun = clock.now()
    result = function(*args)
    clock.call(name, output(result) if output else result, begun)
    return result
