"""One rollout's requests on their way through the device.

The host hands rows to the device for a few tokens, takes what was drawn, lets finished rows go and
fills their places from the queue. Nothing but the cache stays on the device between two calls, so a
batch may be made of any rows: it shrinks as they finish.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from waltzjax.model.decode import generation_params
from waltzjax.rollout.batches import page_arrays, piece_arrays, row_arrays
from waltzjax.rollout.programs import NOT_FINITE, RUNNING, STOPPED, Outcome
from waltzjax.rollout.requests import Event, Request, Tokens, problem
from waltzjax.rollout.schedule import Row, Schedule

if TYPE_CHECKING:
    from waltzjax.rollout.engine import Engine

REFILL_PART = 16  # the host looks once this part of the slots, 1/16, is free


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

    def shown(self) -> dict[str, float]:
        """What a person watches."""
        return {"tokens/s": self.tokens_per_s, "active": self.active, "queue": self.waiting}


class Session:
    """Weights, cache and requests of one rollout; a context, at whose end they are let go."""

    def __init__(self, engine: Engine, models: Mapping[str, Any]):
        self._engine = engine
        self._params = generation_params(engine.cfg, engine.mesh, models)
        self._cache = engine.programs.new_cache()
        self._schedule = Schedule(
            groups=engine.groups, slots=engine.slots, pages=engine.pages,
            page_size=engine.page_size,
        )  # fmt: skip
        self._known: set[Any] = set()
        self._events: list[Event] = []
        self._count: Counter[str] = Counter()
        self._began = 0.0

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
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
        wrong = problem(
            request, longest=self._engine.longest, vocabulary=self._engine.cfg.vocab_size,
            models=tuple(self._params), decodes=self._engine.decode is not None,
        )  # fmt: skip
        if wrong:
            self._events.append(Event(request.id, (), Tokens((), (), "error", error=wrong)))
        else:
            self._schedule.waiting.append(Row(request))

    def cancel(self, request_id: Any) -> None:
        """Drop a request; nothing more is heard of it."""
        self._schedule.cancel(request_id)
        self._known.discard(request_id)
        self._events = [e for e in self._events if e.id != request_id]

    def stream(self) -> Iterator[Event]:
        """News as they come, until no request is left."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if event.result:
                    self._known.discard(event.id)
                yield event
            self._admit()
            if not self._schedule.active:
                return
            self._draw()

    def finished(self) -> Iterator[tuple[Any, Tokens]]:
        """(id, result) of each request as soon as it ends, until none is left."""
        for event in self.stream():
            if event.result:
                yield event.id, event.result

    def stats(self) -> Stats:
        seconds = time.monotonic() - self._began if self._began else 0.0
        count = self._count
        return Stats(
            seconds, count["tokens"], count["tokens"] / max(seconds, 1e-9), self._schedule.active,
            len(self._schedule.waiting), count["tokens"] / max(count["row steps"], 1),
            count["cached"], count["shared"],
        )  # fmt: skip

    def compile(self) -> None:
        """Run every program once, on padding."""
        engine = self._engine
        groups: list[list] = [[]] * engine.groups
        for params in self._params.values():
            for width in engine.prefill_widths:
                arrays = piece_arrays(groups, width, engine.page_size, engine.table)
                self._cache = engine.programs.prefill(params, self._cache, *engine.place(arrays))
            for width in engine.decode_widths:
                rows = engine.place(row_arrays(groups, width, engine.table, ()))
                self._cache, _ = engine.programs.decode(
                    params, self._cache, rows, np.int32(1), np.int32(0)
                )
        for width in engine.prefill_widths:
            arrays = page_arrays(groups, width, absent=(0, engine.pages))
            self._cache = engine.programs.copy(self._cache, *engine.place(arrays))
            self._cache = engine.programs.wipe(self._cache, engine.place(arrays[1:])[0])

    def _admit(self) -> None:
        """Fill free slots, and cache the texts of those who came in."""
        engine, todo = self._engine, self._schedule.admit()
        for model in {piece.row.request.model: 0 for some in todo.pieces for piece in some}:
            pieces = [[p for p in some if p.row.request.model == model] for some in todo.pieces]
            for part, width in engine.batches(pieces):
                arrays = piece_arrays(part, width, engine.page_size, engine.table)
                self._cache = engine.programs.prefill(
                    self._params[model], self._cache, *engine.place(arrays)
                )
                self._count["cached"] += sum(len(p.token_ids) for some in part for p in some)
        for part, width in engine.batches(todo.copies):
            arrays = page_arrays(part, width, absent=(0, engine.pages))
            self._cache = engine.programs.copy(self._cache, *engine.place(arrays))
        self._schedule.copied()
        self._count["shared"] += todo.found

    def _draw(self) -> None:
        """A few tokens for the rows of one model, the one that has most: a batch of few rows costs
        a device nearly as much."""
        engine, schedule = self._engine, self._schedule
        counts = schedule.by_model()
        model = max(counts, key=lambda name: (counts[name], name))
        schedule.grow(model, engine.steps)
        rows = [_within(engine.pages, some, model) for some in schedule.rows]
        active = sum(map(len, rows))
        if not active:  # all sent back for want of pages, which others have now
            return
        longest = max(map(len, rows))
        width = min(w for w in engine.decode_widths if w >= longest)
        narrower = [w * engine.groups for w in engine.decode_widths if w < width]
        # Back to the host once some slots are free, or a narrower batch would do.
        some_free = active - max(1, engine.slots * engine.groups // REFILL_PART)
        leave_at = min(max([some_free, *narrower[:1]]), active - 1)
        batch = engine.place(row_arrays(rows, width, engine.table, engine.stop_ids))
        self._cache, outcome = engine.programs.decode(
            self._params[model], self._cache, batch, np.int32(engine.steps), np.int32(leave_at),
        )  # fmt: skip
        drawn = Outcome(*jax.device_get(outcome))
        self._count["row steps"] += int(drawn.steps) * width * engine.groups
        spoilt: list[list[tuple[int]]] = [[] for _ in rows]
        for group, some in enumerate(rows):
            for b, row in enumerate(some, group * width):
                spoilt[group] += [(page,) for page in self._take(group, row, drawn, b)]
        for part, width in engine.batches(spoilt):
            arrays = page_arrays(part, width, absent=(engine.pages,))
            self._cache = engine.programs.wipe(self._cache, *engine.place(arrays))

    def _take(self, group: int, row: Row, drawn: Outcome, b: int) -> list[int]:
        """Give a row what was drawn for it in row ``b`` of a batch; pages to be wiped."""
        count, state = int(drawn.count_B[b]), int(drawn.state_B[b])
        row.token_ids += drawn.token_BN[b, :count].tolist()
        row.logprobs += drawn.logp_BN[b, :count].tolist()
        row.reach += drawn.reach_BN[b, :count].tolist()
        self._count["tokens"] += count
        stop = self._stopped_by_text(row, count)
        if stop:
            row.cut(stop)
            state = STOPPED
        result, spoilt = None, []
        if state == NOT_FINITE:
            where = f"the logits after {row.position + 1} tokens are not finite"
            result, spoilt = row.result("error", where), self._schedule.discard(group, row)
        elif state != RUNNING:
            result = row.result("stop" if state == STOPPED else "length")
            self._schedule.leave(group, row)
        new, row.told = tuple(row.token_ids[row.told :]), len(row.token_ids)
        if new or result:
            self._events.append(Event(row.request.id, new, result))
        return spoilt

    def _stopped_by_text(self, row: Row, count: int) -> int:
        """With how many tokens the text first holds a stop string; 0: it does not."""
        strings, decode = row.request.sampling.stop_strings, self._engine.decode
        if not strings or decode is None:
            return 0

        def holds(tokens: int) -> bool:
            text = decode(row.token_ids[:tokens])
            return any(s in text for s in strings)

        total = len(row.token_ids)
        if not holds(total):
            return 0
        return next(n for n in range(total - count + 1, total + 1) if holds(n))


def _within(pages: int, rows: Sequence[Row], model: str) -> list[Row]:
    """Those of the model's rows, the first ones, that use no more pages together: one that several
    of them share counts for each."""
    found: list[Row] = []
    for row in rows:
        if row.request.model == model:
            pages -= len(row.pages)
            if pages < 0:
                break
            found.append(row)
    return found
