"""Plain numbers as people and LaTeX write them, read exactly: no floats, no rounding."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from waltzjax.rlvr.grading.units import split_unit

MAX_DIGITS = 300  # longer ones are no answers; Python turns digits into integers in squared time
MAX_EXPONENT = 400  # of 10, in "1e-05"

_WHOLE = (
    r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?: \d{3})+|\d{1,3}(?:'\d{3})+"
    r"|\d+"
)
_INTEGER = r"\d{1,3}(?:,\d{3})+|\d+"
_NUMBER = re.compile(
    r"(?P<sign>[-+]?) *"
    r"(?:(?P<currency>\\\$|[€£¥₹]|(?:USD|EUR|GBP|INR|Rs\.?)(?= ?\d)) *(?P<inner>-?) *)?"
    rf"(?:(?P<mixed>{_INTEGER}) *(?=\\frac))?(?:"
    rf"\\frac *\{{ *(?P<above>-?(?:{_INTEGER})) *\}} *\{{ *(?P<below>-?(?:{_INTEGER})) *\}}"
    r"|(?:(?P<whole_and>\d+) )?(?P<over>\d+) */ *(?P<under>\d+)"
    rf"|(?P<decimal>(?:{_WHOLE})?\.\d+|(?:{_WHOLE})\.?)(?:[eE](?P<exponent>[-+]?\d{{1,4}}))?)"
    r" *(?:_ *\{? *(?P<base>\d+) *\}?)?(?P<percent> *\\?%)?(?P<after>(?: *\\\$| ?[€£¥₹¢])?)",
    re.ASCII,  # \d, and int(), would take any script's digits
)
_REPEATING = re.compile(
    r"(-?) *(\d*)\.(\d*)\\(?:overline|bar|dot) *(?:\{ *(\d+) *\}|(\d))", re.ASCII
)
_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|theta|lambda|mu|phi|varphi|omega|sigma|tau|rho"
    r"|Delta|Omega|Theta|ell)(?![A-Za-z])"
)
_SYMBOL = rf"(?:[A-Za-z]|{_GREEK})(?:_ *(?:\w|\{{[\w ]*\}}|\\text *\{{[\w ]*\}}))?'*"
_NAME = re.compile(
    rf"(?P<name>{_SYMBOL}(?:\( *-?\w+(?: *, *-?\w+)* *\))?"
    rf"|\( *{_SYMBOL}(?: *, *{_SYMBOL})+ *\)|[A-Z]{{2}}|\\angle *[A-Z]{{1,3}}|)"
    r" *(?:=|\\approx(?![a-z])|≈) *(?=[^= ])"
)


_CURRENCIES = {
    "\\$": "dollars",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
    "₹": "rupees",
    "¢": "cents",
}
_MONEY = ("dollar", "usd", "euro", "pound", "yen", "rupee", "cent", "per ", "each", "a ", "an ")
_NAMED_LAST = re.compile(rf"([^=<>]+?) *= *({_SYMBOL})")
_SCALES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12,
}  # fmt: skip
_SCALE = re.compile(
    rf"(?<=[\d}}])(?: +|( *\\text *\{{) *)({'|'.join(_SCALES)})(?![A-Za-z])(?: *\}}$)?"
)
_SEVERAL = re.compile(r"(?:[,;]|(?<![A-Za-z])(?:or|and)(?![A-Za-z])).*=")  # "x = 1, x = 2"


class Number(NamedTuple):
    """A value, and how it was written. ``base``: "" or the subscript of "52_8", whose value is
    then left at its digits, 52. ``unit``: "" or words, "square inches"."""

    value: Fraction
    percent: bool
    base: str
    unit: str


def split_name(text: str) -> tuple[str, str]:
    """("x", "5") of a tidy "x = 5" and of "5 = x"; ("", "5") of "= 5" and "5"."""
    if (last := _NAMED_LAST.fullmatch(text)) and read_number(last[1]):
        return last[2], last[1]
    match = _NAME.match(text)
    if not match or _SEVERAL.search(text, match.end()):
        return "", text
    return match["name"], text[match.end() :]


def read_number(text: str) -> Number | None:
    """The plain number that a tidy ``text`` is: integer, decimal, fraction, mixed number, with a
    sign, thousands commas, currency, exponent, per cent, base or unit; None if it is anything
    else. "0.1\\overline{6}" and "3 million" are numbers too."""
    if scale := _SCALE.search(text):
        opens = (scale[1] or "") if not scale[0].endswith("}") else ""
        many = read_number(text[: scale.start()] + opens + text[scale.end() :])
        if many and many.value and not many.percent and not many.base:
            return many._replace(value=many.value * _SCALES[scale[2]])
        return None
    body, unit = split_unit(text)
    if len(body) > MAX_DIGITS:
        return None
    if match := _REPEATING.fullmatch(body):
        value = repeating(match[2], match[3], match[4] or match[5])
        return Number(-value if match[1] else value, False, "", unit)
    match = _NUMBER.fullmatch(body)
    return _number(match, unit) if match else None


def _number(match: re.Match[str], unit: str) -> Number | None:
    if match["above"]:
        above, below = _integer(match["above"]), _integer(match["below"])
    elif match["over"]:
        above, below = _integer(match["over"]), _integer(match["under"])
    else:
        above, below = 0, 1
    exponent = int(match["exponent"] or 0)
    if not below or (match["mixed"] and (above < 0 or below < 0)) or abs(exponent) > MAX_EXPONENT:
        return None
    value = Fraction(above, below)
    if match["decimal"]:
        value = (
            Fraction(re.sub("[, ']", "", match["decimal"]).rstrip(".")) * Fraction(10) ** exponent
        )
    value += _integer(match["mixed"] or match["whole_and"] or "0")
    money = match["currency"] or match["after"].strip()
    if money and unit and not unit.startswith(_MONEY):
        return None  # "$5 m" may be five millions
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    return Number(
        -value if negative else value,
        bool(match["percent"]),
        match["base"] or "",
        unit or _CURRENCIES.get(money, money.lower().rstrip(".")),
    )


def repeating(whole: str, once: str, again: str) -> Fraction:
    """The value of ``whole.once`` followed by ``again`` for ever: 0.1666... of "0", "1", "6"."""
    value = Fraction(int(whole + once or "0"))
    value += Fraction(int(again), 10 ** len(again) - 1)
    return value / 10 ** len(once)


def _integer(digits: str) -> int:
    return int(digits.replace(",", ""))
