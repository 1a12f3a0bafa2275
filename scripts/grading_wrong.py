r"""Answers whose value surely is not a label's, by the kinds of what a grader was seen to overlook.

Nothing of the graders is used here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

Forms = Iterator[tuple[str, str]]  # kind, answer

_CHANGING_BEFORE = (
    "negative", "minus", "not", "about", "nearly", "roughly", "at least", "at most", "less than",
    "more than", "half of", "twice", "up to", "below", "never", "the square of", "anything but",
)  # fmt: skip
_CHANGING_AFTER = (
    "eighths", "ninths", "tenths", "hundredths", "thirds", "halves", "dozen", "dozens", "hundred",
    "thousand", "million", "millions", "billion", "lakh", "lakhs", "crore", "K", "k", "M", "bn",
    "score", "gross", "factorial", "squared", "cubed", "and a half", "doubled", "times two",
    "repeating", "or more", "or less", "plus one", "short", "below zero", "over two", "inverse",
    "mod 3", "pairs", "thousandths", "per mille",
)  # fmt: skip
_SMALL = (
    "10^{-60}", "2^{-300}", r"\frac{1}{90!}", r"\frac{5^{300}}{2^{300}}", "10^{-200}",
    r"\sqrt{2}\cdot 10^{-90}", "e^{-400}", r"\frac{70!}{3^{9}}", r"\sin(10^{-70})",
)  # fmt: skip


def wrong_forms(label: str) -> Forms:
    """(kind, answer) of answers whose value surely is another than the label's."""
    if re.fullmatch(r"-?\d+", label):
        yield from _wrong_integer(int(label))
        return
    for word in ("not", "about", "negative", "never"):
        yield "word before", f"{word} {label}"
        yield "word before", rf"\text{{{word} }}{label}"
    for form in ("", "?", f"{label} or 7919", rf"{label}\text{{ or }}7919", f"{label}, 7919"):
        yield "hedge", form
    numbers = list(re.finditer(r"\d+", label))
    for match in numbers[:1] if "mbox" in label else numbers[:1] + numbers[-1:]:
        start, end = label[: match.start()], label[match.end() :]
        yield "number", f"{start}{int(match[0]) + 1}{end}"
        yield "number", f"{start}{int(match[0]) + 20}{end}"
    for old, new in (
        (r"\cot", r"\tan"),
        (r"\pi", "e"),
        ("+", "-"),
        (r"\sqrt", ""),
        (r"\circ", "0"),
        ("(-", "("),
        (r"\pm", "+"),
        (r"\pm", "-"),
        ("frac", "binom"),
    ):
        if old in label:
            yield "sign", label.replace(old, new, 1)
    if word := re.fullmatch(r"\\text\{\(?(\w+)\)?\}", label):
        other = "B" if word[1] == "A" else "A"
        for form in (rf"\text{{({other})}}", f"{word[1]}{word[1]}", f"{word[1]}, {other}"):
            yield "word", form
    if pair := re.fullmatch(r"(?:\\left *)?([(\[])([^,]*),([^,]*?)(?:\\right *)?([)\]])", label):
        yield from _wrong_brackets(*pair.groups())
    elif not re.search(r"[,=_$]|text|mbox|\\in|\\cup|\\circ|begin", label):
        yield from _wrong_expression(label)


def _wrong_expression(label: str) -> Forms:
    for small in _SMALL:
        yield "tiny or huge part", f"{label} + {small}"
        yield "tiny or huge part", rf"({label}) \cdot (1 + {small})"
    for form in (rf"2({label})", rf"\frac{{{label}}}{{7}}", f"{label} + y", f"({label})^2 + 7"):
        yield "number", form
    for form in (f"[{label}]", f"({label}, 0)", rf"x > {label}", rf"\{{{label}, y\}}"):
        yield "other kind", form
    for word in ("dozen", "eighths", "million", "squared", "lakh", "K"):
        yield "word after", rf"{label}\text{{ {word}}}"


def _wrong_brackets(opens: str, low: str, high: str, closes: str) -> Forms:
    yield "order", f"{opens}{high},{low}{closes}"
    for a, b in itertools.product("([", ")]"):
        if (a, b) != (opens, closes):
            yield "other kind", f"{a}{low},{high}{b}"
    yield "other kind", rf"\{{{low},{high}\}}"
    yield "other kind", f"{low}, {high}"
    yield "other kind", f"{opens}{low},{high},0{closes}"
    yield "other kind", rf"\begin{{pmatrix}}{low}\\{high}\end{{pmatrix}}"
    yield "other kind", rf"{low} \ge x \ge {high}"


def _wrong_integer(n: int) -> Forms:
    digits, sign = str(abs(n)), -1 if n < 0 else 1
    others = {n + 1, n - 1, -n, 10 * n, n + 10 ** (len(digits) - 1), n * n + 7}
    for i, (a, b) in enumerate(itertools.pairwise(digits)):
        others.add(int(digits[:i] + b + a + digits[i + 2 :]) * sign)
    for other in sorted(others - {n}):
        yield "number", str(other)
    for form in (f"{n}.5", rf"\sqrt{{{n * n + 1}}}", rf"{n + 1}\%", rf"{n}\frac12", f"{n}e3"):
        yield "number", form if n or form != "0e3" else "1e3"
    for form in (f"{n} or {n + 1}", f"{n + 1}, {n}", f"{n} {n}", rf"{n}\text{{ and }}{n + 1}", ""):
        yield "hedge", form
    for form in (
        f"{n + 1} = {n}",
        f"{n} = {n + 1}",
        rf"{n + 1} \approx {n}",
        f"-x = {n - (n == 0)}",
        f"3x = {n + 1}",
        rf"x \ne {n}",
        rf"\not= {n}",
        f"x > {n}",
        rf"x \ge {n}",
        f"{n} < x",
    ):
        yield "relation", form
    for form in (
        f"({n}, {n})",
        f"[{n}]",
        rf"\{{{n}\}}",
        f"[{n},{n}]",
        rf"({n},\infty)",
        f"({n + 1}, {n})",
        rf"\begin{{pmatrix}}{n}\\{n}\end{{pmatrix}}",
        rf"\pm {n or 1}",
        f"{n}_7",
        r"\emptyset",
    ):
        yield "other kind", form
    for form in (f"{n}x", f"{n} + x", f"{n or 2}i", f"{n or 2}e", rf"{n or 2}\pi", f"{n}x + 1"):
        yield "variable", form
    for small in _SMALL:
        yield "tiny or huge part", f"{n} + {small}"
        yield "tiny or huge part", rf"{n or 1}(1 + {small})"
    for word in _CHANGING_BEFORE:
        yield "word before", f"{word} {n}"
        yield "word before", rf"\text{{{word} }}{n}"
    for word in _CHANGING_AFTER:
        yield "word after", f"{n} {word}"
        yield "word after", rf"{n}\text{{ {word}}}"
    yield "word after", rf"\${n}\text{{m}}"
    yield "word after", f"{n}K"
    yield "percent", rf"{n or 3}.5\%"
    yield "percent", f"{100 * n + 1} percent"
