r"""The computations written in a text: ``59 - 25 = 34``, ``\frac{12}{4} \cdot 5 = 15 eggs``.

A chain is a run of pieces with "=" between them. Letters, functions and whatever else cannot be
evaluated make their piece None; words, commas and ends of sentences end a chain, except units that
stand between a number and an operator. Nothing is executed; the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from waltzjax.rewards import maths_algebra as algebra
from waltzjax.rewards.maths_algebra import Node, Number, Unreadable

_TOKEN = re.compile(
    r"""
    (?P<frac>\\[dt]?frac\s?(?P<over>\d)\s?(?P<under>\d))
  | (?P<number>(?:\d{1,3}(?:(?:,|\{,\}|\\[,!])\d{3}){1,5}(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)
  | (?P<unit>\\(?:text|mathrm|mbox|textrm)\s?\{[^{}]{0,60}\}|\^\s?\{?\\circ\}?|°|\\degree)
  | (?P<command>\\(?:[a-zA-Z]+|.))
  | (?P<word>[a-zA-Z]+)
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
    """[ ] ( ) Rightarrow implies Longrightarrow therefore quad qquad to begin end rightarrow
    le leq ge geq lt gt neq ne equiv iff because text textbf mathbf underline item par""".split()
)
_WORDS = {
    "plus": "+", "minus": "-", "times": "*", "is": "is", "equals": "is", "gives": "is",
    "makes": "is", "squared": "^2", "cubed": "^3", "of": "of",
}  # fmt: skip
_FUNCTIONS = frozenset("sin cos tan cot sec csc log ln exp gcd lcm mod pmod binom sqrt max".split())
_MOST_DIGITS = 18
_MOST_TOKENS = 80  # of a piece
_DEEPEST = 12  # brackets in brackets
_MOST_UNIT_WORDS = 3

Token = tuple[Number | str, int, int]  # what, where it starts, where it ends


class Chain(NamedTuple):
    """``numbers``: all that are written in it, without signs, also where a piece is None; ``about``:
    one of its signs is "about equal"."""

    start: int
    end: int
    pieces: tuple[Node | None, ...]
    numbers: frozenset[Number]
    about: bool


def chains(text: str) -> list[Chain]:
    """Every chain of ``text`` in order, single numbers and computations without result among them."""
    found: list[Chain] = []
    pieces: list[list[Token]] = [[]]
    about = False
    tokens = list(_tokens(text))

    def close() -> None:
        nonlocal pieces, about
        whole = [token for piece in pieces for token in piece]
        numbers = {what for what, _, _ in whole if not isinstance(what, str)}
        if numbers:
            read = tuple(_read([what for what, _, _ in piece]) for piece in pieces)
            numbers |= {abs(node.value) for node in read if node and algebra.is_number(node)}
            found.append(Chain(whole[0][1], whole[-1][2], read, frozenset(numbers), about))
        pieces, about = [[]], False

    at = 0
    while at < len(tokens):
        what, start, end = tokens[at]
        at += 1
        piece = pieces[-1]
        before = piece[-1][0] if piece else None
        operand = before is not None and _is_operand(before)
        if what == "w" and operand:  # a unit, if the computation goes on after it
            ahead = at
            while ahead < len(tokens) and ahead < at + _MOST_UNIT_WORDS and tokens[ahead][0] == "w":
                ahead += 1
            if ahead < len(tokens) and tokens[ahead][0] in ("+", "-", "*", "/", "=", "~", "is"):
                at = ahead
                continue
        following = tokens[at][0] if at < len(tokens) else None
        if what == "\n" and following in ("=", "~"):
            continue
        if what == "of":
            percent = before == "%" or (len(piece) > 1 and piece[-2][0] == "/") or before == ")"
            what = "*" if percent and operand and _opens(following) else "w"
        if what == "is":
            computes = operand and any(t in ("+", "-", "*", "/", "^", "frac") for t, _, _ in piece)
            what = "=" if computes and _opens(following) else "w"
        if what in ("w", "|", "\n"):
            close()
        elif what in ("=", "~"):
            about = about or what == "~"
            pieces.append([])
        else:
            if not isinstance(what, str) and operand:
                close()
            pieces[-1].append((what, start, end))
    close()
    return found


def _tokens(text: str) -> Iterator[Token]:
    items = {match.start(): match.end() for match in _ITEM.finditer(text)}
    skip_to = 0
    for match in _TOKEN.finditer(text):
        start, end, kind, piece = match.start(), match.end(), match.lastgroup, match[0]
        skip_to = max(skip_to, items.get(start, 0))
        if start < skip_to or kind in ("space", "unit", "bold"):
            continue
        if match["frac"]:
            yield from ((t, start, end) for t in ("frac", int(match["over"]), int(match["under"])))
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
    value = Fraction(digits)
    return value.numerator if value.denominator == 1 else value


def _word(text: str, start: int, word: str) -> str:
    """What a word means: an operator, "?" for a variable or a function, else "w"."""
    lower = word.lower()
    touches = start > 0 and text[start - 1].isdigit()
    if lower == "x" and re.match(r"[xX] ?\d", text[start : start + 3]):
        if touches or re.search(r"\d $", text[max(start - 2, 0) : start]):
            return "*"
    if lower in _WORDS:
        return _WORDS[lower]
    variable = (len(word) == 1 and word not in "aAI") or (touches and len(word) == 1)
    return "?" if variable or lower in _FUNCTIONS else "w"


def _is_operand(what: Number | str) -> bool:
    return not isinstance(what, str) or what in (")", "%")


def _opens(what: Number | str | None) -> bool:
    return what is not None and (not isinstance(what, str) or what in ("(", "-", "frac", "sqrt"))


def _read(piece: list[Number | str]) -> Node | None:
    """What a piece computes; None if it is empty, unfinished or cannot be evaluated."""
    if not piece or len(piece) > _MOST_TOKENS or "?" in piece:
        return None
    rest = piece[::-1]
    try:
        node = _sum(rest, 0)
    except (Unreadable, IndexError):  # IndexError: it ends too early
        return None
    return None if rest else node


def _sum(rest: list[Number | str], depth: int) -> Node:
    parts = []
    sign = 1
    while True:
        while rest[-1] in ("+", "-"):
            sign = -sign if rest.pop() == "-" else sign
        parts.append((_product(rest, depth), sign))
        if not rest or rest[-1] not in ("+", "-"):
            return algebra.add(parts) if len(parts) > 1 or sign < 0 else parts[0][0]
        sign = 1


def _product(rest: list[Number | str], depth: int) -> Node:
    parts = [(_factor(rest, depth), 1)]
    while rest and (rest[-1] in ("*", "/", "(", "frac", "sqrt")):
        what = rest[-1]
        if what in ("*", "/"):
            rest.pop()
        factor = _factor(rest, depth)
        left = parts[-1][0]
        if what == "frac" and len(parts) == 1 and isinstance(factor.form[1], Fraction):
            if isinstance(left.form[1], int) and 0 < factor.value < 1:  # 1\frac{4}{5}
                parts[-1] = (algebra.number(left.value + factor.value), 1)
                continue
        if what == "/" and len(parts) == 1:
            parts = [(_quotient(left, factor), 1)]
        else:
            parts.append((factor, -1 if what == "/" else 1))
    return algebra.multiply(parts) if len(parts) > 1 else parts[0][0]


def _quotient(over: Node, under: Node) -> Node:
    """A number, where it is a fraction of whole numbers that has no other name: 3/4."""
    quotient = algebra.multiply([(over, 1), (under, -1)])
    whole = isinstance(over.form[1], int) and isinstance(under.form[1], int)
    return algebra.number(quotient.value) if whole and quotient.value.denominator > 1 else quotient


def _factor(rest: list[Number | str], depth: int) -> Node:
    if rest[-1] == "-":
        rest.pop()
        return algebra.add([(_atom(rest, depth), -1)])
    base = _atom(rest, depth)
    if rest and rest[-1] == "^":
        rest.pop()
        negative = rest[-1] == "-" and rest.pop() == "-"
        return algebra.power(base, algebra.add([(_atom(rest, depth), -1 if negative else 1)]))
    return base


def _atom(rest: list[Number | str], depth: int) -> Node:
    what = rest.pop()
    if depth > _DEEPEST:
        raise Unreadable("too many brackets")
    if not isinstance(what, str):
        if rest and rest[-1] == "%":
            rest.pop()
            return algebra.number(Fraction(what) / 100)
        return algebra.number(what)
    if what == "frac":
        over = _atom(rest, depth + 1)
        return _quotient(over, _atom(rest, depth + 1))
    if what == "sqrt":
        return algebra.root(_atom(rest, depth + 1))
    if what != "(":
        raise Unreadable(f"{what} where a number should stand")
    inner = _sum(rest, depth + 1)
    if rest.pop() != ")":
        raise Unreadable("a bracket that does not close")
    return inner

