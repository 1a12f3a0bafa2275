r"""Whether an answer has the value of a label: exactly if both are plain, else by ``math-verify``.

Decimals are not rounded to match: 12.7 is not 12.8, and 0.333 is not 1/3. Units and per cent:
a unit that only one of the two writes is not compared, units that differ make answers differ, "50%"
is 50 (the question asked in per cent) as well as 0.5. A base that the answer does not write is
the label's; a number in another base than the label is not an answer in it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

from waltzjax.rewards.maths_answer import MAX_CHARS
from waltzjax.rewards.maths_number import (
    Number,
    read_number,
    same_unit,
    split_name,
    split_unit,
    tidy,
)
from waltzjax.rewards.maths_text import boxes

FLOAT_DIGITS = 12  # decimals in which a decimal fraction must agree with sqrt(2) or pi
NUMERIC_DIGITS = 50  # of a difference that counts as zero; math-verify's 15 lose small terms

_WORDS = re.compile(
    r"\\text *\{ *\(?([A-Za-z][A-Za-z -]*)\)? *\}|\(?([A-Z]|(?=.*[A-Za-z]{3})[A-Za-z -]+)\)?"
)
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9.]) +| +(?![A-Za-z0-9.])")
_RELATION = re.compile(r"\\approx(?![a-z])|≈|(?<![<>!:\\])=")
# To math-verify every integer before a rational is a mixed number: it adds "2(3)", "(2)3" and
# "\frac{4}{2}\frac{1}{2}". What is a product is written as one; of the rest it must read none.
_PRODUCT = re.compile(
    r"((?<![_^A-Za-z\d.])[\d.]+(?= *(?:\(|\\[dt]?binom))|\)(?= *[\d(])"
    r"|\\frac\{\d+\}\{\d+\}(?= *(?:\\frac|[\d(])))"
)
_MISREAD = re.compile(
    r"(?<![_^A-Za-z\d.])[\d.]*\d +\d+(?![\d ]*/)"  # "2 3"
    r"|(?<![A-Za-z_^}\]\\])\{|[\d)] *\["  # "2{3}", "2[3]"
    r"|\d *_|dots(?![a-z])"  # a base, which it leaves out, and what follows three dots
)


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
    if (said := _word(a)) and (meant := _word(b)):
        return Comparison(said == meant, True)
    parts = [read_number(part.strip()) for part in _RELATION.split(a)] if y else []
    if len({part.value for part in parts if part}) > 1:
        return Comparison(False, True)
    return None


def compare_symbolic(answer: str, label: str) -> Comparison:
    """The comparison by ``math-verify``. It may run for ever or take all memory: see ``verifier``.

    Its own time limits are off, as they need signals; of the answer, all or nothing is read.
    """
    import math_verify  # here, so that the trainer never loads it and sympy

    a, b = _sides(answer, label)
    if _MISREAD.search(a) or _MISREAD.search(b):
        return Comparison(False, False)
    (a, unit), (b, label_unit) = split_unit(a), split_unit(b)
    gold, got = _parse(b), _parse(a)
    parsed = any(not isinstance(value, str) for value in got)
    if not parsed or not gold or not same_unit(unit, label_unit):
        return Comparison(False, parsed)
    equal = math_verify.verify(
        gold, got, float_rounding=FLOAT_DIGITS, numeric_precision=NUMERIC_DIGITS,
        allow_set_relation_comp=True, timeout_seconds=None,
    )  # fmt: skip
    return Comparison(equal and not _both_unsolvable(gold[0], got[0]), True)


def readable_label(label: str) -> bool:
    """Whether any answer could have the value of ``label``. Linear; no algebra."""
    text = tidy(label) if len(label) <= MAX_CHARS else ""
    box = rf"\boxed{{{text}}}"
    return bool(text) and boxes(box)[0] == (0, len(box), text)


def compare(answer: str, label: str) -> Comparison:
    """``compare_plain``, or else ``compare_symbolic``, in this process."""
    return compare_plain(answer, label) or compare_symbolic(answer, label)


def _sides(answer: str, label: str) -> tuple[str, str]:
    """Both tidy, without the name of the unknown ("x = 5") that only one of them gives."""
    a, b = tidy(answer), tidy(label)
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
        return percent.value in (plain.value, 100 * plain.value)
    return a.value == b.value


def _word(text: str) -> str:
    r"""The letters of "east", "\text{(C)}" or "C" in small; "" of anything else. Without this
    "seat" is "east" to math-verify: the product of its letters."""
    found = _WORDS.fullmatch(text)
    return (found[1] or found[2]).strip().casefold() if found else ""


def _parse(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    usual = LatexExtractionConfig()
    config = dataclasses.replace(
        usual,
        try_extract_without_anchor=False,  # or it picks an expression out of what it cannot read
        boxed_match_priority=0,
        # Its units are taken off anywhere, also the d of "3d".
        normalization_config=dataclasses.replace(usual.normalization_config, units=False),
    )
    text = _PRODUCT.sub(r"\1\\cdot ", text)
    box = rf"\boxed{{{text}}}"
    if boxes(box)[:1] != [(0, len(box), text)]:
        return []  # unbalanced
    return parse(
        box, extraction_config=[config], extraction_mode="first_match",
        parsing_timeout=None,
    )  # fmt: skip


def _both_unsolvable(gold: Any, got: Any) -> bool:
    """Whether two different equations are "the same" only in that neither has a solution, which
    is what math-verify compares."""
    from sympy import Eq, solve

    if not (isinstance(gold, Eq) and isinstance(got, Eq)) or gold == got:
        return False
    return not solve(gold, gold.free_symbols) and not solve(got, got.free_symbols)
