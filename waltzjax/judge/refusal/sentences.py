"""An answer as plain lower-case sentences, without typography, markdown and quotations."""

from __future__ import annotations

import re

LONGEST = 20000  # characters of an answer that are looked at
_SENTENCE = 600  # and of one sentence

QUOTED = "quoted_"  # stands for what was quoted, and for code
_PUNCT = {0x201C: '"', 0x201D: '"', 0xA0: " ", 0x200B: None, 0xFEFF: None}
# Apostrophes of keyboards and models; between letters only, since ` also marks code.
_APOSTROPHE = re.compile(r"(?<=\w)[`\u00b4\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\uff07](?=\w)")
_MARKS = re.compile(r"[*_`#>~]+")
_LONG_WORD = re.compile(r"(\w{40})\w+")  # no word: it would only cost time
_QUOTES = re.compile(r"[\u2018\u2019\u02bc]")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTATION = re.compile(r"\"[^\"\n]{1,400}\"|(?<!\w)'(?:[^'\n]|'(?=\w)){1,200}'(?!\w)")
_WHO = r"(?:i|we|you|they|he|she|it|this|that|just|really|simply|sorry,?)"
_EXPAND = [
    (re.compile(pattern), full)
    for pattern, full in [
        # Without an apostrophe; "cant" and "wont" are words of their own elsewhere.
        (rf"(?:(\b{_WHO} )|\A)cant\b", r"\1cannot"),
        (rf"(?:(\b{_WHO} )|\A)wont\b", r"\1will not"),
        (r"\b(do|does|did|is|are|was|were|could|should|would|have|has|had|must)nt\b", r"\1 not"),
        (r"\bim\b", "i am"),
        (r"\bive\b", "i have"),
        (r"\bthats\b", "that is"),
        (r"\bcan(?:'t| not)\b", "cannot"),
        (r"\bsha(?:n't|nt)\b", "will not"),
        (r"\bwon't\b", "will not"),
        (r"\bain't\b", "am not"),
        (r"n't\b", " not"),
        (r"'m\b", " am"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"'d\b", " would"),
        (r"\blet's\b", "let us"),
        (r"\bgonna\b", "going to"),
        (r"\b(it|that|there|here|what|this)'s\b", r"\1 is"),
    ]
]


def words(text: str) -> frozenset[str]:
    """A vocabulary that is written as a text."""
    return frozenset(text.split())


def typed(text: str) -> str:
    """``text`` with straight quotes and apostrophes, and no spaces of zero width."""
    return _QUOTES.sub("'", _APOSTROPHE.sub("'", text.translate(_PUNCT)))


def sentences(text: str) -> list[str]:
    """The sentences and lines of ``text``, which is ``typed``, each at most 600 characters."""
    text = QUOTED.join(_MARKS.sub("", part) for part in _CODE.split(text.lower()))
    text = _LONG_WORD.sub(r"\1", text).strip()
    whole = re.fullmatch(r'"([^"]*)"', text)
    text = whole[1] if whole else _QUOTATION.sub(QUOTED, text)
    for contraction, full in _EXPAND:
        text = contraction.sub(full, text)
    parts = [" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+|\n+", text)]
    return [s[:_SENTENCE] for s in (re.sub(r"^[^a-z0-9]+", "", part) for part in parts) if s]
