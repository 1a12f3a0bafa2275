"""Which page of a paged key/value cache holds what: free, in use by rows, or kept for reuse."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

Key = bytes  # of a text's beginning: of its model and all tokens up to the page's last


def extended(before: Key, token_ids: Sequence[int]) -> Key:
    """The key of a beginning that goes on with ``token_ids``."""
    return hashlib.blake2b(
        before + np.asarray(token_ids, np.int32).tobytes(), digest_size=16
    ).digest()


class Pages:
    """The pages 0 .. count - 1. One that several rows use is counted for each; one that nobody uses
    any more keeps what it is known to hold until it is needed, the longest unused goes first."""

    def __init__(self, count: int):
        self._free = list(range(count))[::-1]
        self._users = [0] * count
        self._key_of: dict[int, Key] = {}
        self._page_of: dict[Key, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # no users, but known content

    @property
    def available(self) -> int:
        return len(self._free) + len(self._idle)

    def take(self, count: int) -> list[int] | None:
        """``count`` pages with one user each; None if there are not so many."""
        if count > self.available:
            return None
        taken = []
        for _ in range(count):
            if self._free:
                page = self._free.pop()
            else:
                page, _ = self._idle.popitem(last=False)
                self._forget(page)
            self._users[page] = 1
            taken.append(page)
        return taken

    def share(self, page: int) -> None:
        """One more user."""
        self._users[page] += 1
        self._idle.pop(page, None)

    def release(self, pages: Sequence[int]) -> None:
        """One user less of each. The last page goes back first: a beginning outlives its end."""
        for page in reversed(pages):
            self._users[page] -= 1
            if not self._users[page]:
                if page in self._key_of:
                    self._idle[page] = None
                else:
                    self._free.append(page)

    def remember(self, page: int, key: Key) -> None:
        """Record that the page holds ``key`` from now on."""
        self._forget(page)
        self._key_of[page] = key
        self._page_of[key] = page

    def find(self, key: Key) -> int | None:
        return self._page_of.get(key)

    def discard(self, pages: Sequence[int]) -> None:
        """One user less of each, and what they hold is never found again."""
        for page in pages:
            self._forget(page)
        self.release(pages)

    def _forget(self, page: int) -> None:
        key = self._key_of.pop(page, None)
        if key is not None and self._page_of.get(key) == page:
            del self._page_of[key]
