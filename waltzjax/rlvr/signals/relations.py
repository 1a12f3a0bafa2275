r"""The computations written in a text: ``59 - 25 = 34``, ``\frac{12}{4} \cdot 5 = 15 eggs``.

A chain is a run of pieces with "=" between them. Letters, functions and whatever else cannot be
evaluated make their piece None; words, commas and ends of sentences end a chain, except units that
stand between a number and an operator. Nothing is executed; the time is linear in the text.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from waltzjax.rlvr.signals import algebra
from waltzjax.rlvr.signals.algebra import Node, Number, Unreadable
from waltzjax.rlvr.signals.tokens import Token, tokens

_MOST_TOKENS = 80  # of a piece
_DEEPEST = 12  # brackets in brackets
_MOST_UNIT_WORDS = 3


class Chain(NamedTuple):
    """``numbers``: all those in it, without signs, also where a piece is None; ``about``: one of
    its signs is "about equal"."""

    start: int
    end: int
    pieces: tuple[Node | None, ...]
    numbers: frozenset[Number]
    about: bool


def chains(text: str) -> list[Chain]:
    """Every chain of ``text``, in order; a single number is one, and a computation without "="."""
    all_chains: list[Chain] = []
    pieces: list[list[Token]] = [[]]
    about = False
    seen = list(tokens(text))

    def close() -> None:
        nonlocal pieces, about
        whole = [token for piece in pieces for token in piece]
        numbers = {what for what, _, _ in whole if not isinstance(what, str)}
        if numbers:
            read = tuple(_read([what for what, _, _ in piece]) for piece in pieces)
            numbers |= {leaf for node in read if node for leaf in algebra.leaves(node.form)}
            all_chains.append(Chain(whole[0][1], whole[-1][2], read, frozenset(numbers), about))
        pieces, about = [[]], False

    at = 0
    while at < len(seen):
        what, start, end = seen[at]
        at += 1
        piece = pieces[-1]
        before = piece[-1][0] if piece else None
        operand = before is not None and _is_operand(before)
        if what == "w" and operand:  # a unit, if the computation goes on after it
            ahead = at
            while (
                ahead < len(seen)
                and ahead < at + _MOST_UNIT_WORDS
                and seen[ahead][0] in ("w", "of")
            ):
                ahead += 1
            if ahead < len(seen) and seen[ahead][0] in ("+", "-", "*", "/", "=", "~", "is"):
                at = ahead
                continue
        following = seen[at][0] if at < len(seen) else None
        if what == "/" and operand and following == "w":  # 20 dollars/hour * 3 hours
            continue
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
    return all_chains


def _is_operand(what: Number | str) -> bool:
    return not isinstance(what, str) or what in (")", "%")


def _opens(what: Number | str | None) -> bool:
    return what is not None and (not isinstance(what, str) or what in ("(", "-", "frac", "sqrt"))


def _read(piece: list[Number | str]) -> Node | None:
    """The value that a piece computes; None if it is empty, unfinished or cannot be evaluated."""
    if not piece or len(piece) > _MOST_TOKENS:
        return None
    if len(piece) == 1 and not isinstance(piece[0], str):
        return algebra.number(piece[0])  # as below, but most pieces are one number
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
        mixed = isinstance(left.form[1], int) and isinstance(factor.form[1], Fraction)
        if what == "frac" and len(parts) == 1 and mixed:  # 1\frac{4}{5}
            parts = [(algebra.number(left.value + factor.value), 1)]
            continue
        if what == "/" and len(parts) == 1:
            parts = [(_quotient(left, factor), 1)]
        else:
            parts.append((factor, -1 if what == "/" else 1))
    return algebra.multiply(parts) if len(parts) > 1 else parts[0][0]


def _quotient(over: Node, under: Node) -> Node:
    """A number, where it is a fraction in lowest terms: 3/4 computes nothing, 6/8 and 8/2 do."""
    whole = isinstance(over.form[1], int) and isinstance(under.form[1], int)
    quotient = algebra.multiply([(over, 1), (under, -1)])
    lowest = whole and quotient.value.denominator == under.form[1] > 1
    return algebra.number(quotient.value) if lowest else quotient


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
