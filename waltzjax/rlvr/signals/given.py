r"""What a problem gives: its numbers, in digits or words, and the words that are its own.

The signals that need no label, format and reflect, look at the problem with these: an answer that
would be the same for any other problem uses none of them. [ours]
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from waltzjax.rlvr.signals.algebra import Number, agree, is_number, leaves, size
from waltzjax.rlvr.signals.relations import Chain, chains

_SHARE = 0.5  # of the problem's numbers, by their surprise

_PERCENT = re.compile(r"(?<=\d) ?per ?cent\b", re.IGNORECASE)
_LABEL = re.compile(r'"([^\W\d_]{3,20})"')
_WORD = re.compile(r"[^\W\d_]+")
_ONES = """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_CARDINALS = {word: n for n, word in enumerate(_ONES.split(), 1)}
_CARDINALS |= {word: n for n, word in zip(range(20, 100, 10), _TENS.split(), strict=True)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12}
_PARTS = {"half": 2, "halve": 2, "quarter": 4}
_PARTS |= {word: n for n, word in enumerate(_ORDINALS.split(), 3)}
# Numbers that go with a word, written or not: six weeks are 42 days.
_IMPLIED: dict[str, tuple[int, ...]] = {
    "twice": (2,), "double": (2,), "both": (2,), "pair": (2,), "couple": (2,), 
    "thrice": (3,), "triple": (3,), "dozen": (12,), "score": (20,),
    "percent": (100,), "percentage": (100,), "cent": (100,), "dollar": (100,), "dime": (10,),
    "nickel": (5,), "quarter": (25,), "penny": (1,), "pennies": (1,), "century": (100,),
    "decade": (10,), "year": (12, 52, 365), "month": (4, 30, 12), "week": (7, 52, 4),
    "weekly": (7, 52), "day": (7, 24), "daily": (7,), "hour": (60, 24), "minute": (60,),
    "second": (60,), "foot": (12, 3), "feet": (12, 3), "yard": (3,), "inch": (12,),
    "inches": (12,), "mile": (5280,), "meter": (100, 1000), "kilometer": (1000,), "gram": (1000,),
    "kilogram": (1000,), "liter": (1000,), "pound": (16,), "ounce": (16,), "gallon": (4,),
    "angle": (90, 180, 360), "degree": (90, 180, 360), "triangle": (3, 180), "square": (4, 2),
    "rectangle": (2, 4), "perimeter": (2, 4), "cube": (3, 6), "circle": (2, 360), "evenly": (2,),
    "monthly": (12,), "annual": (12,), "yearly": (12, 52, 365), "weekend": (2,), "weekday": (5,),
}  # fmt: skip


class Given(NamedTuple):
    """``named``: the numbers that a problem names, without signs, a fraction or a percentage as
    one; ``implied``: those that its words bring along (7 of a week, 100 of per cent, 2 and 1/2 of
    half). ``origins``: which of the named ones stands behind each number that may be used."""

    named: frozenset[Number]
    origins: Mapping[Number, frozenset[Number]]


class Grounds(NamedTuple):
    """The relation of a problem to a text's numbers. ``origins``: the numbers that are the
    problem's or that true computations of the text made of those, without signs, and which of the
    problem's each was made of."""

    gives: Given
    origins: dict[Number, frozenset[Number]]

    def behind(self, number: Number) -> frozenset[Number]:
        """The problem's numbers that a number was made of; none if it is not grounded. A fraction
        is made of its two numbers."""
        if number in self.origins or number == int(number):
            return self.origins.get(number, frozenset())
        return self.behind(number.numerator) | self.behind(number.denominator)

    def holds(self, number: Number) -> bool:
        """Whether a number is grounded in the problem."""
        parts = (number,) if number == int(number) else (number.numerator, number.denominator)
        return number in self.origins or all(part in self.origins for part in parts)

    def enough(self, used: Iterable[Number], answer: Number | None = None) -> bool:
        """Whether enough of the problem's numbers stand behind these: half of those that it names,
        large ones counting more as they are less likely to be met by chance, and two of several.
        An ``answer`` that the problem names too does not count."""
        named = self.gives.named
        whole = sum(map(_surprise, named))
        behind = frozenset().union(*map(self.behind, used))
        used_named = named & behind - {answer}
        if not used_named or len(used_named) < min(2, len(named)):
            return False
        return sum(map(_surprise, used_named)) >= _SHARE * whole


