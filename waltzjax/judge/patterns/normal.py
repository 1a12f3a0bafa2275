"""The forms of a text that pattern rules are matched against, each made in linear time.

The plain form is lower case, one space between words, without what a reader does not see and
without accents on Latin letters. The second form, where it differs, also undoes two disguises:
figures and signs within a word ("k1ll"), and single letters kept apart ("k i l l", "k.i.l.l").
Rules read both, so that a disguise undone by mistake ("c4a" to "caa") hides nothing.
"""

from __future__ import annotations

import re
import unicodedata

# Canonical order is sorted by insertion, quadratic in a run of combining marks: pieces bound it.
PIECE = 256
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e001f\U000e0100-\U000e01ef]"
)
# Whole words in one sign: they spell no Latin word, and normal forms make up to 18 letters of one.
_SQUARED = re.compile("[\u3300-\u3357\ufdfa-\ufdfc]")
_TAGGED = re.compile("[\U000e0020-\U000e007f]")  # people see nothing, models read ASCII
_TAGS = {0xE0000 + code: chr(code) if code < 127 else None for code in range(32, 128)}
_ACCENTS = re.compile("(?<=[a-z])[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")
_SIGNS = {"'": "\u2018\u2019\u02bc`", '"': "\u201c\u201d", "-": "\u2010\u2011\u2013\u2014"}
# Letters of other scripts that look Latin, beside a Latin letter.
_ALIKE = "авгеһіјкӏмнорѕтухԁαεικνορτυχωɡı"
_LATIN = str.maketrans(_ALIKE, "abrehijklmhopstyxdaeikvoptuxwgi")
_MIXED = re.compile(f"(?<=[a-z])[{_ALIKE}]+|(?<![{_ALIKE}])[{_ALIKE}]+(?=[a-z])")
_APART = re.compile(
    r"(?<![a-z0-9])[a-z0-9@$!]([ ._*-])[a-z0-9@$!](?:[ ._*-][a-z0-9@$!])+(?![a-z0-9])"
)
_BETWEEN = re.compile(r"[ ._*-]")
_WITHIN = re.compile(r"(?<=[a-z])[013457@$!]+(?=[a-z])")
_LETTERS = str.maketrans("013457@$!", "oieastasi")


def forms(text: str) -> tuple[str, ...]:
    """The plain form of ``text``, and the one without disguises where it is another."""
    seen = _seen(text)
    plain, undone = (" ".join(form.split()) for form in (seen, _undisguised(seen)))
    return (plain,) if undone == plain else (plain, undone)


def _seen(text: str) -> str:
    """``text`` in lower case, and where it is not ASCII, as a model is thought to read it."""
    if text.isascii():
        return text.lower()
    text = _SQUARED.sub(" ", text)
    text = text.translate(_TAGS) if _TAGGED.search(text) else text
    text = _INVISIBLE.sub("", text)
    pieces = (_folded(text[start : start + PIECE]) for start in range(0, len(text), PIECE))
    text = _MIXED.sub(lambda mixed: mixed[0].translate(_LATIN), "".join(pieces))
    for sign, others in _SIGNS.items():
        for other in others:
            text = text.replace(other, sign)
    return text


def _folded(piece: str) -> str:
    """NFKC and case folding, less the accents on Latin letters."""
    apart = unicodedata.normalize("NFKD", piece).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def _undisguised(seen: str) -> str:
    """``seen`` with kept apart letters joined and figures within words as letters."""
    return _WITHIN.sub(lambda m: m[0].translate(_LETTERS), _APART.sub(_joined, seen))


def _joined(apart: re.Match[str]) -> str:
    """The letters as one word, after the pronoun in "how do i k i l l ..."."""
    word = _BETWEEN.sub("", apart[0])
    return f"i {word[1:]}" if apart[0].startswith("i ") else word
