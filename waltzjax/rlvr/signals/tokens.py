r"""Maths as it is written, plainly or in LaTeX, as numbers and signs.

A token is an exact number or one of: ``+ - * / ^ ( ) %``; "=", "~" (about equal), "is" and "of"
(which mean "=" and "*" in some places); "frac", "sqrt"; "?" (letters, functions: what cannot be
evaluated); "w" (a word); "|" (what ends a computation) and a line's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from waltzjax.rlvr.signals.algebra import Number

_TOKEN = re.compile(
    r"""
    (?P<frac>\\[dt]?frac\s?(?P<over>\d)\s?(?P<under>\d))
  | (?P<number>(?:\d{1,3}(?:(?:,|\{,\}|\\[,!])\d{3}){1,5}(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)
  | (?P<unit>\\(?:text|mathrm|mbox|textrm)\s?\{[^{}]{0,60}\}|\^\s?\{?\\circ\}?|°|\\degree)
  | (?P<command>\\(?:[a-zA-Z]+|.))
  | (?P<word>[a-zA-Z]+(?:['’][a-z]+)?)
  | (?P<power>\*\*(?=[\d(-]))
  | (?P<bold>\*\*+)
  | (?P<space>[ \t$&~€£]+)
  | (?P<sign>[\s\S])
    """,
    re.VERBOSE,
)
# The head of a list's item is no number of the maths, nor is its dash a sign.
_ITEM = re.compile(r"^[ \t]{0,8}(?:(?:step )?\d{1,2}[.):]|[-*•])(?=[ \t])", re.MULTILINE | re.I)
_SIGNS = {c: c for c in "+-*/^=()%\n"} | {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "{": "(", "}": ")", "[": "(",
    "]": ")", "≈": "~", "²": "^2", "³": "^3", "_": "?", "|": "?", "!": "?", "√": "?",
    "<": "|", ">": "|", "≤": "|", "≥": "|",
}  # fmt: skip
_COMMANDS = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "frac": "frac", "dfrac": "frac",
    "tfrac": "frac", "sqrt": "sqrt", "approx": "~", "%": "%", "left": "", "right": "", ",": "",
    ";": "", "!": "", " ": "", ":": "", "$": "", "\\": "\n", "{": "|", "}": "|", "big": "",
    "Big": "", "displaystyle": "", "bigl": "", "bigr": "",
}  # fmt: skip
_BREAKS = frozenset(
    ("[", "]", "(", ")", "Rightarrow", "implies", "Longrightarrow", "therefore", "quad", "qquad",
     "to", "begin", "end", "rightarrow", "le", "leq", "ge", "geq", "lt", "gt", "neq", "ne", "equiv",
     "iff", "because", "text", "textbf", "mathbf")
)  # fmt: skip
_WORDS = {
    "plus": "+", "minus": "-", "times": "*", "is": "is", "equals": "is", "gives": "is",
    "makes": "is", "squared": "^2", "cubed": "^3", "of": "of",
}  # fmt: skip
_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "gcd", "lcm", "mod", "sqrt")
)
_BETWEEN = re.compile(r"(?:.?\d|[^\W_][ ])[xX](?:\d.?|[ ][\d$.])")  # 3 x 4, 3x4, 3 bags x $4
_MOST_DIGITS = 18

Token = tuple[Number | str, int, int]  # what, where it starts, where it ends


def tokens(text: str) -> Iterator[Token]:
    """Every token with its place; white space, units and heads of lists are left out."""
    items = {match.start(): match.end() for match in _ITEM.finditer(text)}
    skip_to = 0
    for match in _TOKEN.finditer(text):
        start, end, kind, piece = match.start(), match.end(), match.lastgroup, match[0]
        skip_to = max(skip_to, items.get(start, 0))
        if start < skip_to or kind in ("space", "unit", "bold"):
            continue
        if match["frac"]:
            over, under = int(match["over"]), int(match["under"])
            for what in ("frac", "(", over, ")", "(", under, ")"):
                yield what, start, end
        elif kind == "number":
            yield _number(piece), start, end
        elif kind == "power":
            yield "^", start, end
        elif kind == "command":
            name = piece[1:]
            what = _COMMANDS.get(name, "|" if name in _BREAKS else "?")
            if what:
                yield what, start, end
        else:
            sign = _word(text, start, piece) if kind == "word" else _SIGNS.get(piece, "|")
            yield sign[0] if sign.startswith("^") else sign, start, end
            if sign.startswith("^") and sign != "^":
                yield int(sign[1]), start, end


def _number(piece: str) -> Number | str:
    digits = re.sub(r"\{,\}|\\[,!]|,", "", piece)
    if len(digits) > _MOST_DIGITS:
        return "?"
    if digits.isdigit():
        return int(digits)
    value = Fraction(digits)
    return value.numerator if value.denominator == 1 else value


def _word(text: str, start: int, word: str) -> str:
    """The meaning of a word: an operator, "?" for a variable or a function, else "w"."""
    lower = word.lower()
    touches = start > 0 and text[start - 1].isdigit()
    if lower == "x" and _BETWEEN.fullmatch(text, max(start - 2, 0), start + 3):
        return "*"
    if lower in _WORDS:
        return _WORDS[lower]
    variable = len(word) == 1 and (touches or word not in "aAI")
    return "?" if variable or lower in _FUNCTIONS else "w"
