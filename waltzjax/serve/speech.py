"""The text that an agent says, as it comes: without thoughts, half tags or half stop texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from waltzjax.data.thoughts import LONGEST_TAG, begins_tag, has_tag, without_thought
from waltzjax.serve.detokenizer import UNREADABLE

MARK = "."  # keeps the white space before it from being stripped


class Speech:
    """One reply.

    on_text: see ``records.Ask``.
    opened: the prompt ended within a thought.
    stops: texts that end the reply and are no part of it.
    """

    def __init__(
        self,
        on_text: Callable[[str], bool] | None,
        *,
        opened: bool = False,
        stops: Sequence[str] = (),
    ):
        self._on_text, self._opened, self._stops = on_text, opened, stops
        self._heard, self._enough = "", False
        self._written = ""  # at the last call
        self._spoken = None if opened else ""  # of it, without its thoughts; None: in a thought

    def hear(self, written: str) -> bool:
        """Tell ``on_text`` what all that is ``written`` so far says, if that has grown; whether it
        is enough. Thoughts are looked for in what is new alone."""
        if self._enough:
            return True
        text = self._so_far(written)
        if self._on_text and len(text) > len(self._heard) and text.startswith(self._heard):
            self._heard, self._enough = text, bool(self._on_text(text))
        return self._enough

    def text(self, written: str) -> str:
        """What the reply says, now that it is over; "" where a thought never ended."""
        if self._enough:
            return self._heard
        return self._before_stop(without_thought(written, opened=self._opened) or "")

    def _so_far(self, written: str) -> str:
        """What is said, as far as no later token may change it: without a character, a tag or a
        stop text of which only the beginning is there."""
        self._read(written)
        spoken = (self._spoken or "").rstrip()
        text = self._before_stop(spoken)
        if text == spoken:
            text = text.rstrip(UNREADABLE)
            text = text[: len(text) - max(begins_tag(text), self._begins_stop(text))]
        return text.rstrip()

    def _read(self, written: str) -> None:
        """Note what ``written`` says: what the text before said and what is new, unless a thought
        begins or ends there."""
        grown = written.startswith(self._written)
        new = written[len(self._written) :]
        before = self._written if self._spoken is None else self._spoken
        if not grown or has_tag(before[-LONGEST_TAG:] + new):
            whole = without_thought(written + MARK, opened=self._opened)
            self._spoken = None if whole is None else whole.removesuffix(MARK)
        elif self._spoken is not None:
            self._spoken = (self._spoken + new).lstrip()
        self._written = written

    def _before_stop(self, text: str) -> str:
        ends = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        return text[: min(ends)].rstrip() if ends else text

    def _begins_stop(self, text: str) -> int:
        """The length of the longest end of ``text`` that begins a stop text."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        ends = range(min(longest, len(text)), 0, -1)
        return next((n for n in ends if any(s.startswith(text[-n:]) for s in self._stops)), 0)
