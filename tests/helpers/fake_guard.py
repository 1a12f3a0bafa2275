"""A guard whose answers are made up, and a uvicorn on loopback that serves it."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from waltzjax.serve.app import make_app
from waltzjax.serve.records import AGENTS, HOLD, Answer, Ask, Delta, Labels, Messages, Report
from waltzjax.serve.server import Server, address_of, bound_socket
from waltzjax.serve.service import Settings

PLAIN = Settings()
HTTP = httpx.Client(timeout=10)  # one for all: each reads certificates, which takes a while


class Flags(NamedTuple):
    enable: bool = True
    stage: int = 2
    rollout_pct: int = 100
    blocking: bool = False
    feedback_only: bool = True
    policy: Any = MappingProxyType({"weapons": "block"})


class Status(NamedTuple):
    ready: bool = True
    stage: int = 2
    degraded: str = ""
    models: tuple[str, ...] = ("conversation", "feedback")
    active: int = 0
    waiting: int = 0
    breaker: str = "closed"


TIMINGS = {"first": 12.5, "feedback": 20.0, "added": 20.0, "total": 32.5}
REPORT = Report(AGENTS, labels=Labels(False, False), rounds=1, timings_ms=TIMINGS)


@dataclasses.dataclass
class FakeGuard:
    """Answers "You said: TEXT" of the last message, and notes what it was asked.

    delay_s: before an answer. raises: in its place. report, finish_reason: of every answer.
    pieces: what a stream gives out, in place of the answer's words. held: a stream's first news
    wait for it.
    """

    delay_s: float = 0.0
    raises: Exception | None = None
    report: Report = REPORT
    finish_reason: str = "stop"
    pieces: list[Delta] | None = None
    now: Status = dataclasses.field(default_factory=Status)
    flags: Flags = dataclasses.field(default_factory=Flags)

    def __post_init__(self):
        self.calls: list[tuple[list[dict[str, str]], str, Ask | None]] = []
        self.modes: list[str] = []
        self.begun, self.cancelled, self.ended = 0, 0, 0

    def status(self) -> Status:
        return self.now

    async def _work(self) -> None:
        self.begun += 1
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.raises:
            raise self.raises

    def _answer(self, messages: Messages, ask: Ask | None) -> Answer:
        text = f"You said: {messages[-1]['content']}"
        return Answer(text, self.report, self.finish_reason, 7, 3)

    async def arespond(self, messages, *, user="", ask=None) -> Answer:
        self.calls.append((messages, user, ask))
        await self._work()
        self.ended += 1
        return self._answer(messages, ask)

    async def acheck(self, messages, *, user="") -> Report:
        self.calls.append((messages, user, None))
        await self._work()
        return self.report

    async def astream(self, messages, *, user="", ask=None, mode=HOLD) -> AsyncIterator[Delta]:
        self.calls.append((messages, user, ask))
        self.modes.append(mode)
        await self._work()
        answer = self._answer(messages, ask)
        words = [Delta(word) for word in answer.text.split(" ")]
        spaced = [words[0], *(Delta(f" {delta.text}") for delta in words[1:])]
        for delta in spaced if self.pieces is None else self.pieces:
            yield delta
        self.ended += 1
        yield Delta("", answer=answer)

    def close(self, drain_s: float = 0.0) -> None:
        pass


@contextmanager
def running(guard: FakeGuard | None, settings: Settings, keys=(), drain_s: float = 0.0):
    """A block during which ``guard``, None: one that is still being loaded, is served on loopback;
    yields the server and its address."""
    app = make_app(guard, settings, keys)
    server = Server(app, app.state.service.traffic, drain_s)
    with bound_socket("127.0.0.1", 0) as listener:
        address = address_of(listener)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert wait_for(lambda: server.started)
        try:
            yield server, address
        finally:
            server.should_exit = True
            thread.join(10)


@contextmanager
def serving(guard: FakeGuard, settings: Settings = PLAIN, keys=()) -> Iterator[str]:
    """A block during which ``guard`` is served on loopback; yields its address."""
    with running(guard, settings, keys) as (_, address):
        yield address


def idle(url: str, headers: dict[str, str] | None = None) -> bool:
    """Whether all requests have ended and are counted, a moment after their last byte."""
    return wait_for(
        lambda: "waltzjax_in_flight 0.0" in HTTP.get(f"{url}/metrics", headers=headers).text
    )


def wait_for(condition, timeout_s: float = 5.0) -> bool:
    """Whether ``condition()`` holds within ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return bool(condition())
