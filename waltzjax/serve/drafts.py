"""Guesses at how a reply goes on, from earlier replies and from its prompt, which it may quote.

Guesses change no reply in float32: the engine keeps those tokens only that it draws itself. They
change how many of them it draws together (prompt lookup decoding: transformers'
``prompt_lookup_num_tokens``). In bfloat16 a batch of another shape rounds otherwise, so that a
guess may change a token, as any other request beside it may.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from waltzjax.engine.requests import Guess

ORDERS = (4, 3, 2)  # tokens before a token that earlier replies are looked up by, the most first
SEEN = 2  # times that they must have occurred, or fewer are looked up
SURE = 0.8  # part of these times that one token followed; below it, quotes go first
MOST_KEYS = 50_000  # kept; the oldest go first

Key = tuple[int, ...]


class _Quotes(NamedTuple):
    """A prompt: its last tokens, and what follows what in it."""

    tail: Key
    after_two: Mapping[Key, int]
    after_one: Mapping[int, int]


class Drafts:
    """Replies of one role, by what followed what in them. Any thread may use it.

    Up to ``MOST_KEYS`` sequences of two to four tokens from recent replies to all users stay in
    memory, with counts of the tokens that followed; never on disk, and never in a reply. How fast
    a reply comes may depend on what others' replies said.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[Key, dict[int, int]] = {}  # by the tokens before: token -> how often

    def learn(self, prompt: Sequence[int], reply: Sequence[int]) -> None:
        """Remember a reply to a prompt."""
        known = (*prompt[-max(ORDERS) :], *reply)
        with self._lock:
            for at in range(len(known) - len(reply), len(known)):
                for order in ORDERS:
                    counts = self._next.setdefault(known[max(0, at - order) : at], {})
                    counts[known[at]] = counts.get(known[at], 0) + 1
            while len(self._next) > MOST_KEYS:
                del self._next[next(iter(self._next))]

    def guesses(self, prompt: Sequence[int]) -> Guess:
        """The guesses for a reply to ``prompt``."""
        pairs = [*itertools.pairwise(prompt)]
        quotes = _Quotes(
            tuple(prompt[-max(ORDERS) :]),
            dict(zip(pairs, prompt[2:], strict=False)),
            dict(pairs),
        )
        return partial(self._guess, quotes)

    def _guess(self, quotes: _Quotes, drawn: Sequence[int], count: int) -> list[int]:
        """Up to ``count`` tokens that may come next."""
        known, start = [*quotes.tail, *drawn], len(quotes.tail) + len(drawn)
        with self._lock:
            while len(known) < start + count:
                token, share = self._learned(known)
                if share < SURE and drawn:  # what it begins with is no quote
                    one = quotes.after_one.get(known[-1], token)
                    token = quotes.after_two.get((known[-2], known[-1]), one)
                if token is None:
                    break
                known.append(token)
        return known[start:]

    def _learned(self, known: Sequence[int]) -> tuple[int | None, float]:
        """The token that followed most often, and in which part of the times."""
        for order in ORDERS:
            counts = self._next.get(tuple(known[-order:]), {})
            total = sum(counts.values())
            if total >= SEEN:
                token = max(counts, key=counts.__getitem__)
                return token, counts[token] / total
        return None, 0.0
