r"""Whether two trees have one value: by exact fractions where they are rational, else to as many
digits as their smallest and largest parts need.

Sums such as ``\sqrt{2} + 10^{-60}`` or ``8\pi + (5/2)^{300}`` hide a part from any fixed precision.
So every part's size is measured first, and the precision is several times the span of the sizes.
Variables take several rational values of either sign; all of them must agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath

from waltzjax.rlvr.grading.exact import Irrational, Values, exact
from waltzjax.rlvr.grading.tree import Tree, Unreadable, names

_MOST_SPAN = 5_000  # bits between the smallest and the largest part of an irrational number
_FIRST_BITS = 256
_SPARE_BITS = 512
_POINTS = 6


class Pair(NamedTuple):
    """Two trees' values at one point, and how far apart they may be by rounding; 0: exact."""

    a: Any
    b: Any
    gap: Any


def same_value(a: Tree, b: Tree) -> bool:
    """Whether ``a`` and ``b`` are equal wherever both have a real value. Raises Unreadable if
    they have none, or one too large."""
    return names(a) == names(b) and all(abs(p.a - p.b) <= p.gap for p in pairs(a, b))


def proportional(a: Tree, b: Tree) -> int:
    """The sign of the constant a / b; 0 if it is not constant. So ``a = 0`` and ``b = 0``, or
    ``a < 0`` and ``b < 0`` if it is 1, are one relation. Raises as ``same_value``."""
    if names(a) != names(b):
        return 0
    points = pairs(a, b)
    if any(abs(p.a) <= p.gap or abs(p.b) <= p.gap for p in points):
        return 0
    first = points[0]
    for p in points[1:]:
        gap = (p.gap + first.gap) * 4 * (abs(p.a) + abs(p.b) + abs(first.a) + abs(first.b))
        if abs(p.a * first.b - p.b * first.a) > gap:
            return 0
    ratio = first.a / first.b
    return 1 if getattr(ratio, "real", ratio) > 0 else -1


def pairs(a: Tree, b: Tree) -> list[Pair]:
    """The values at the points where both are real, or if that are fewer than two, where both
    are defined."""
    variables = sorted(names(a) | names(b))
    defined = []
    for values in _points(variables):
        try:
            defined.append(_pair(a, b, values))
        except ZeroDivisionError:
            continue
    real = [p for p in defined if not (_imaginary(p.a, p.gap) or _imaginary(p.b, p.gap))]
    chosen = real if len(real) >= min(2, len(defined)) else defined
    if not chosen or (variables and len(chosen) < 2):
        raise Unreadable("no value")
    return chosen


def order(a: Tree, b: Tree) -> int:
    """-1, 0, 1: a < b, a = b, a > b, of trees without variables. Raises Unreadable."""
    (pair,) = pairs(a, b)
    if abs(pair.a - pair.b) <= pair.gap:
        return 0
    if _imaginary(pair.a, pair.gap) or _imaginary(pair.b, pair.gap):
        raise Unreadable("complex numbers have no order")
    return -1 if mpmath.re(_float(pair.a)) < mpmath.re(_float(pair.b)) else 1


def _points(variables: list[str]) -> Iterator[Values]:
    if not variables:
        yield {}
        return
    chance = random.Random(0)
    for place in range(_POINTS):
        values = {}
        for name in variables:
            size = Fraction(chance.randrange(1 << 31, 1 << 33), (1 << 32) + 15)  # in (1/2, 2)
            size = size / 2 if place == 1 else size + place % 3 * 2
            values[name] = -size if place == 2 or (place > 3 and chance.random() < 0.5) else size
        yield values


def _imaginary(value: Any, gap: Any) -> bool:
    return not isinstance(value, Fraction) and abs(mpmath.im(value)) > gap


def _float(value: Any) -> Any:
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return value


def _pair(a: Tree, b: Tree, values: Values) -> Pair:
    try:
        return Pair(exact(a, values), exact(b, values), 0)
    except Irrational:
        pass
    digits = _literals(a) + _literals(b)
    bits, span = _FIRST_BITS + digits, 0
    for _ in range(4):
        with mpmath.workprec(bits):
            sizes = [0]
            x, y = _about(a, values, bits, sizes), _about(b, values, bits, sizes)
            span = max(sizes) - min(sizes)
            if span > _MOST_SPAN:
                raise Unreadable("too large a span")
            wanted = _SPARE_BITS + 8 * span + 2 * digits
            if bits >= wanted:
                return Pair(x, y, mpmath.ldexp(1, max(sizes) + 3 * span + 64 - bits))
        bits = wanted
    raise Unreadable("no precision suffices")


def _literals(tree: Tree) -> int:
    """The bits of all numbers written in a tree."""
    if tree[0] == "number":
        return int(tree[1].numerator.bit_length() + tree[1].denominator.bit_length())
    return sum(_literals(part) for part in tree[1:] if isinstance(part, tuple))


def _about(tree: Tree, values: Values, bits: int, sizes: list[int]) -> Any:
    """The value to ``bits``; the sizes of all its parts, as powers of two, go to ``sizes``."""
    kind = tree[0]
    if kind in ("number", "name"):
        value = _float(tree[1] if kind == "number" else values[tree[1]])
    elif kind == "constant":
        value = {"pi": +mpmath.pi, "e": +mpmath.e, "i": mpmath.mpc(0, 1)}[tree[1]]
    else:
        parts = [_about(part, values, bits, sizes) for part in tree[1:]]
        try:
            value = _APPROXIMATE[kind](*parts)
        except (ValueError, OverflowError) as error:
            raise ZeroDivisionError from error  # a pole
        largest = max((mpmath.mag(p) for p in parts if p), default=0)
        if kind in _CANCELS and value and mpmath.mag(value) < largest - bits // 2:
            value = mpmath.mpf(0)
    if not mpmath.isfinite(value):
        raise ZeroDivisionError
    if value:
        sizes.append(int(mpmath.mag(value)))
        if abs(sizes[-1]) > _MOST_SPAN:
            raise Unreadable("too large a span")
    return value


def _nearest_floor(a: Any) -> Any:
    near = mpmath.nint(mpmath.re(a))
    return near if abs(a - near) < mpmath.ldexp(1, -_FIRST_BITS // 2) else mpmath.floor(a)


_CANCELS = frozenset(("+", "sin", "cos", "tan", "cot", "ln", "log", "arcsin", "arccos", "arctan"))
_APPROXIMATE: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "neg": lambda a: -a,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": mpmath.power,
    "!": mpmath.factorial,
    "binom": mpmath.binomial,
    "abs": abs,
    "floor": _nearest_floor,
    "ceil": lambda a: -_nearest_floor(-a),
    "sqrt": mpmath.sqrt,
    # The real root of a negative number, where there is one.
    "root": lambda a, n: (
        -mpmath.power(-a, 1 / n) if mpmath.im(a) == 0 and mpmath.re(a) < 0 and mpmath.re(n) % 2 == 1
        else mpmath.power(a, 1 / n)
    ),
    "log": lambda a, base: mpmath.log(a) / mpmath.log(base),
    **{
        name: getattr(mpmath, plain)
        for name, plain in (
            ("ln", "log"), ("exp", "exp"), ("sin", "sin"), ("cos", "cos"), ("tan", "tan"),
            ("cot", "cot"), ("sec", "sec"), ("csc", "csc"), ("arcsin", "asin"), ("arccos", "acos"),
            ("arctan", "atan"), ("sinh", "sinh"), ("cosh", "cosh"), ("tanh", "tanh"),
        )
    },
}  # fmt: skip
