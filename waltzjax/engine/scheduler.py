"""Which requests are decoded, in which pages: all that the host decides.

Rows are spread over groups, one for each device along the mesh's data and fsdp axes; a group has
pages of its own, numbered from 0.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from typing import Any, NamedTuple

from waltzjax.engine.page_pool import Key, Pages, extended
from waltzjax.engine.requests import Request, Tokens


@dataclasses.dataclass(eq=False)
class SequenceState:
    """A request under way, and what has been drawn for it."""

    request: Request
    token_ids: list[int] = dataclasses.field(default_factory=list)
    logprobs: list[float] = dataclasses.field(default_factory=list)
    cutoff_gap: list[float] = dataclasses.field(default_factory=list)
    pages: list[int] = dataclasses.field(default_factory=list)  # of its group, in order
    num_reported: int = 0  # tokens that events have reported
    _keys: list[Key] = dataclasses.field(default_factory=list)  # as far as they were asked for

    @property
    def known(self) -> tuple[int, ...]:
        """Prompt and tokens; all but the last are cached."""
        return (*self.request.prompt, *self.token_ids)

    @property
    def position(self) -> int:
        """Where the last of them stands; it goes into the model next."""
        return len(self.request.prompt) + len(self.token_ids) - 1

    @property
    def newest(self) -> int:
        return (self.token_ids or self.request.prompt)[-1]

    @property
    def left(self) -> int:
        """Tokens it may still get."""
        return self.request.sampling.max_new_tokens - len(self.token_ids)

    def page_keys(self, size: int) -> list[Key]:
        """The keys of the full pages of the cached tokens."""
        cached = self.known[:-1]
        full = len(cached) // size
        for page in range(len(self._keys), full):
            before = self._keys[-1] if self._keys else self.request.model.encode()
            self._keys.append(extended(before, cached[page * size : (page + 1) * size]))
        return self._keys[:full]

    def whole_key(self, size: int) -> Key:
        """The key of all cached tokens."""
        keys = self.page_keys(size)
        rest = self.known[len(keys) * size : -1]
        if keys and not rest:
            return keys[-1]
        return extended(keys[-1] if keys else self.request.model.encode(), rest)

    def cut(self, count: int) -> None:
        """Keep the first ``count`` tokens."""
        for column in (self.token_ids, self.logprobs, self.cutoff_gap):
            del column[count:]

    def result(self, finish_reason: str, error: str = "") -> Tokens:
        wanted = self.request.sampling.logprobs
        logprobs, cutoff_gap = (
            tuple(x) if wanted else () for x in (self.logprobs, self.cutoff_gap)
        )
        return Tokens(tuple(self.token_ids), logprobs, finish_reason, cutoff_gap, error)


class Piece(NamedTuple):
    """A page's worth of known tokens to compute keys and values of."""

    row: SequenceState
    start: int  # position of the first, a multiple of the page size
    token_ids: tuple[int, ...]


@dataclasses.dataclass
class Admission:
    """The work to be done before newly admitted rows are decoded, by group: pieces in order, then
    copies of pages (from, to)."""

    pieces: list[list[Piece]]
    copies: list[list[tuple[int, int]]]
    num_shared_tokens: int = 0  # tokens whose keys and values were there already


