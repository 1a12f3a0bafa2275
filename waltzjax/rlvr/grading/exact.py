"""The exact value of a tree, where it is rational."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from waltzjax.rlvr.grading.tree import Tree, Unreadable

_MOST_BITS = 200_000
_MOST_FACTORIAL = 10_000

Values = Mapping[str, Fraction]  # of the variables


class Irrational(Exception):
    """A value that a fraction does not hold."""


def exact(tree: Tree, values: Values) -> Fraction:
    """The value; raises Irrational, Unreadable if it is too large, ZeroDivisionError."""
    kind = tree[0]
    if kind == "number":
        return _bounded(tree[1])
    if kind == "name":
        return values[tree[1]]
    if kind not in _EXACT:
        raise Irrational
    return _bounded(_EXACT[kind](*(exact(part, values) for part in tree[1:])))


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > _MOST_BITS:
        raise Unreadable("too large")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise Irrational
    bits = base.numerator.bit_length() + base.denominator.bit_length()
    if abs(exponent) * (bits if abs(base) != 1 and base else 0) > _MOST_BITS:
        raise Unreadable("too large")
    return base ** int(exponent)


def _factorial(n: Fraction) -> Fraction:
    if n.denominator != 1:
        raise Irrational
    if n < 0:
        raise ZeroDivisionError
    if n > _MOST_FACTORIAL:
        raise Unreadable("too large")
    return Fraction(math.factorial(int(n)))


def _binom(n: Fraction, k: Fraction) -> Fraction:
    if n.denominator != 1 or k.denominator != 1 or n < 0:
        raise Irrational
    if n > _MOST_FACTORIAL:
        raise Unreadable("too large")
    return Fraction(math.comb(int(n), int(k))) if k >= 0 else Fraction(0)


_EXACT: dict[str, Callable[..., Fraction]] = {
    "+": lambda a, b: a + b,
    "neg": lambda a: -a,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": _power,
    "!": _factorial,
    "binom": _binom,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
}
