"""Lines that look like those of a message, whatever letters, signs and emphasis they are made of.

Letters are compared in any case, width and script that look alike; accents, and all signs but the
colon, are left out, and so are signs that nobody sees and HTML tags.
"""

from __future__ import annotations

import functools
import re

from waltzjax.data.text import compatible

_ALIKE = (
    "a4аαɑᴀ", "b8вβʙьϐ", "cсϲᴄ", "dԁᴅ", "e3еєεᴇ", "fꜰϝ", "g9ɡɢԍ", "hнһηʜ", "i1іιıɪӏl", "jјᴊ",
    "kкκᴋ", "l1iӏιʟ", "mмᴍ", "nпνոηɴ", "o0оοσօᴏ", "pрρᴘ", "qԛզ", "rгʀ", "s5ѕꜱ", "t7тτᴛ",
    "uυսᴜ", "vνѵᴠ", "wԝωѡᴡ", "xхχ", "yуүγυʏ", "zᴢζ",
)  # fmt: skip
# Letters in one sign that no normal form undoes: negative circles and squares, flags, tags.
_LETTERS = (
    {
        start + place: chr(ord("a") + place)
        for start in (0x1F150, 0x1F170, 0x1F1E6, 0xE0041, 0xE0061)
        for place in range(26)
    }
    | dict.fromkeys(map(ord, "∶꞉ː˸׃։"), ":")
    | dict.fromkeys([0xE003A], ":")
)
_LETTERED = re.compile(f"[{''.join(map(chr, _LETTERS))}]")
# Letters by their Unicode category, which look like signs or like nothing.
_NO_LETTERS = re.compile("[\u02b0-\u02cf\u02d1-\u02f7\u02f9-\u02ff\u0640\u115f\u1160\u3164\uffa0_]")
_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_HTML = re.compile(rf"</?[a-z][^<>{_BREAKS}]{{0,100}}>")


def plain(text: str) -> str:
    """``text`` as ``frame_lines`` are matched against it, with as many lines."""
    if not text.isascii():
        text = _LETTERED.sub(lambda sign: _LETTERS[ord(sign[0])], compatible(text, "NFKD"))
    return _HTML.sub(" ", _NO_LETTERS.sub(" ", text.casefold()))


@functools.lru_cache(maxsize=64)
def frame_lines(frame: str) -> re.Pattern[str]:
    """A pattern that matches a ``plain`` line which begins as one of the lines of ``frame`` does,
    whatever signs and numbers are before it."""
    lines = dict.fromkeys(line.strip() for line in plain(frame).splitlines())
    return re.compile("|".join(filter(None, map(_beginning, lines))) or "(?!)")


def _beginning(line: str) -> str:
    """The pattern of one line's beginning; of a line of signs alone, the line; "": it is empty."""
    letters = re.sub(r"[^\w:]", "", re.sub(r"^[\W\d]+", "", line))
    if not letters:
        return rf"\s*{re.escape(line)}[\W\d]*\Z" if line else ""
    # No class of letters has a sign that the classes between have: matching is linear.
    body = r"[^\w:]*".join(map(_alike, letters))
    return rf"[\W\d]*{body}" + ("" if letters.endswith(":") else r"(?!\w)")


def _alike(letter: str) -> str:
    """The class of letters that look like ``letter``."""
    groups = [group for group in _ALIKE if letter in group]
    return f"[{re.escape(''.join(sorted({letter}.union(*groups))))}]"
