"""Texts that only a chat template may write, removed from what people and agents say."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

JOINED = 8  # levels of texts within one another whose removal joins what is around them
GAP = " \u2026 "  # stands for deeper ones: no control text has it, so that it ends the joining


class Control:
    """``texts``, as ``tokenizer`` reads them: spelled out, or otherwise where it reads other
    letters as such a token (by a normaliser that turns capitals, widths or spaces into others)."""

    def __init__(self, tokenizer: Any, texts: Collection[str]):
        self._tokenizer = tokenizer
        longest_first = sorted(texts, key=lambda text: (-len(text), text))
        self._spelled = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._normalised = frozenset(
            number
            for number, token in tokenizer.added_tokens_decoder.items()
            # Any letters that are unknown become the one for those.
            if token.content in texts and token.normalized and number != tokenizer.unk_token_id
        )

    def removed(self, text: str) -> str:
        """``text`` without them, also without what a removal joins. Deep within one another they
        leave ``GAP``, or one pass a level would take minutes of a long text."""
        levels = 0
        while True:
            gap = GAP if levels >= JOINED else ""
            shorter = self._read(self._spelled.sub(gap, text), gap)
            if shorter == text:
                return text
            text, levels = shorter, levels + 1

    def _read(self, text: str, gap: str) -> str:
        """``text`` with ``gap`` in the place of each token that normalised letters became."""
        if not self._normalised:
            return text
        read = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        pieces, at = [], 0
        for number, (start, end) in zip(read["input_ids"], read["offset_mapping"], strict=True):
            if number in self._normalised:
                pieces += [text[at:start], gap]
                at = end
        return "".join([*pieces, text[at:]])
