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
_TAG = 0xE0000  # letters of tags are ASCII at this offset: people see nothing, models read them
_TAGS = {_TAG + n: chr(n) if 32 <= n < 127 else None for n in range(128)}
_ACCENTS = re.compile("(?<=[a-z])[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")
_SIGNS = str.maketrans("\u2018\u2019\u02bc`\u201c\u201d\u2010\u2011\u2013\u2014", "''''\"\"----")
_WORD = re.compile(r"\w+")
_LATIN = re.compile("[a-z]")
# Letters of other scripts that look Latin; read so only in a word that has Latin letters too.
_LOOKALIKES = str.maketrans(
    "авгеһіјкӏмнорѕтухԁαεικνορτυχωɡı",
    "abrehijklmhopstyxdaeikvoptuxwgi",
)
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
    """``text`` in lower case as a reader sees it."""
    if text.isascii():
        return text.lower()
    text = _INVISIBLE.sub("", text.translate(_TAGS))
    pieces = (_folded(text[start : start + PIECE]) for start in range(0, len(text), PIECE))
    return _WORD.sub(_one_script, "".join(pieces)).translate(_SIGNS)


def _folded(piece: str) -> str:
    """NFKC and case folding, less the accents on Latin letters."""
    apart = unicodedata.normalize("NFKD", piece).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def _one_script(word: re.Match[str]) -> str:
    """The word; where it mixes scripts, with Latin letters for those that look like them."""
    mixed = not word[0].isascii() and _LATIN.search(word[0])
    return word[0].translate(_LOOKALIKES) if mixed else word[0]


def _undisguised(seen: str) -> str:
    """``seen`` with kept apart letters joined and figures within words as letters."""
    return _WITHIN.sub(lambda m: m[0].translate(_LETTERS), _APART.sub(_joined, seen))


def _joined(apart: re.Match[str]) -> str:
    """The letters as one word, after the pronoun in "how do i k i l l ..."."""
    word = _BETWEEN.sub("", apart[0])
    return f"i {word[1:]}" if apart[0].startswith("i ") else word
