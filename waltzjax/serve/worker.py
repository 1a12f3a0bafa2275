"""The engine in a thread of its own: coroutines ask, one session draws for all of them."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from waltzjax.engine.requests import Event, Guess, Request, Sampling, Tokens
from waltzjax.engine.session import Session, Stats
from waltzjax.model.decode import generation_params
from waltzjax.run.runtime import Runtime
from waltzjax.serve.records import AgentBusy, AgentFailed

DRAW_S = 0.03  # that a draw may take, about: who comes meanwhile waits for its end
CRASHES = 5  # in a row, without a result between them, that end the worker
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 30.0  # before a new session, doubled each time
RECENT = 64  # results that the estimate of a wait goes by

OnTokens = Callable[[Sequence[int]], bool]
log = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class _Call:
    """A coroutine that waits. Its fields are its event loop's alone."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Tokens]
    on_tokens: OnTokens | None
    token_ids: list[int] = dataclasses.field(default_factory=list)


class _Cancel(NamedTuple):
    number: int


class Worker:
    """One session for the models of every role, and the thread that it runs in.

    runtime: whose engine draws.
    params: the parameters of each role.
    max_waiting: requests beyond the engine's rows that may be open; more are refused, unless they
      are ``admitted``.
    """

    def __init__(self, runtime: Runtime, params: Mapping[str, Any], *, max_waiting: int):
        self._engine = runtime.engine
        self._params = generation_params(runtime.engine.cfg, runtime.engine.mesh, params)
        self._most_open = runtime.engine.slots * runtime.engine.groups + max_waiting
        self._inbox: queue.SimpleQueue[Request | _Cancel | None] = queue.SimpleQueue()
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count()
        self._ended: collections.deque[float] = collections.deque(maxlen=RECENT)
        self._stats: Stats | None = None
        self._crashes = 0
        self._closing, self._abandoned, self._over = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def longest(self) -> int:
        """Tokens of the longest text, prompt and answer together."""
        return self._engine.longest

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not self._closing.is_set()

    @property
    def active(self) -> int:
        """Requests that have a row."""
        return self._stats.active if self._stats else 0

    @property
    def waiting(self) -> int:
        """Requests that have none yet."""
        return max(0, len(self._calls) - self.active)

    def start(self, *, warm_up: bool = True) -> None:
        """Compile all programs, unless ``warm_up`` is false, and begin to take requests."""
        if warm_up:
            self._engine.warm_up(self._params, guesses=True)
        self._thread.start()

    def stop(self, drain_s: float) -> None:
        """Take no more requests, finish those that are open within ``drain_s`` seconds, give up
        the others. Blocks: an event loop calls it in another thread."""
        self._closing.set()
        self._inbox.put(None)
        if self._thread.ident is None:
            return
        self._thread.join(drain_s)
        self._abandoned.set()
        self._inbox.put(None)
        self._thread.join()

    async def generate(
        self,
        role: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        seed: int,
        on_tokens: OnTokens | None = None,
        guess: Guess | None = None,
        *,
        admitted: bool = False,
    ) -> Tokens:
        """Continue ``prompt``. To cancel the coroutine is to cancel the request: its row is free
        before the next draw.

        on_tokens: all tokens so far, each time that there are more -> whether they are enough; the
          request ends with them, as if by a stop token. Called on the event loop.
        guess: see ``engine.requests.Request``. Called in the engine's thread.
        admitted: see ``records.Ask``.

        Raises:
          AgentBusy: too many requests are open.
          AgentFailed: the engine cannot serve the request, has crashed or is stopped.
        """
        if not self.alive:
            raise AgentFailed("the engine is stopped")
        if not admitted and len(self._calls) >= self._most_open:
            raise AgentBusy(self._wait_s())
        loop = asyncio.get_running_loop()
        number, call = next(self._numbers), _Call(loop, loop.create_future(), on_tokens)
        self._calls[number] = call
        self._inbox.put(Request(number, role, prompt, sampling, seed, guess))
        if self._over.is_set():  # the thread ended meanwhile, and may not have seen the call
            call.future.cancel()
            self._calls.pop(number, None)
            raise AgentFailed("the engine is stopped")
        try:
            return await call.future
        finally:
            if self._calls.pop(number, None):
                self._inbox.put(_Cancel(number))

    def _wait_s(self) -> float:
        """Seconds until the open requests have ended, at the pace of the recent ones."""
        ended = list(self._ended)
        if len(ended) < 2:
            return 1.0
        pace_s = (time.monotonic() - ended[0]) / len(ended)
        return min(60.0, max(1.0, pace_s * (len(self._calls) - self._most_open + 1)))

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            self._serve_until_stopped()
        finally:  # whatever ended it: nobody waits for a thread that is no more
            self._over.set()
            self._fail_all("the engine is stopped")

    def _serve_until_stopped(self) -> None:
        while not self._abandoned.is_set() and self._crashes < CRASHES:
            try:
                with self._engine.session(self._params) as session:
                    self._serve(session)
                break
            except BaseException as error:  # a panic in a compiled library is no Exception
                log.exception("the engine has crashed")
                self._crashes, self._stats = self._crashes + 1, None
                self._fail_all(f"the engine has crashed ({type(error).__name__})")
                back_off_s = min(BACK_OFF_S * 2 ** (self._crashes - 1), LONGEST_BACK_OFF_S)
                self._closing.wait(back_off_s)

    def _serve(self, session: Session) -> None:
        """Draw for whoever asks, until the worker is stopped."""
        events: list[Event] = []
        steps = self._engine.steps
        while not self._abandoned.is_set():
            began_s = time.monotonic()
            drawing = session.dispatch(steps)
            self._stats = session.stats()
            self._tell(events)
            events = []  # no reply is kept here while nobody asks; ``drafts.Drafts`` keeps counts
            if not drawing:
                if self._closing.is_set() and self._inbox.empty():
                    return
                self._take(session, self._inbox.get())
            events = session.collect()
            if drawing:
                steps = paced(steps, time.monotonic() - began_s, self._engine.steps)
            while not self._inbox.empty():
                self._take(session, self._inbox.get())

    def _take(self, session: Session, item: Request | _Cancel | None) -> None:
        if isinstance(item, _Cancel):
            session.cancel(item.number)
        elif item and item.id in self._calls:  # it was not cancelled, nor has it failed, meanwhile
            session.submit(item)

    def _tell(self, events: Sequence[Event]) -> None:
        """Hand the news to the event loops, all that one loop waits for together."""
        news: dict[asyncio.AbstractEventLoop, list[tuple[_Call, Event]]] = {}
        for event in events:
            call = self._calls.get(event.id)
            if event.result:
                self._calls.pop(event.id, None)
                self._ended.append(time.monotonic())
                self._crashes = 0
            if call:
                news.setdefault(call.loop, []).append((call, event))
        for loop, items in news.items():
            _call_soon(loop, _deliver, items)

    def _fail_all(self, reason: str) -> None:
        for number in [*self._calls]:
            if call := self._calls.pop(number, None):
                _call_soon(call.loop, _fail, call, reason)


