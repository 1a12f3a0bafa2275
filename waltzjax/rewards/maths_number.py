"""Plain numbers as people and LaTeX write them, read exactly: no floats, no rounding."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 300  # longer ones are no answers; Python turns digits into integers in squared time

# Typesetting that changes no value.
_TYPESETTING = [
    (re.compile(r"(?<=\d)(?:\{,\}|, *\\!) *(?=\d{3})"), ","),  # thousands
    (re.compile(r"\\left(?![A-Za-z])|\\right(?![A-Za-z])|\\displaystyle|\\!"), ""),
    (re.compile(r"(?<!\\)\\[()\[\]]"), " "),  # delimiters of maths; "\\[" ends a matrix's row
    (re.compile(r"(?<!\\)\\[,;: ]|~|\\q?quad(?![A-Za-z])|[\s\u00a0\u202f]+"), " "),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac *(\d) *(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac *(\d) *\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac *\{[^{}]*\}) *(\d)"), r"\1{\2}"),
    (re.compile(r"\\math(?:rm|bf|it)(?![A-Za-z])|\\text(?:rm|bf|it|normal)|\\mbox"), r"\\text"),
    (re.compile(r"[−–]"), "-"),  # the minus sign, and the dash that is typed for it
    (re.compile(r"(?<!\S)\*\*([^*]+)\*\*(?![\w(])"), r"\1"),  # bold; elsewhere ** is a power
    (re.compile(r"(?<!\\)\$+"), ""),
]
_STOP = re.compile(r"(?<![.\\])[.,;:]$")  # a sentence's, not that of 0.333...

_DEGREES = re.compile(r" *(?:°|\^ *\{? *\\circ *\}?)$")

_WHOLE = r"\d{1,3}(?:,\d{3})+|\d+"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?) *(?P<currency>\\\$|[€£])? *(?:(?P<mixed>{_WHOLE}) *(?=\\frac))?(?:"
    rf"\\frac *\{{ *(?P<above>-?(?:{_WHOLE})) *\}} *\{{ *(?P<below>{_WHOLE}) *\}}"
    r"|(?:(?P<whole_and>\d+) )?(?P<over>\d+) */ *(?P<under>\d+)"
    rf"|(?P<decimal>(?:{_WHOLE})?\.\d+|(?:{_WHOLE})\.?))"
    r" *(?:_ *\{? *(?P<base>\d+) *\}?)?(?P<percent> *(?:\\?%|\\text *\{ *%\}| *percent\b))?",
    re.ASCII,  # \d, and int(), would take any script's digits
)
_TEXT_UNIT = re.compile(r"(?:\\ ?)?\\text *\{([^{}\\\d]*)\} *(?:\^ *\{?[23]\}?)?$")
_BARE_UNIT = re.compile(r"(?<=[\d}%]) *((?: [A-Za-z]+){1,4})(?:\^ *\{?[23]\}?)?$")
_NAME = re.compile(r"(?P<name>[A-Za-z]|\\[A-Za-z]+|) *(?:=|\\approx(?![a-z])|≈) *(?=[^= ])")

_SHORT_UNIT = re.compile(
    "mm|cm|km|ft|yd|mi|oz|lb|lbs|kg|mg|ml|hr|hrs|min|sec|day|days|mph|kph|am|pm|egg|eggs|sq|cu|"
    "per|of|a|in|cup|cups|pie|pies|men|cat|cats|dog|dogs|car|cars|year|mile|pint|gal|inch|unit"
)
# Words that change the value, or are no words of a unit: "5 million" is not 5, "2 pi" is not 2.
_NO_UNIT = re.compile(
    "hundred|thousand|million|billion|trillion|half|halves|third|thirds|quarter|quarters|tenth|"
    "tenths|hundredths|thousandths|squared|cubed|plus|minus|over|root|sqrt|alpha|beta|gamma|"
    "delta|theta|infinity|infinite|negative|imaginary|none|wrong|false|either|neither|maybe|"
    "otherwise|with|without|than|less|fewer|about|or|and|not|is|if|to|no"
)


class Number(NamedTuple):
    """A value, and how it was written. ``base``: "" or the subscript of "52_8", whose value is
    then left at its digits, 52. ``unit``: "" or words, "square inches"."""

    value: Fraction
    percent: bool
    base: str
    unit: str


def tidy(text: str) -> str:
    """``text`` without typesetting that changes no value: delimiters of maths, spaces, bold, the
    sentence's full stop; fractions in one form. Idempotent but for its last stop."""
    for pattern, plain in _TYPESETTING:
        text = pattern.sub(plain, text)
    text = _STOP.sub("", text.strip(" *")).strip(" *")
    text = _DEGREES.sub(r" \\text{degrees}", text)
    whole = re.fullmatch(r"\{([^{}]*)\}|\\text *\{ *(\d[^{}]*)\}", text)
    return (whole[1] or whole[2] or "").strip() if whole else text


