r"""Whether an answer has the value of a label: exactly if both are plain, else part by part.

Decimals are not rounded to match: 12.7 is not 12.8, and 0.333 is not 1/3. Units and per cent:
a unit that only one of the two writes is not compared, units that differ make answers differ, "50%"
is 50 (the question asked in per cent) as well as 0.5; "0.5%" is not 0.5. A base that the answer
does not write is the label's; a number in another base than the label is not an answer in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from waltzjax.rlvr.grading import operators
from waltzjax.rlvr.grading.answer import MAX_CHARS
from waltzjax.rlvr.grading.forms import matched, read_forms, word
from waltzjax.rlvr.grading.number import Number, read_number, split_name
from waltzjax.rlvr.grading.ranges import Form, as_range
from waltzjax.rlvr.grading.tree import Tree, Unreadable, names
from waltzjax.rlvr.grading.typeset import tidy
from waltzjax.rlvr.grading.units import same_unit
from waltzjax.rlvr.grading.value import order, proportional, same_value

_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9.]) +| +(?![A-Za-z0-9.])")
_CHOICE = re.compile(r"(?:\\text *\{)? *\(([A-Z])\) *\}? *(.+)")  # "(B) 12"
_RELATION = re.compile(r"\\approx(?![a-z])|≈|(?<![<>!:\\])=")


class Comparison(NamedTuple):
    equal: bool
    parsed: bool  # the answer could be read


def compare_plain(answer: str, label: str) -> Comparison | None:
    """The comparison where it is certain without algebra, in microseconds; else None.

    Certain are the same text, two plain numbers, two words, and an answer that is empty, too long,
    or asserts different numbers to be equal.
    """
    if max(len(answer), len(label)) > MAX_CHARS:
        return Comparison(False, False)
    a, b = _sides(answer, label)
    if not a:
        return Comparison(False, False)
    if _LOOSE_SPACE.sub("", a) == _LOOSE_SPACE.sub("", b):
        return Comparison(True, True)
    x, y = read_number(a), read_number(b)
    if x and y:
        return Comparison(_same_number(x, y), True)
    if (answer_word := word(a)) and (label_word := word(b)):
        return Comparison(answer_word == label_word, True)
    parts = [read_number(part.strip()) for part in _RELATION.split(a)] if y else []
    if len({part.value for part in parts if part}) > 1:
        return Comparison(False, True)
    return None


def compare_symbolic(answer: str, label: str) -> Comparison:
    """The comparison of all else. It may take long, or much memory: see ``verifier``."""
    a, b = _sides(answer, label)
    if operators.has_any(a) or operators.has_any(b):
        return Comparison(*operators.compare(a, b))
    try:
        got = read_forms(a)
    except Unreadable:
        return Comparison(False, False)
    try:
        gold = read_forms(b)
        return Comparison(any(_same(x, y) for x in got for y in gold), True)
    except Unreadable:
        return Comparison(False, True)


def compare(answer: str, label: str) -> Comparison:
    """``compare_plain``, or else ``compare_symbolic``, in this process."""
    return compare_plain(answer, label) or compare_symbolic(answer, label)


def _sides(answer: str, label: str) -> tuple[str, str]:
    """Answer and label, tidy, without the name of the unknown ("x = 5") that only one of them
    gives, and without the value that stands beside a choice's letter."""
    a, b = tidy(answer), tidy(label)
    if (choice := _CHOICE.fullmatch(a)) and read_number(choice[2]) and len(word(b)) == 1:
        a = choice[1]
    (name, value), (label_name, label_value) = split_name(a), split_name(b)
    if name == label_name or (not name and "=" not in a) or (not label_name and "=" not in b):
        return value, label_value
    return a, b


def _same_number(a: Number, b: Number) -> bool:
    if not same_unit(a.unit, b.unit):
        return False
    if a.base != b.base:
        return a.value == b.value and a.base == ("" if b.base else "10")
    if a.percent != b.percent:
        plain, percent = (b, a) if a.percent else (a, b)
        if a.percent and abs(b.value) < 1:  # a share: "0.28%" is not 0.28
            return percent.value == 100 * plain.value
        return percent.value in (plain.value, 100 * plain.value)
    return a.value == b.value


def _same(a: Form, b: Form) -> bool:
    """Whether an answer's form is the label's. Raises Unreadable."""
    if a.name and b.name and a.name != b.name:
        return False
    if a.kind == "relation" and b.kind == "value":
        sign, *sides = a.parts
        return sign == "=" and all(same_value(side, b.parts[0]) for side in sides)
    if {a.kind, b.kind} == {"range", "point"}:
        a, b = as_range(a), as_range(b)
        return a.kind == b.kind and _rises(a) and _rises(b) and _same(a, b)
    if {a.kind, b.kind} == {"list", "point"}:
        a, b = _as_point(a), _as_point(b)
    if {a.kind, b.kind} == {"list", "set"}:
        return matched(a.parts, b.parts, _same)
    if a.kind != b.kind or len(a.parts) != len(b.parts):
        return False
    return _OF_KIND[a.kind](a, b)


def _same_values(a: Form, b: Form) -> bool:
    (x, number, unit), (y, other, other_unit) = a.parts, b.parts
    if number and other:
        return _same_number(number, other)
    if any(n and (n.base or n.percent) for n in (number, other)):
        return False
    return same_unit(unit, other_unit) and same_value(x, y)


def _same_points(a: Form, b: Form) -> bool:
    return a.parts[0] == b.parts[0] and all(map(_same_end, a.parts[1:], b.parts[1:]))


def _as_point(form: Form) -> Form:
    """(1, 2) of "x = 1, y = 2": coordinates stand in the order of their names. Any other form as
    it is."""
    coordinates: dict[str, Form] = {}
    for part in form.parts if form.kind == "list" else ():
        if part.kind != "relation" or part.parts[0] != "=" or len(part.parts) != 3:
            return form
        name, value = part.parts[1:]
        if name[0] != "name" or names(value):
            return form
        coordinates[name[1]] = Form("value", (value, None, ""))
    if len(coordinates) < max(len(form.parts), 1):
        return form
    return Form("point", ("()", *(coordinates[name] for name in sorted(coordinates))))


def _same_end(a: Form | None, b: Form | None) -> bool:
    return a is b if a is None or b is None else _same(a, b)


def _same_relations(a: Form, b: Form) -> bool:
    (sign, *sides), (other, *others) = a.parts, b.parts
    if sign != other or len(sides) != 2:
        return False
    ratio = proportional(_less(*sides), _less(*others))
    return ratio > 0 if sign in ("<", "\\le") else ratio != 0


def _less(left: Tree, right: Tree) -> Tree:
    return ("+", left, ("neg", right))


def _rises(form: Form) -> bool:
    """Whether an interval's lower end is below its upper one, so that it can be one."""
    _, low, high = form.parts
    if low is None or high is None:
        return True
    return low.kind == high.kind == "value" and order(low.parts[0], high.parts[0]) < 0


_OF_KIND = {
    "value": _same_values,
    "word": lambda a, b: a.parts == b.parts,
    "list": lambda a, b: matched(a.parts, b.parts, _same),
    "set": lambda a, b: matched(a.parts, b.parts, _same),
    "union": lambda a, b: matched(a.parts, b.parts, _same),
    "point": _same_points,
    "range": _same_points,
    "matrix": lambda a, b: all(
        len(row) == len(other) and all(map(_same, row, other))
        for row, other in zip(a.parts, b.parts, strict=True)
    ),
    "relation": _same_relations,
}
