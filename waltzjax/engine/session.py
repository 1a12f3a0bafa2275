"""One rollout's requests on their way through the device.

The host hands rows to the device for a few tokens, takes what was drawn, lets finished rows go and
fills their places from the queue. Nothing but the cache stays on the device between two calls, so a
batch may be made of any rows: it shrinks as they finish.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from waltzjax.engine.batches import copy_arrays, guess_arrays, piece_arrays
from waltzjax.engine.programs import NOT_FINITE, RUNNING, STOPPED, Outcome
from waltzjax.engine.requests import Event, Request, Tokens
from waltzjax.engine.scheduler import Schedule, SequenceState
from waltzjax.engine.shape import GUESSES, EngineShape
from waltzjax.engine.stop_strings import UnreadableTokens, stopped_by_text
from waltzjax.model.decode import generation_params

REFILL_PART = 16  # the host looks once this part of the slots, 1/16, is free
WORTH = 2  # guesses a row that are worth their time
PATIENCE = 6  # draws that a model's rows are passed over at most, while there are two models


class Stats(NamedTuple):
    """How far a session is."""

    seconds: float  # since its first request
    tokens: int  # drawn
    tokens_per_s: float
    active: int  # rows being decoded
    waiting: int  # requests without a row
    occupancy: float  # tokens drawn, of those that batches were computed for; in [0, 1]
    cached_tokens: int  # of texts, that keys and values were computed of
    shared_tokens: int  # of texts, that were found in the cache
    preempted: int  # rows sent back to the queue for want of pages; they are continued later

    def shown(self) -> dict[str, float]:
        """The figures that a person watches."""
        return {"tokens/s": self.tokens_per_s, "active": self.active, "queue": self.waiting}


class InflightBatch(NamedTuple):
    """A batch on the device."""

    rows: list[list[SequenceState]]  # of each group
    width: int
    outcome: Outcome


class Session:
    """Weights, cache and requests of one rollout; a context, at whose end they are let go."""

    def __init__(self, engine: EngineShape, models: Mapping[str, Any]):
        self._engine = engine
        self._params = generation_params(engine.cfg, engine.mesh, models)
        self._cache = engine.programs.new_cache()
        self._schedule = Schedule(
            groups=engine.groups, slots=engine.slots, pages=engine.pages, page_size=engine.page_size
        )
        self._known: set[Any] = set()
        self._events: list[Event] = []
        self._inflight: InflightBatch | None = None
        self._count: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()  # by model: draws since its last that rows waited
        self._began = 0.0

    @property
    def longest(self) -> int:
        """Tokens of the longest text, prompt and answer together."""
        return self._engine.longest

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the weights and the cache go."""
        self._params, self._cache = {}, None

    def submit(self, request: Request) -> None:
        """Put a request at the end of the queue; also while results are being read. One that cannot
        be served comes back as an error, like any other result.

        Raises:
          ValueError: a request of this id is under way.
        """
        if request.id in self._known:
            raise ValueError(f"request {request.id!r}: one of this id is under way")
        self._began = self._began or time.monotonic()
        self._known.add(request.id)
        try:
            row = SequenceState(self._engine.checked(request, self._params))
        except ValueError as error:
            self._events.append(Event(request.id, (), Tokens((), (), "error", error=str(error))))
        else:
            self._schedule.waiting.append(row)

    def cancel(self, request_id: Any) -> None:
        """Drop a request; nothing more is heard of it."""
        self._schedule.cancel(request_id)
        self._known.discard(request_id)
        self._events = [e for e in self._events if e.id != request_id]

    def stream(self) -> Iterator[Event]:
        """News as they come, until no request is left. The device goes on as news are read, unless
        rows have ended and there are not as many requests to take their places: what is asked on
        reading of them shall come along."""
        while True:
            ended = self._collect()
            if self._schedule.crowded or not ended:
                self._dispatch()
            yield from self._pop_events()
            if self._inflight is None:  # what was asked meanwhile comes along
                self._dispatch()
            if self._inflight is None and not self._events:
                return

    def dispatch(self, steps: int) -> bool:
        """Have the device draw up to ``steps`` tokens a row, for those who wait too, while the
        caller does other work; whether there was anything to draw. ``collect`` comes next."""
        self._dispatch(steps)
        return self._inflight is not None

    def collect(self) -> list[Event]:
        """The news since the last call, once the device has drawn what ``dispatch`` asked for."""
        self._collect()
        return [*self._pop_events()]

    def _pop_events(self) -> Iterator[Event]:
        while self._events:
            event = self._events.pop(0)
            if event.result:
                self._known.discard(event.id)
            yield event

    def finished(self) -> Iterator[tuple[Any, Tokens]]:
        """(id, result) of each request as soon as it ends, until none is left."""
        for event in self.stream():
            if event.result:
                yield event.id, event.result

    def stats(self) -> Stats:
        seconds = time.monotonic() - self._began if self._began else 0.0
        count = self._count
        return Stats(
            seconds,
            count["tokens"],
            count["tokens"] / max(seconds, 1e-9),
            self._schedule.active,
            len(self._schedule.waiting),
            count["tokens"] / max(count["row steps"], 1),
            count["cached"],
            count["shared"],
            self._schedule.preempted,
        )

    def compile(self, guesses: bool = False) -> None:
        """Run every program once, on padding; those for ``guesses`` only with these."""
        engine = self._engine
        groups: list[list] = [[]] * engine.groups
        for params in self._params.values():
            for width in engine.prefill_widths:
                arrays = piece_arrays(groups, width, engine.page_size, engine.table)
                self._cache = engine.programs.prefill(params, self._cache, *engine.place(arrays))
            for width in engine.decode_widths:
                rows = engine.place(engine.row_arrays(groups, width, ()))
                self._cache, _ = engine.programs.decode(
                    params, self._cache, rows, np.int32(1), np.int32(0)
                )
                if guesses:
                    arrays = engine.place(guess_arrays(groups, {}, width, GUESSES))
                    self._cache, _ = engine.programs.verify(params, self._cache, rows, *arrays)
        for width in engine.copy_widths:
            arrays = copy_arrays(groups, width, engine.pages)
            self._cache = engine.programs.copy(self._cache, *engine.place(arrays))

    def _admit(self) -> None:
        """Fill free slots, and cache the texts of those who came in."""
        engine, todo = self._engine, self._schedule.admit()
        for model in {piece.row.request.model: 0 for group in todo.pieces for piece in group}:
            pieces = [[p for p in group if p.row.request.model == model] for group in todo.pieces]
            for part, width in engine.batches(pieces, engine.prefill_widths):
                arrays = piece_arrays(part, width, engine.page_size, engine.table)
                self._cache = engine.programs.prefill(
                    self._params[model], self._cache, *engine.place(arrays)
                )
                self._count["cached"] += sum(len(p.token_ids) for group in part for p in group)
        for part, width in engine.batches(todo.copies, engine.copy_widths):
            arrays = copy_arrays(part, width, engine.pages)
            self._cache = engine.programs.copy(self._cache, *engine.place(arrays))
        self._schedule.copied()
        self._count["shared"] += todo.num_shared_tokens

    def _dispatch(self, steps: int = 0) -> None:
        """Fill free slots and have the device draw a few tokens for the rows of one model: up to
        ``steps``, 0: the engine's."""
        self._admit()
        engine, schedule = self._engine, self._schedule
        steps = steps or engine.steps
        for model in self._models():
            guesses = self._guesses(model)
            schedule.grow(model, 1 + max(map(len, guesses.values())) if guesses else steps)
            rows = [[r for r in group if r.request.model == model] for group in schedule.rows]
            if any(rows):  # not all were sent back for want of pages
                break
        else:
            return
        self._passed += Counter(schedule.by_model().keys())
        self._passed[model] = 0
        active, longest = sum(map(len, rows)), max(map(len, rows))
        width = min(w for w in engine.decode_widths if w >= longest)
        batch = engine.place(engine.row_arrays(rows, width, engine.stop_ids))
        params = self._params[model]
        if guesses:
            arrays = engine.place(guess_arrays(rows, guesses, width, GUESSES))
            self._cache, outcome = engine.programs.verify(params, self._cache, batch, *arrays)
            self._inflight = InflightBatch(rows, width, outcome)
            return
        narrower = [w * engine.groups for w in engine.decode_widths if w < width]
        # Back to the host once some slots are free, or a narrower batch would do.
        some_free = active - max(1, engine.slots * engine.groups // REFILL_PART)
        leave_at = max(0, min(max([some_free, *narrower[:1]]), active - 1))
        self._cache, outcome = engine.programs.decode(
            params, self._cache, batch, np.int32(steps), np.int32(leave_at)
        )
        self._inflight = InflightBatch(rows, width, outcome)

    def _guesses(self, model: str) -> dict[SequenceState, Sequence[int]]:
        """What may come next for the model's rows; nothing where too little was guessed to be worth
        its time."""
        rows = [row for group in self._schedule.rows for row in group if row.request.model == model]
        most = min(GUESSES, self._engine.page_size - 1)  # a row grows by a page at most
        guesses = {
            row: row.request.guess(row.token_ids, min(most, row.left - 1))
            for row in rows
            if row.request.guess
        }
        worth = sum(map(len, guesses.values())) >= WORTH * len(rows)
        return guesses if worth else {}

    def _models(self) -> list[str]:
        """Those that have rows: the one with most first, as a batch of few costs a device nearly as
        much; the longer one has waited, the fewer will do, in the end any."""
        counts, passed = self._schedule.by_model(), self._passed

        def order(name: str) -> tuple[bool, int, str]:
            return passed[name] < PATIENCE, -counts[name] * (1 + passed[name]), name

        return sorted(counts, key=order)

    def _collect(self) -> int:
        """Take what the device has drawn, if anything; how many rows have ended."""
        if self._inflight is None:
            return 0
        active = self._schedule.active
        (rows, width, outcome), self._inflight = self._inflight, None
        drawn = Outcome(*jax.device_get(outcome))
        self._count["row steps"] += int(drawn.steps) * width * self._engine.groups
        for group, group_rows in enumerate(rows):
            for b, row in enumerate(group_rows, group * width):
                if row in self._schedule.rows[group]:  # it was not cancelled meanwhile
                    self._take(group, row, drawn, b)
        return active - self._schedule.active

    def _take(self, group: int, row: SequenceState, drawn: Outcome, b: int) -> None:
        """Give a row what was drawn for it in row ``b`` of a batch."""
        count, state = int(drawn.count_B[b]), int(drawn.state_B[b])
        row.token_ids += drawn.token_BN[b, :count].tolist()
        row.logprobs += drawn.logp_BN[b, :count].tolist()
        row.cutoff_gap += drawn.cutoff_gap_BN[b, :count].tolist()
        self._count["tokens"] += count
        stop, spoilt, wrong = 0, state == NOT_FINITE, ""
        strings, decode = row.request.sampling.stop_strings, self._engine.decode
        if strings and decode:
            try:
                stop = stopped_by_text(row.token_ids, count, strings, decode)
            except UnreadableTokens as error:
                wrong = f"stop_strings: {error}"
        if stop:
            row.cut(stop)
            state = STOPPED
        elif spoilt:
            wrong = f"the logits after {row.position + 1} tokens are not finite"
        result = None
        if wrong:
            result = row.result("error", wrong)
        elif state != RUNNING:
            result = row.result("stop" if state == STOPPED else "length")
        if result:
            leave = self._schedule.discard if spoilt else self._schedule.leave
            leave(group, row)
        new, row.num_reported = tuple(row.token_ids[row.num_reported :]), len(row.token_ids)
        if new or result:
            self._events.append(Event(row.request.id, new, result))
