"""Intervals, their unions, and the inequalities of one unknown that mean them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from waltzjax.rlvr.grading.tree import Unreadable
from waltzjax.rlvr.grading.value import order


class Form(NamedTuple):
    """``kind``: "value", "word", "list", "set", "point", "range", "union", "matrix", "relation".

    parts: of a value (tree, number or None, unit); of a point its brackets and forms; of a range
    its brackets and two forms, where None is an infinite end; of a relation its sign and trees.
    name: of the unknown, where the text names what lies in a range or is one of a list.
    """

    kind: str
    parts: tuple[Any, ...]
    name: str = ""


def interval(brackets: str, low: Form | None, high: Form | None) -> Form:
    """The interval between two ends, of which None is infinite and belongs to no interval."""
    if (low is None and brackets[0] == "[") or (high is None and brackets[1] == "]"):
        raise Unreadable("infinity does not belong to an interval")
    return Form("range", (brackets, low, high))


def as_range(form: Form) -> Form:
    """The interval that a point of two coordinates is read as; any other form as it is."""
    if form.kind == "point" and len(form.parts) == 3 and form.parts[0][0] in "([":
        return Form("range", form.parts)
    return form


def union(forms: Sequence[Form]) -> Form:
    """The union of intervals and sets, which may be one. Raises Unreadable."""
    parts: list[Form] = []
    for form in map(as_range, forms):
        if form.kind not in ("range", "set", "union"):
            raise Unreadable("a union of what are no sets")
        parts += form.parts if form.kind == "union" else [form]
    name = _one_name(forms)
    return (parts[0] if len(parts) == 1 else Form("union", tuple(parts)))._replace(name=name)


def all_but(points: Sequence[Form]) -> Form:
    """The real numbers without ``points``."""
    if any(point.kind != "value" for point in points):
        raise Unreadable("not values")
    rising = sorted(points, key=functools.cmp_to_key(_order))
    ends: list[Form | None] = [None, *rising, None]
    return union([Form("range", ("()", *pair)) for pair in itertools.pairwise(ends)])


def _order(a: Form, b: Form) -> int:
    return order(a.parts[0], b.parts[0])


def both(a: Form, b: Form) -> Form:
    """x > 2 and x < 5: the interval between. Raises Unreadable."""
    if a.kind != "range" or b.kind != "range":
        raise Unreadable("no intervals")
    low, high = (a, b) if a.parts[2] is None else (b, a)
    if (low.parts[1] is None) or (high.parts[2] is None) or low.parts[2] or high.parts[1]:
        raise Unreadable("not two ends of one interval")
    brackets = low.parts[0][0] + high.parts[0][1]
    return Form("range", (brackets, low.parts[1], high.parts[2]), _one_name((a, b)))


def _one_name(forms: Sequence[Form]) -> str:
    """The unknown of all; "x > 2 or y < 1" is no range. Raises Unreadable."""
    named = {form.name for form in forms} - {""}
    if len(named) > 1:
        raise Unreadable("several unknowns")
    return "".join(named)


def of_inequality(ends: Sequence[Form | None], signs: Sequence[str], unknown: int) -> Form:
    r"""The interval of "a < x", "x \le b", "a < x \le b", or what x \ne a leaves.

    ends: of the sides; None: infinite, or the ``unknown`` side itself.
    """
    if list(signs) == ["\\ne"]:
        return all_but([end for end in ends if end is not None])
    if len(ends) > 3 or (len(ends) == 3 and unknown != 1):
        raise Unreadable("a chain of relations")
    low: tuple[str, Form | None] | None = None
    high: tuple[str, Form | None] | None = None
    for place, sign in enumerate(signs):
        if sign not in ("<", ">", "\\le", "\\ge"):
            raise Unreadable(sign)
        before = place + 1 == unknown  # the end stands before the unknown
        end, closed = ends[place if before else place + 1], sign in ("\\le", "\\ge")
        is_low = (sign in ("<", "\\le")) == before
        if (low if is_low else high) is not None:
            raise Unreadable("two ends on one side")
        if is_low:
            low = ("[" if closed and end else "(", end)
        else:
            high = ("]" if closed and end else ")", end)
    (opens, least), (closes, most) = low or ("(", None), high or (")", None)
    return Form("range", (opens + closes, least, most))
