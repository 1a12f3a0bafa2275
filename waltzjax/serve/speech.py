"""The text that an agent says, as it comes: without thoughts, half tags or half stop texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from waltzjax.data.thoughts import (
    LONGEST_TAG,
    begins_tag,
    closes_thought,
    names_thought,
    outside_thought,
    without_thought,
)
from waltzjax.serve.detokenizer import UNREADABLE


class Speech:
    """One reply.

    on_text: see ``records.Ask``.
    opened: the prompt ended within a thought.
    thinks: the model may think without an opening tag.
    stops: texts that end the reply and are no part of it.
    """

    def __init__(
        self,
        on_text: Callable[[str], bool] | None,
        *,
        opened: bool = False,
        thinks: bool = False,
        stops: Sequence[str] = (),
    ):
        self._on_text, self._opened, self._stops = on_text, opened, stops
        self._waits = opened or thinks  # for the end of a thought
        self._heard, self._enough = "", False
        self._written = ""  # at the last call
        self._spoken, self._inside = "", False  # see ``outside_thought``
        self.thought = False  # whether the text that is over has ended a thought

    def hear(self, written: str) -> bool:
        """Tell ``on_text`` what all that is ``written`` so far says, if that has grown; whether it
        is enough. Thoughts are looked for in what is new alone."""
        if self._enough:
            return True
        self._read(written)
        text = "" if self._waits else self._so_far()
        if self._on_text and len(text) > len(self._heard) and text.startswith(self._heard):
            self._heard, self._enough = text, bool(self._on_text(text))
        return self._enough

    def text(self, written: str) -> str:
        """What the reply says, now that it is over; "" where a thought never ended."""
        self.thought = closes_thought(written)
        if self._enough:
            return self._heard
        return self._before_stop(without_thought(written, opened=self._opened) or "")

    def _read(self, written: str) -> None:
        """Note what ``written`` says: what the text before said and what is new, unless a tag
        ends there."""
        grown = written.startswith(self._written)
        new = written[len(self._written) :]
        tails = (text[-LONGEST_TAG:] + new for text in (self._written, self._spoken))
        if not grown or any(map(names_thought, tails)):
            self._spoken, self._inside = outside_thought(written)
            self._waits = self._waits and not closes_thought(written)
        elif not self._inside:
            self._spoken += new
        self._written = written

    def _so_far(self) -> str:
        """What is said, as far as no later token may change it: without what may be a thought, and
        a character, a tag or a stop text of which only the beginning is there. Only a tag that ends
        a thought which nothing has begun may still take it back."""
        spoken = self._spoken.strip()
        text = self._before_stop(spoken)
        if text == spoken:
            text = text.rstrip(UNREADABLE)
            text = text[: len(text) - max(begins_tag(text), self._begins_stop(text))]
        return text.rstrip()

    def _before_stop(self, text: str) -> str:
        ends = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        return text[: min(ends)].rstrip() if ends else text

    def _begins_stop(self, text: str) -> int:
        """The length of the longest end of ``text`` that begins a stop text."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        ends = range(min(longest, len(text)), 0, -1)
        return next((n for n in ends if any(s.startswith(text[-n:]) for s in self._stops)), 0)
