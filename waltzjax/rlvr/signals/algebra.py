"""Exact values of computations, and what they come to once padding is taken away.

A computation is a ``Node``: its value and its form. Two ways to write one thing have one form: the
order of terms and factors and the brackets of plain sums and products are forgotten, zeros, ones,
and what cancels are dropped: ``25 + (34 - 3) + 3`` has the form of ``34 + 25``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

Number = int | Fraction
Form = tuple[str, Any]  # ("n", number), ("+" or "*", frozenset of (form, count)), ("sqrt", form)

_MOST_BITS = 256  # of a value: longer ones are no maths that a response would check
_MOST_POWER = 20
_DECIMALS = 6  # as many are looked at to see how a number was rounded


class Unreadable(ValueError):
    """A computation that is not evaluated: too large, a division by zero, an irrational root."""


class Node(NamedTuple):
    value: Number
    form: Form


def number(value: Number) -> Node:
    return Node(_bounded(value), ("n", value))


def add(parts: Iterable[tuple[Node, int]]) -> Node:
    """The sum of ``count * node``."""
    total: Number = 0
    counts: dict[Form, int] = {}
    for node, count in parts:
        total += count * node.value
        inner = node.form[1] if node.form[0] == "+" else [(node.form, 1)]
        if node.value != 0 or node.form[0] == "+":
            for form, times in inner:
                counts[form] = counts.get(form, 0) + count * times
    return _node(_bounded(total), "+", counts, 0)


def multiply(parts: Iterable[tuple[Node, int]]) -> Node:
    """The product of ``node ** count``. Raises Unreadable for a division by zero."""
    total: Number = 1
    counts: dict[Form, int] = {}
    for node, count in parts:
        if node.value == 0 and count < 0:
            raise Unreadable("a division by zero")
        total = _bounded(total * (Fraction(node.value) if count < 0 else node.value) ** count)
        inner = node.form[1] if node.form[0] == "*" else [(node.form, 1)]
        if node.value != 1:
            for form, times in inner:
                counts[form] = counts.get(form, 0) + count * times
    return number(0) if total == 0 else _node(total, "*", counts, 1)


def power(base: Node, exponent: Node) -> Node:
    if exponent.value == Fraction(1, 2):
        return root(base)
    if exponent.value != int(exponent.value) or size(exponent.value) > _MOST_POWER:
        raise Unreadable("a power that is not a small whole number")
    return multiply([(base, int(exponent.value))])


def root(node: Node) -> Node:
    """The square root of ``node``. Raises Unreadable if it is not rational."""
    value = Fraction(node.value)
    if value < 0:
        raise Unreadable("a root of a negative number")
    result = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if result * result != value:
        raise Unreadable("an irrational root")
    return Node(result, ("sqrt", node.form))


def size(value: Number) -> Number:
    """``value`` without its sign."""
    return -value if value < 0 else value


def leaves(form: Form) -> list[Number]:
    """The numbers that a form is made of, without signs, as often as it has them."""
    kind, inner = form
    if kind == "n":
        return [size(inner)]
    if kind == "sqrt":
        return leaves(inner)
    return [leaf for part, count in inner for leaf in leaves(part) * min(abs(count), _MOST_POWER)]


def moved(form: Form, numbers: Mapping[Number, float]) -> float:
    """The value of a form with its numbers replaced by the values that ``numbers`` gives them."""
    kind, inner = form
    if kind == "n":
        return numbers.get(inner, float(inner))
    if kind == "sqrt":
        return abs(moved(inner, numbers)) ** 0.5
    parts = [(moved(part, numbers), count) for part, count in inner]
    if kind == "+":
        return sum(value * count for value, count in parts)
    return math.prod(value**count for value, count in parts)


def is_number(node: Node) -> bool:
    """Whether ``node`` is only a number, perhaps with a sign: nothing is computed."""
    return node.form[0] != "sqrt" and len(leaves(node.form)) == 1


def pads(form: Form, other: Form) -> bool:
    """Whether ``form``, of equal value, has all that is in ``other``: the rest is padding."""
    if form[0] not in "+*" or form[0] != other[0]:
        return form == other
    counts = dict(form[1])
    return all(
        counts.get(part, 0) * count > 0 and abs(counts[part]) >= abs(count)
        for part, count in other[1]
    )


def agree(a: Node, b: Node, tolerance: float = 0.0) -> bool:
    """Equal values; up to rounding where one is a number written with decimals.

    tolerance: relative; for "about equal".
    """
    gap = size(a.value - b.value)
    if gap == 0 or gap <= tolerance * max(size(a.value), size(b.value)):
        return True
    return any(is_number(node) and gap <= _rounding(node.value) for node in (a, b))


def _rounding(value: Number) -> Fraction:
    """Half a unit of a decimal's last digit; 0 for whole numbers and for fractions."""
    for digits in range(1, _DECIMALS + 1):
        if value * 10**digits == int(value * 10**digits):
            return Fraction(1, 2 * 10**digits) if value != int(value) else Fraction(0)
    return Fraction(0)


def _node(value: Number, kind: str, counts: dict[Form, int], empty: int) -> Node:
    kept = {form: count for form, count in counts.items() if count}
    if not kept:
        return number(empty)
    if len(kept) == 1 and 1 in kept.values():
        return Node(value, next(iter(kept)))
    return Node(value, (kind, frozenset(kept.items())))


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() < _MOST_BITS:
        return value
    if value.numerator.bit_length() + value.denominator.bit_length() > _MOST_BITS:
        raise Unreadable("a number of too many digits")
    return value
