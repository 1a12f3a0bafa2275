r"""What an answer is made of: numbers, points, sets, intervals, lists, relations, matrices, words.

``(1,4)``, ``[1,4]`` and ``\{1,4\}`` are three things, and a point is no list. Two forms are equal
if they are of one kind and their parts are; an inequality of one unknown is the interval it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from waltzjax.rlvr.grading.number import Number, read_number, split_name
from waltzjax.rlvr.grading.parse import parse
from waltzjax.rlvr.grading.ranges import Form, all_but, both, interval, of_inequality, union
from waltzjax.rlvr.grading.tree import Tree, Unreadable, names, split
from waltzjax.rlvr.grading.typeset import tidy
from waltzjax.rlvr.grading.units import split_unit

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
_MATRIX = re.compile(
    r"(?P<scale>[^&]*?)[(\[]? *\\begin *\{ *(?P<kind>[pb]?matrix|smallmatrix|array) *\}"
    r"(?: *\{[^{}]*\})?(?P<cells>.*)\\end *\{ *(?P=kind) *\} *[)\]]?",
    re.DOTALL,
)
_BUILDER = re.compile(r"\\\{ *([A-Za-z]) *(?:\\in *\\mathbb\{R\})? *(?:\\mid|\||:) *(.*)\\\}")
_MEMBER = re.compile(r"([A-Za-z]) *\\in(?![A-Za-z]) *")
_SIGN = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_MIXED = re.compile(
    r"(?<=\d) *(?:(?<![A-Za-z])and|\\text *\{ *and *\}) *"
    r"(?=(?:\\frac *\{\d+\} *\{\d+\}|\d+ */ *\d+)$)"
)
_TIMES = re.compile(r"\\(?:cdot|times) *$")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "=": "=", "\\ne": "\\ne"}


def read_forms(text: str) -> list[Form]:
    """The ways in which a tidy text can be read, usually one: "1,234" is a number and a list, and
    so is "1 and 1/2".
    Raises Unreadable if there is none."""
    forms, texts = [], [text]
    if _MIXED.search(text):
        texts.append(_MIXED.sub(" ", text))
    if _THOUSANDS.search(text):
        texts.append(_THOUSANDS.sub(lambda m: m[0].replace(",", ""), text))
    error = Unreadable(text)
    for each in texts:
        try:
            forms.append(_form(each))
        except Unreadable as unreadable:
            error = unreadable
    if not forms:
        raise error
    return forms


def word(text: str) -> str:
    r"""The letters of "east", "\text{(C)}" or "C" in small; "" of anything else."""
    match = _WORDS.fullmatch(text)
    return (match[1] or match[2]).strip().casefold() if match else ""


def _form(text: str) -> Form:
    if not text:
        raise Unreadable("nothing")
    parts, between = split(text, _SEPARATOR)
    if len(parts) == 1:
        forms = list(_one(text))
        return forms[0] if len(forms) == 1 else Form("list", tuple(forms))
    if len(parts) > MOST_PARTS:
        raise Unreadable("too many parts")
    name, parts = _chain_of_names(parts)
    forms = [form for part in parts for form in _one(part)]
    joined = {(m["set"] or m["bare"] or m["sign"] or ",").strip("\\") for m in between} - {","}
    if all(form.kind in ("range", "union") for form in forms):
        if joined and joined <= {"or", "lor", "vee"}:
            return union(forms)
        if joined and joined <= {"and", "land", "wedge"} and len(forms) == 2:
            return both(*forms)
    return Form("list", tuple(forms), name)


def _chain_of_names(parts: list[str]) -> tuple[str, list[str]]:
    """ "x" and ["2", "3"] of ["x = 2", "x = 3"] or ["x = 2", "3"]: solutions for one unknown; ""
    and the parts as they are if they are none."""
    named = [split_name(part) for part in parts]
    first = named[0][0]
    if not first or any(name not in (first, "") for name, _ in named):
        return "", parts
    return first, [value for _, value in named]


def _one(text: str) -> Iterator[Form]:
    r"""The form of a text without separators; of "1 \pm \sqrt{2}" both."""
    if not text:
        raise Unreadable("nothing")
    if not text.startswith("\\{") and _SIGN.search(text):
        for signs in ({"pm": "+", "mp": "-"}, {"pm": "-", "mp": "+"}):
            yield _single("".join(signs.get(part, part) for part in _SIGN.split(text)))
    else:
        yield _single(text)


def _single(text: str) -> Form:
    text = tidy(text)
    if not text:
        raise Unreadable("nothing")
    if letters := word(text):
        return Form("word", (letters,))
    if text.startswith("\\{") and (builder := _BUILDER.fullmatch(text)):
        return _form(builder[2].strip())._replace(name="")
    if member := _MEMBER.match(text):
        form = _form(text[member.end() :].strip())
        return union([form])._replace(name=member[1])
    pieces, _ = split(text, _CUP)
    if len(pieces) > 1:
        return union([_single(piece) for piece in pieces])
    if text == "\\mathbb{R}":
        return Form("range", ("()", None, None))
    if (without := _WITHOUT.fullmatch(text)) and (points := _single(without[1])).kind == "set":
        return all_but(points.parts)
    if text == "\\emptyset":
        return Form("set", ())
    if matrix := _MATRIX.fullmatch(text):
        return _matrix(matrix["cells"], matrix["scale"].strip())
    bracketed = _bracketed(text)
    if bracketed:
        return bracketed
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
        signs = [_infinite(part) for part in parts]
        if signs[0] == "+" or signs[1] == "-":
            raise Unreadable("an interval from its upper end")
        return interval(
            opens + end, *(None if _infinite(part) else _single(part) for part in parts)
        )
    if any(map(_infinite, parts)):
        raise Unreadable("infinity is no coordinate")
    return Form("point", (opens + end, *map(_single, parts)))


def _infinite(text: str) -> str:
    """The sign of an infinite end: "-" or "+"; "" for any other text."""
    match = re.fullmatch(r"([-+]?) *\\infty", tidy(text))
    return (match[1] or "+") if match else ""


def _related(sides: Sequence[str], signs: Sequence[str]) -> Form:
    trees = [parse(side) if not _infinite(side) else None for side in sides]
    unknown = {i: tree[1] for i, tree in enumerate(trees) if tree and tree[0] == "name"}
    constant = [i for i, tree in enumerate(trees) if tree is None or not names(tree)]
    if len(unknown) == 1 and len(constant) == len(sides) - 1 and "=" not in signs:
        ends = [
            None if tree is None or i in unknown else _single(sides[i])
            for i, tree in enumerate(trees)
        ]
        [(place, name)] = unknown.items()
        return of_inequality(ends, signs, place)._replace(name=name)
    if set(signs) == {"="} and None not in trees:
        return Form("relation", ("=", *trees))
    if len(signs) == 1 and signs[0] in _FLIPPED and None not in trees:
        sign, (left, right) = signs[0], trees
        if sign in (">", "\\ge"):
            sign, left, right = _FLIPPED[sign], right, left
        return Form("relation", (sign, left, right))
    raise Unreadable("a chain of relations")


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