def split_name(text: str) -> tuple[str, str]:
    """("x", "5") of a tidy "x = 5"; ("", "5") of "= 5" and "5"."""
    found = _NAME.match(text)
    return (found["name"], text[found.end() :]) if found else ("", text)


def split_unit(text: str) -> tuple[str, str]:
    """("5", "square feet") of a tidy "5 square feet"; ("x", "") of what has no unit."""
    typeset = _TEXT_UNIT.search(text)
    found = typeset or _BARE_UNIT.search(text)
    if not found or not (body := text[: found.start()].rstrip()):
        return text, ""
    words = found[1].lower().replace(".", "").replace("/", " per ").split()
    if not words or not all(_unit_word(w, typeset=bool(typeset)) for w in words):
        return text, ""
    return body, " ".join(words)


def _unit_word(word: str, *, typeset: bool) -> bool:
    """Whether a word may belong to a unit. One of four letters with a vowel is taken for a word,
    a shorter one for a product of variables unless it is listed or set as text."""
    if not (word.isascii() and word.isalpha()) or _NO_UNIT.fullmatch(word):
        return False
    if typeset or _SHORT_UNIT.fullmatch(word):
        return True
    return len(word) > 3 and bool(re.search("[aeiouy]", word))


def same_unit(a: str, b: str) -> bool:
    """Whether two units may be one: one of them not written, the same words, or an abbreviation
    ("in" of "inches"). The number is what is graded: powers are not compared."""
    plain = [[w for w in u.split() if w not in ("square", "sq", "cubic", "cu")] for u in (a, b)]
    if not all(plain):
        return True
    short, long = sorted((" ".join(words) for words in plain), key=len)
    if short.rstrip("s") == long.rstrip("s"):
        return True
    letters = iter(long)
    return len(long) > 3 and short[0] == long[0] and all(c in letters for c in short.rstrip("s"))


def read_number(text: str) -> Number | None:
    """The plain number that a tidy ``text`` is: integer, decimal, fraction, mixed number, with a
    sign, thousands commas, currency, per cent, base or unit; None if it is anything else."""
    body, unit = split_unit(text)
    found = _NUMBER.fullmatch(body) if len(body) <= MAX_DIGITS else None
    if not found:
        return None
    if found["above"]:
        above, below = _integer(found["above"]), _integer(found["below"])
    elif found["over"]:
        above, below = _integer(found["over"]), _integer(found["under"])
    else:
        decimal = found["decimal"].replace(",", "").rstrip(".")
        above, below = 0, 1
    if not below or (found["mixed"] and above < 0):
        return None
    value = Fraction(above, below) if not found["decimal"] else Fraction(decimal)
    value += _integer(found["mixed"] or found["whole_and"] or "0")
    currency = {"\\$": "dollars", "€": "euros", "£": "pounds"}.get(found["currency"] or "", "")
    return Number(
        -value if found["sign"] == "-" else value, bool(found["percent"]), found["base"] or "",
        unit or currency,
    )  # fmt: skip


def _integer(digits: str) -> int:
    return int(digits.replace(",", ""))
