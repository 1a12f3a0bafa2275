r"""The words of an expression of maths, the trees it is read into, and how it is split.

A tree is ("number", Fraction), ("name", "x_1"), ("constant", "pi" | "e" | "i") or an operation with
its trees: ("+", a, b), ("*", a, b), ("/", a, b), ("^", a, b), ("neg", a), ("!", a),
("sqrt", a), ("root", a, n), ("binom", n, k), ("log", a, base), ("sin", a) and so on. Maths is split
at what stands outside of all brackets.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from waltzjax.rlvr.grading.number import repeating

Tree = tuple[Any, ...]
Token = str | Fraction  # as written; a repeating decimal as its value

_TOKEN = re.compile(
    r"(?P<repeating>(?P<whole>\d*)\.(?P<once>\d*)\\(?:overline|bar|dot) *"
    r"(?:\{ *(?P<again>\d+) *\}|(?P<digit>\d)))"
    r"|(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<command>\\[A-Za-z]+)|(?P<letters>[A-Za-z]+)"
    r"|(?P<sign>[-+*/^_(){}\[\]!|])|(?P<space> +)",
    re.ASCII,
)
TRIGONOMETRY = ("sin", "cos", "tan", "cot", "sec", "csc")
FUNCTIONS = frozenset(
    (*TRIGONOMETRY, "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "lg", "exp")
)
_NAMES = frozenset(
    ("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
     "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi",
     "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega", "ell")
)  # fmt: skip
_LONGEST_PRODUCT = 3  # of letters without a space; longer ones are words


class Unreadable(ValueError):
    """A text that is no expression, or none that can be read for certain."""


def names(tree: Tree) -> frozenset[str]:
    """The variables of a tree."""
    if tree[0] == "name":
        return frozenset((tree[1],))
    return frozenset().union(*(names(part) for part in tree[1:] if isinstance(part, tuple)))


def tokens(text: str) -> list[Token]:
    """The tokens of a tidy text without its spaces. Raises Unreadable."""
    all_tokens: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match:
            raise Unreadable(text)
        place = match.end()
        if match["repeating"]:
            again = match["again"] or match["digit"]
            all_tokens.append(repeating(match["whole"], match["once"], again))
        elif match["letters"]:
            all_tokens += _letters(match[0])
        elif not match["space"]:
            all_tokens.append(match[0])
    return all_tokens


class Cursor:
    """A place in the tokens of a text."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.place = 0

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("it ends too early")
        self.place += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Unreadable(f"no {token}")


def number(digits: str) -> Tree:
    return ("number", Fraction(digits))


def _letters(run: str) -> list[str]:
    if run in FUNCTIONS or run == "sqrt":
        return [f"\\{run}"]
    if len(run) > _LONGEST_PRODUCT or (len(run) > 1 and set(run) <= {"e", "i"}):
        raise Unreadable(f"{run} is a word")
    return list(run)


def is_number(token: Token) -> bool:
    return isinstance(token, Fraction) or token[0] in "0123456789."


def is_name(token: Token) -> bool:
    if isinstance(token, Fraction):
        return False
    return (len(token) == 1 and token.isalpha() and token not in "ei") or token[1:] in _NAMES


_BRACKETS = re.compile(
    r"\\\{|\\\}|\\langle(?![A-Za-z])|\\rangle(?![A-Za-z])|[(\[{}\])]|\\begin|\\end"
)
_CLOSING = (")", "]", "}", "\\}", "\\rangle", "\\end")
_COMMAND = re.compile(r"\\(?:text *\{[^{}]*\}|[A-Za-z]+|.)")


def split(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[re.Match[str]]]:
    """The parts of ``text`` between what ``pattern`` finds outside of all brackets."""
    depth, place, start = 0, 0, 0
    parts: list[str] = []
    separators: list[re.Match[str]] = []
    while place < len(text):
        if bracket := _BRACKETS.match(text, place):
            depth += -1 if bracket[0] in _CLOSING else 1
            if depth < 0:
                raise Unreadable(text)
            place = bracket.end()
        elif not depth and (between := pattern.match(text, place)):
            parts.append(text[start:place].strip())
            separators.append(between)
            start = place = between.end()
        elif command := _COMMAND.match(text, place):
            place = command.end()
        else:
            place += 1
    if depth:
        raise Unreadable(text)
    return [*parts, text[start:].strip()], separators