def without_pictures(text: str) -> str:
    """The text with no more of its drawing programs than the labels that are words: their numbers
    are places on paper."""
    before, *pictures = text.split("[asy]")
    for picture in pictures:
        program, closed, after = picture.partition("[/asy]")
        before += f" {' '.join(_LABEL.findall(program))} {after}" if closed else picture
    return before


def given(problem: str) -> Given:
    """The numbers that ``problem`` gives. Linear in the text."""
    text = _PERCENT.sub("%", without_pictures(problem))
    named, origins = _in_words(_WORD.findall(text.lower()))
    if "%" in text or "$" in text:
        origins.setdefault(100, frozenset())
    for chain in chains(text):
        parts = frozenset(leaf for node in chain.pieces if node for leaf in leaves(node.form))
        named |= chain.numbers if None in chain.pieces else parts
        for number in chain.numbers - named:
            origins[number] = parts if len(parts) == 1 else frozenset()  # 40 of 40 %, 3 of 3/4
    for part in [n for n in named if n < 1]:
        for number in (1 - part, 1 + part, 100 * (1 - part), 100 * (1 + part)):
            origins.setdefault(_plain(number), frozenset({part}))  # what is left of it, and with it
    origins |= {n: frozenset({n}) for n in named}
    return Given(frozenset(named), origins)


def ground(written: Iterable[Chain], gives: Given) -> Grounds:
    """The grounds of the computations of ``written``, in their order."""
    grounds = Grounds(gives, dict(gives.origins))
    for chain in written:
        nodes = [node for node in chain.pieces if node is not None]
        if not all(agree(a, b) for a, b in itertools.pairwise(nodes)):
            continue
        results = {size(node.value) for node in nodes if is_number(node)}
        for node in nodes:
            if not is_number(node):
                _extend(grounds, leaves(node.form), results | {size(node.value)}, len(nodes) > 1)
    return grounds


def _extend(
    grounds: Grounds, used: Sequence[Number], results: Collection[Number], stated: bool
) -> None:
    """A computation's numbers ground what it comes to; and one number that is missing is what an
    equation asks for, if the others and the result are grounded: 11 in 11 * 15 = 165."""
    missing = [n for n in used if not grounds.holds(n)]
    if len(missing) == 1 and stated and all(map(grounds.behind, results)):
        used, results = [n for n in (*used, *results) if n not in missing], missing
    elif missing:
        return
    behind = frozenset().union(*map(grounds.behind, used))
    for result in results:
        if not grounds.behind(result):
            grounds.origins[result] = behind


def _surprise(number: Number) -> float:
    """How little a number may be expected to turn up by chance: the logarithm of its size."""
    return math.log1p(abs(number.numerator)) + math.log(number.denominator)


def _plain(value: Number) -> Number:
    return value.numerator if value.denominator == 1 else value


def _in_words(words: Sequence[str]) -> tuple[set[Number], dict[Number, frozenset[Number]]]:
    """Numbers named in words, "twenty five", "three hundred", "two thirds", and the others that
    words bring along, with the named ones that stand behind them."""
    named: set[Number] = set()
    origins: dict[Number, frozenset[Number]] = {1: frozenset()}
    total = current = 0
    for word in [*words, ""]:
        stem = word if word in _CARDINALS else word.removesuffix("s")
        for known in {word, stem} & _IMPLIED.keys():
            origins.update(dict.fromkeys(_IMPLIED[known], frozenset()))
        if stem in _PARTS:
            part = Fraction(current or 1, _PARTS[stem])
            named |= {_plain(part)} if current or _PARTS[stem] == 2 else set()
            behind = frozenset(named & {part})
            origins |= dict.fromkeys((current or 1, _PARTS[stem], part), behind)
            total = current = 0
        elif word in _CARDINALS:
            value = _CARDINALS[word]
            goes_on = current % 100 == 0 or (value < 10 and current % 10 == 0 < current % 100 - 10)
            if not goes_on:
                named.add(total + current)
                total = current = 0
            current += value
        elif stem in _SCALES:
            current = (current or 1) * _SCALES[stem]
            if _SCALES[stem] >= 1000:
                total, current = total + current, 0
        elif total + current and word != "and":
            named.add(total + current)
            total = current = 0
    return named - {1}, origins  # "one" is mostly no number
