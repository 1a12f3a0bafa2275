r"""What an answer is made of: numbers, points, sets, intervals, lists, relations, matrices, words.

``(1,4)``, ``[1,4]`` and ``\{1,4\}`` are three things, and a point is no list. Two forms are equal
if they are of one kind and their parts are; an inequality of one unknown is the interval it means.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from waltzjax.rewards.maths_number import Number, read_number, split_name
from waltzjax.rewards.maths_parse import Tree, Unreadable, names, parse
from waltzjax.rewards.maths_typeset import tidy
from waltzjax.rewards.maths_units import split_unit
from waltzjax.rewards.maths_value import order

MOST_PARTS = 60  # each is compared with each

_WORDS = re.compile(
    r"\\text *\{ *\(?([A-Za-z][A-Za-z -]*)\)?\.? *\}|\(?([A-Z]|(?=.*[A-Za-z]{3})[A-Za-z -]+)\)?"
)
_SEPARATOR = re.compile(
    r" *[,;]? *(?:\\text *\{ *,? *(?P<set>and|or) *\}|(?<![A-Za-z\\])(?P<bare>and|or)(?![A-Za-z])|"
    r"(?P<sign>\\(?:lor|vee|land|wedge)(?![A-Za-z]))) *| *[,;] *"
)
_RELATION = re.compile(r"<|>|=|≈|\\(?:le|ge|ne|approx|in)(?![A-Za-z])|\\text *\{ *in *\}")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
_WITHOUT = re.compile(r"\\mathbb\{R\} *(?:\\(?:small)?setminus|\\backslash|-) *(\\\{.*\\\})")
_OPENS = re.compile(r"\\\{|\\\}|\\langle(?![A-Za-z])|\\rangle(?![A-Za-z])|[(\[{}\])]|\\begin|\\end")
_CLOSING = (")", "]", "}", "\\}", "\\rangle", "\\end")
_MATRIX = re.compile(
    r"(?P<scale>[^&]*?)[(\[]? *\\begin *\{ *(?P<kind>[pb]?matrix|smallmatrix|array) *\}"
    r"(?: *\{[^{}]*\})?(?P<cells>.*)\\end *\{ *(?P=kind) *\} *[)\]]?",
    re.DOTALL,
)
_BUILDER = re.compile(r"\\\{ *([A-Za-z]) *(?:\\in *\\mathbb\{R\})? *(?:\\mid|\||:) *(.*)\\\}")
_MEMBER = re.compile(r"[A-Za-z] *\\in(?![A-Za-z]) *")
_SIGN = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TIMES = re.compile(r"\\(?:cdot|times) *$")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "=": "=", "\\ne": "\\ne"}


class Form(NamedTuple):
    """``kind``: "value", "word", "list", "set", "point", "range", "union", "matrix", "relation".

    parts: of a value (tree, number or None, unit); of a point its brackets and forms; of a range
    its brackets and two forms, where None is an infinite end; of a relation its sign and trees.
    """

    kind: str
    parts: tuple[Any, ...]


def read_forms(text: str) -> list[Form]:
    """The ways in which a tidy text can be read, usually one: "1,234" is a number and a list.
    Raises Unreadable if there is none."""
    found, texts = [], [text]
    if _THOUSANDS.search(text):
        texts.append(_THOUSANDS.sub(lambda m: m[0].replace(",", ""), text))
    error = Unreadable(text)
    for each in texts:
        try:
            found.append(_form(each))
        except Unreadable as unreadable:
            error = unreadable
    if not found:
        raise error
    return found


def word(text: str) -> str:
    r"""The letters of "east", "\text{(C)}" or "C" in small; "" of anything else."""
    found = _WORDS.fullmatch(text)
    return (found[1] or found[2]).strip().casefold() if found else ""


def split(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[re.Match[str]]]:
    """The parts of ``text`` between what ``pattern`` finds outside of all brackets."""
    depth, place, start = 0, 0, 0
    parts: list[str] = []
    found: list[re.Match[str]] = []
    while place < len(text):
        if bracket := _OPENS.match(text, place):
            depth += -1 if bracket[0] in _CLOSING else 1
            if depth < 0:
                raise Unreadable(text)
            place = bracket.end()
        elif not depth and (between := pattern.match(text, place)):
            parts.append(text[start:place].strip())
            found.append(between)
            start = place = between.end()
        elif command := re.compile(r"\\(?:text *\{[^{}]*\}|[A-Za-z]+|.)").match(text, place):
            place = command.end()
        else:
            place += 1
    if depth:
        raise Unreadable(text)
    return [*parts, text[start:].strip()], found


def _form(text: str) -> Form:
    if not text:
        raise Unreadable("nothing")
    parts, between = split(text, _SEPARATOR)
    if len(parts) == 1:
        forms = list(_one(text))
        return forms[0] if len(forms) == 1 else Form("list", tuple(forms))
    if len(parts) > MOST_PARTS:
        raise Unreadable("too many parts")
    if whole := _chain_of_names(parts):
        parts = whole
    forms = [form for part in parts for form in _one(part)]
    joined = {(m["set"] or m["bare"] or m["sign"] or ",").strip("\\") for m in between} - {","}
    if all(form.kind in ("range", "union") for form in forms):
        if joined and joined <= {"or", "lor", "vee"}:
            return _union(forms)
        if joined and joined <= {"and", "land", "wedge"} and len(forms) == 2:
            return _both(*forms)
    return Form("list", tuple(forms))


def _chain_of_names(parts: Sequence[str]) -> list[str] | None:
    """["2", "3"] of ["x = 2", "x = 3"] or ["x = 2", "3"]: solutions for one unknown."""
    named = [split_name(part) for part in parts]
    first = named[0][0]
    if not first or any(name not in (first, "") for name, _ in named):
        return None
    return [value for _, value in named]


def _one(text: str) -> Iterator[Form]:
    r"""The form of a text without separators; of "1 \pm \sqrt{2}" both."""
    if not text:
        raise Unreadable("nothing")
    if not text.startswith("\\{") and _SIGN.search(text):
        for plus, minus in (("+", "-"), ("-", "+")):
            signs = {"pm": plus, "mp": minus}
            yield _single(_SIGN.sub(lambda m, signs=signs: signs[m[1]], text))
    else:
        yield _single(text)


def _single(text: str) -> Form:
    text = tidy(text)
    if said := word(text):
        return Form("word", (said,))
    if text.startswith("\\{") and (builder := _BUILDER.fullmatch(text)):
        return _form(builder[2].strip())
    if member := _MEMBER.match(text):
        form = _form(text[member.end() :].strip())
        return _union([form])
    pieces, _ = split(text, _CUP)
    if len(pieces) > 1:
        return _union([_single(piece) for piece in pieces])
    if text == "\\mathbb{R}":
        return Form("range", ("()", None, None))
    if (without := _WITHOUT.fullmatch(text)) and (points := _single(without[1])).kind == "set":
        return _all_but(points.parts)
    if text == "\\emptyset":
        return Form("set", ())
    if matrix := _MATRIX.fullmatch(text):
        return _matrix(matrix["cells"], matrix["scale"].strip())
    if form := _bracketed(text):
        return form
    sides, signs = split(text, _RELATION)
    if signs:
        return _related(sides, [m[0] for m in signs])
    return Form("value", _value(text))


def _value(text: str) -> tuple[Tree, Number | None, str]:
    plain = read_number(text)
    if plain:
        tree: Tree = ("number", plain.value)
        return tree, plain, plain.unit
    body, unit = split_unit(text)
    return parse(body), None, unit


def _matrix(inside: str, scale: str) -> Form:
    rows, _ = split(inside.strip(), re.compile(r"\\\\(?:\[[^][]*\])?"))
    rows = rows[:-1] if len(rows) > 1 and not rows[-1] else rows
    cells = [split(row, re.compile("&"))[0] for row in rows]
    if sum(map(len, cells)) > MOST_PARTS:
        raise Unreadable("too many parts")
    factor = parse(f"{scale}1" if scale in ("", "-") else _TIMES.sub("", scale))
    return Form(
        "matrix",
        tuple(
            tuple(Form("value", (("*", factor, _value(tidy(cell))[0]), None, "")) for cell in row)
            for row in cells
        ),
    )


def _bracketed(text: str) -> Form | None:
    """A set, a point or an interval; None if the text is not one pair of brackets with a comma."""
    for opens, closes in (("\\{", "\\}"), ("\\langle", "\\rangle"), ("(", ""), ("[", "")):
        end = closes or text[-1]
        if text.startswith(opens) and text.endswith(end) and end in (closes, ")", "]"):
            inside = text[len(opens) : -len(end)].strip()
            break
    else:
        return None
    try:
        parts, between = split(inside, re.compile(r" *[,;] *"))
    except Unreadable:
        return None  # (1)(2)
    if len(parts) > MOST_PARTS:
        raise Unreadable("too many parts")
    if opens == "\\{":
        forms = [f for p in split(inside, _SEPARATOR)[0] for f in _one(p)] if inside else []
        return Form("set", tuple(forms))
    if not between and opens == "[":
        raise Unreadable("[5] is no number")
    if not between:
        return None
    if len(parts) == 2 and opens in "([" and any(map(_infinite, parts)):
        return _interval(opens + end, *parts)
    if any(map(_infinite, parts)):
        raise Unreadable("infinity is no coordinate")
    return Form("point", (opens + end, *map(_single, parts)))


def _infinite(text: str) -> str:
    """Its sign: "-" or "+"; "" of what is not infinite."""
    found = re.fullmatch(r"([-+]?) *\\infty", tidy(text))
    return (found[1] or "+") if found else ""


def _interval(brackets: str, low: str, high: str) -> Form:
    ends = [None if _infinite(end) else _single(end) for end in (low, high)]
    if _infinite(low) == "+" or _infinite(high) == "-":
        raise Unreadable("an interval from its upper end")
    if (ends[0] is None and brackets[0] == "[") or (ends[1] is None and brackets[1] == "]"):
        raise Unreadable("infinity does not belong to an interval")
    return Form("range", (brackets, *ends))


def as_range(form: Form) -> Form:
    """The interval that a point of two coordinates is read as; any other form as it is."""
    if form.kind == "point" and len(form.parts) == 3 and form.parts[0][0] in "([":
        return Form("range", form.parts)
    return form


def _union(forms: Sequence[Form]) -> Form:
    """The union of intervals and sets, which may be one."""
    parts: list[Form] = []
    for form in map(as_range, forms):
        if form.kind not in ("range", "set", "union"):
            raise Unreadable("a union of what are no sets")
        parts += form.parts if form.kind == "union" else [form]
    return parts[0] if len(parts) == 1 else Form("union", tuple(parts))


def _all_but(points: Sequence[Form]) -> Form:
    """The real numbers without these."""
    if any(point.kind != "value" for point in points):
        raise Unreadable("not values")
    rising = sorted(points, key=functools.cmp_to_key(lambda a, b: order(a.parts[0], b.parts[0])))
    ends = [None, *rising, None]
    return _union([Form("range", ("()", *pair)) for pair in itertools.pairwise(ends)])


def _both(a: Form, b: Form) -> Form:
    """x > 2 and x < 5: the interval between."""
    low, high = (a, b) if a.parts[2] is None else (b, a)
    if (
        a.kind != "range" or b.kind != "range"
        or low.parts[1] is None or low.parts[2] is not None
        or high.parts[1] is not None or high.parts[2] is None
    ):  # fmt: skip
        raise Unreadable("not two ends of one interval")
    return Form("range", (low.parts[0][0] + high.parts[0][1], low.parts[1], high.parts[2]))


def _related(sides: Sequence[str], signs: Sequence[str]) -> Form:
    trees = [parse(side) if not _infinite(side) else None for side in sides]
    unknown = [i for i, tree in enumerate(trees) if tree and tree[0] == "name"]
    constant = [i for i, tree in enumerate(trees) if tree is None or not names(tree)]
    if len(unknown) == 1 and len(constant) == len(sides) - 1 and "=" not in signs:
        if form := _range(sides, list(signs), unknown[0]):
            return form
    if set(signs) == {"="} and None not in trees:
        return Form("relation", ("=", *trees))
    if len(signs) == 1 and signs[0] in _FLIPPED and None not in trees:
        sign, (left, right) = signs[0], trees
        if sign in (">", "\\ge"):
            sign, left, right = _FLIPPED[sign], right, left
        return Form("relation", (sign, left, right))
    raise Unreadable("a chain of relations")


def _range(sides: Sequence[str], signs: list[str], unknown: int) -> Form | None:
    """The interval of "a < x", "x \\le b", "a < x \\le b"; None if the signs do not go one way."""
    if len(sides) > 3 or (len(sides) == 3 and unknown != 1):
        return None
    if signs == ["\\ne"]:
        return _all_but([_single(sides[1 - unknown])])
    low: tuple[str, Any] = ("(", None)
    high: tuple[str, Any] = (")", None)
    for place, sign in enumerate(signs):
        if sign not in ("<", ">", "\\le", "\\ge"):
            return None
        other = sides[place] if place + 1 == unknown else sides[place + 1]
        below = sign in ("<", "\\le")
        is_low = below == (place + 1 == unknown)
        if (low if is_low else high)[1] is not None:
            return None
        if _infinite(other):
            continue
        end, closed = _single(other), sign in ("\\le", "\\ge")
        if is_low:
            low = ("[" if closed else "(", end)
        else:
            high = ("]" if closed else ")", end)
    return Form("range", (low[0] + high[0], low[1], high[1]))


def matched(a: Sequence[Any], b: Sequence[Any], same: Callable[[Any, Any], bool]) -> bool:
    """Whether each of ``a`` has one of ``b`` that is the same, in any order."""
    left = list(b)
    for x in a:
        for place, y in enumerate(left):
            if same(x, y):
                del left[place]
                break
        else:
            return False
    return not left