def paced(steps: int, took_s: float, most: int) -> int:
    """Tokens a row for the next draw, 1 to ``most``, where the last one, of ``steps``, took so
    long: as many as take ``DRAW_S``, at most twice as many as before."""
    return max(1, min(most, round(steps * min(2.0, DRAW_S / max(took_s, 1e-6)))))


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    """Call the function on ``loop``, unless that has ended and with it whoever waits there."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _fail(call: _Call, reason: str) -> None:
    if not call.future.done():
        call.future.set_exception(AgentFailed(reason))


def _deliver(items: Sequence[tuple[_Call, Event]]) -> None:
    for call, event in items:
        if not call.future.done():
            try:
                _hear(call, event)
            except Exception as error:  # of the caller's function: it is the caller's alone
                call.future.set_exception(error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic in a compiled library
                log.exception("a listener has crashed")
                _fail(call, f"a listener has crashed ({type(error).__name__})")


def _hear(call: _Call, event: Event) -> None:
    """Take an event's tokens; end the call where they are enough."""
    result = event.result
    if result and result.finish_reason == "error":
        raise AgentFailed(result.error)
    call.token_ids += event.token_ids
    if call.on_tokens and call.on_tokens(call.token_ids):
        result = Tokens(tuple(call.token_ids), (), "stop")
    if result:
        call.future.set_result(result)
