r"""Integrals, sums, products and limits, which ``math-verify`` reads and sympy works out.

Only constants are compared.
"""

from __future__ import annotations

import re
from typing import Any

_OPERATORS = re.compile(r"\\(?:i*int|sum|prod|lim)(?![A-Za-z])")
_DIGITS = 60
# To math-verify every integer before a rational is a mixed number: it adds "2(3)", "(2)3" and
# "\frac{4}{2}\frac{1}{2}". What is a product is written as one; of the rest it must read none.
_PRODUCT = re.compile(
    r"((?<![_^A-Za-z\d.])[\d.]+(?= *(?:\(|\\binom))|\)(?= *[\d(])"
    r"|\\frac *\{\d+\} *\{\d+\}(?= *(?:\\frac|[\d(])))"
)
_MISREAD = re.compile(
    r"(?<![_^A-Za-z\d.])[\d.]*\d +\d+(?![\d ]*/)|(?<![A-Za-z_^}\]\\])\{|[\d)] *\[|\d *_"
    r"|dots(?![a-z])|[^\w\s\\^{}()+*/.=\[\]!|-]|\\[^A-Za-z]"
)
_WORDS = re.compile(r"\\text|(?<![A-Za-z\\])[A-Za-z]{3,}")


def has_any(text: str) -> bool:
    return bool(_OPERATORS.search(text))


def compare(answer: str, label: str) -> tuple[bool, bool]:
    """Whether answer and label are equal, and whether the answer could be read."""
    answer, label = (_PRODUCT.sub(r"\1\\cdot ", text) for text in (answer, label))
    if any(wrong.search(text) for wrong in (_WORDS, _MISREAD) for text in (answer, label)):
        return False, False
    got = _constant(answer)
    if got is None:
        return False, False
    gold = _constant(label)
    if gold is None:
        return False, True
    if got.is_Rational and gold.is_Rational:
        return bool(got == gold), True
    a, b = got.evalf(_DIGITS), gold.evalf(_DIGITS)
    if not (a.is_finite and b.is_finite) or abs(a - b) > max(abs(a), abs(b)) / 10 ** (_DIGITS - 20):
        return False, True
    return bool((got - gold).simplify() == 0), True  # digits may hide a tiny part


def _constant(text: str) -> Any:
    """The sympy.Expr that ``text`` comes to; None if it is none, or has variables."""
    from math_verify import LatexExtractionConfig, parse  # here: the trainer never loads sympy
    from sympy import Expr

    parsed = parse(
        rf"\boxed{{{text}}}",
        parsing_timeout=None,
        extraction_mode="first_match",
        extraction_config=[
            LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)
        ],
    )
    if not parsed or not isinstance(parsed[0], Expr):
        return None
    value = parsed[0].doit()
    return None if value.free_symbols else value
