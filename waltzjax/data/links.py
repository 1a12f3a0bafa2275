"""Which texts belong together, when one came of another by whatever chain (a union-find)."""

from __future__ import annotations


class Links:
    def __init__(self) -> None:
        self._towards: dict[str, str] = {}

    def join(self, a: str, b: str) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self._towards[high] = low

    def root(self, text: str) -> str:
        """The least of all texts joined with this one, which is thus the same for each of them."""
        while (next_ := self._towards.setdefault(text, text)) != text:
            self._towards[text] = self._towards[next_]  # halves the way for those who come after
            text = next_
        return text
