"""The text of a reply's tokens, as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNREADABLE = "\ufffd"  # what a decoder writes for a part of a character
LONGEST_CHARACTER = 8  # tokens


class Detokenizer:
    """One reply: what came before the newest tokens is not decoded again.

    decode: tokens -> their text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]):
        self._decode = decode
        self._text = ""  # of the first ``_end`` tokens
        # Tokens from here to ``_end`` are decoded along: spaces depend on what is before.
        self._start = self._end = 0

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of ``token_ids``, which begin with those of the call before."""
        before = self._decode(token_ids[self._start : self._end])
        after = self._decode(token_ids[self._start :])
        if after.startswith(before):
            text = self._text + after[len(before) :]
        else:  # a character was in parts, or the decoder is no friend of parts
            text = self._decode(token_ids)
        whole = not after.endswith(UNREADABLE) or len(token_ids) - self._end > LONGEST_CHARACTER
        if whole and len(after) > len(before):
            self._text, self._start, self._end = text, self._end, len(token_ids)
        return text