class Schedule:
    """Rows waiting and rows being decoded.

    Args:
      groups, slots: at most ``slots`` rows in each of ``groups`` groups.
      pages, page_size: of each group.
    """

    def __init__(self, *, groups: int, slots: int, pages: int, page_size: int):
        self.slots, self.page_size = slots, page_size
        self.waiting: deque[SequenceState] = deque()
        self.rows: list[list[SequenceState]] = [[] for _ in range(groups)]
        self._pages = [Pages(pages) for _ in range(groups)]
        self._shared: list[list[int]] = [[] for _ in range(groups)]  # held until copied
        self.preempted = 0  # how often a row was sent back for want of pages

    @property
    def active(self) -> int:
        return sum(map(len, self.rows))

    @property
    def crowded(self) -> bool:
        """Whether those who wait will take every free slot."""
        return len(self.waiting) >= len(self.rows) * self.slots - self.active

    def by_model(self) -> Counter[str]:
        return Counter(row.request.model for rows in self.rows for row in rows)

    def admit(self) -> Admission:
        """Move rows from the head of the queue into slots, as long as there are slots and pages.

        Full pages of a text's beginning that another row of the same model has or had are shared;
        of an equal text the last page is copied.
        """
        todo = Admission([[] for _ in self.rows], [[] for _ in self.rows])
        while self.waiting:
            row = self.waiting[0]
            group = next((g for g in self._preferred(row) if self._enter(g, row, todo)), None)
            if group is None:
                break
            self.waiting.popleft()
            self.rows[group].append(row)
        return todo

    def copied(self) -> None:
        """The copies of the last admission are under way: their sources may be given up."""
        for pages, shared in zip(self._pages, self._shared, strict=True):
            pages.release(shared)
            shared.clear()

    def grow(self, model: str, steps: int) -> None:
        """Give each of the model's rows the pages that ``steps`` more tokens need. Where none are
        left, the newest row of the group goes back to the queue, to be continued later."""
        for group, rows in enumerate(self.rows):
            for row in [r for r in rows if r.request.model == model]:
                last = row.position + min(steps, row.left) - 1
                while row in rows and (missing := last // self.page_size + 1 - len(row.pages)) > 0:
                    taken = self._pages[group].take(missing)
                    if taken is None:
                        self._put_back(group, rows[-1])
                    else:
                        row.pages += taken

    def leave(self, group: int, row: SequenceState) -> None:
        """Give up slot and pages; what full pages hold may be found again."""
        pages = self._pages[group]
        for page, key in zip(row.pages, row.page_keys(self.page_size), strict=False):
            if pages.find(key) is None:
                pages.remember(page, key)
        self.rows[group].remove(row)
        pages.release(row.pages)
        row.pages = []

    def discard(self, group: int, row: SequenceState) -> None:
        """``leave``, where what the pages hold is spoilt."""
        self.rows[group].remove(row)
        self._pages[group].discard(row.pages)
        row.pages = []

    def cancel(self, request_id: Any) -> bool:
        """Drop a request, waiting or not; whether there was one."""
        for row in self.waiting:
            if row.request.id == request_id:
                self.waiting.remove(row)
                return True
        for group, rows in enumerate(self.rows):
            for row in rows:
                if row.request.id == request_id:
                    self._break_off(group, row)
                    return True
        return False

    def _break_off(self, group: int, row: SequenceState) -> None:
        """``leave`` in the midst of a draw, which may spoil the pages from the newest token on."""
        full = row.position // self.page_size
        drawn_into, row.pages = row.pages[full:], row.pages[:full]
        self._pages[group].discard(drawn_into)
        self.leave(group, row)

    def _preferred(self, row: SequenceState) -> list[int]:
        """Groups with a free slot: the emptiest first. Those that have just this text come first
        while all slots will be taken anyway."""
        key = row.whole_key(self.page_size)

        def order(group: int) -> tuple[int, int]:
            lacks, load = self._pages[group].find(key) is None, len(self.rows[group])
            return (lacks, load) if self.crowded else (load, lacks)

        return sorted((g for g, r in enumerate(self.rows) if len(r) < self.slots), key=order)

    def _enter(self, group: int, row: SequenceState, todo: Admission) -> bool:
        """Take pages for what the row knows; False if there are too few."""
        pages, size = self._pages[group], self.page_size
        cached, keys = row.known[:-1], row.page_keys(self.page_size)
        shared: list[int] = []
        for key in keys:
            page = pages.find(key)
            if page is None:
                break
            pages.share(page)
            shared.append(page)
        missing = len(cached) // size + 1 - len(shared)
        # A page for each of the others to grow into, or they would soon send one another back.
        reserve = len(self.rows[group])
        taken = pages.take(missing) if missing + reserve <= pages.available else None
        if taken is None:
            pages.release(shared)
            return False
        row.pages = shared + taken
        todo.num_shared_tokens += len(shared) * size
        for start in range(len(shared) * size, len(cached), size):
            piece = cached[start : start + size]
            page, full = row.pages[start // size], len(piece) == size
            key = keys[start // size] if full else row.whole_key(size)
            source = None if full else pages.find(key)
            if source is None:
                todo.pieces[group].append(Piece(row, start, piece))
                pages.remember(page, key)
            else:
                pages.share(source)
                self._shared[group].append(source)
                todo.copies[group].append((source, page))
                todo.num_shared_tokens += len(piece)
        return True

    def _put_back(self, group: int, row: SequenceState) -> None:
        self.leave(group, row)
        self.waiting.appendleft(row)
        self.preempted += 1
