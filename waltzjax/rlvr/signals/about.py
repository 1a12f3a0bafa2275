r"""Whether a text works on its problem, or says what it would say of any other. [ours]

Three things show it, once whole passages that are only copied from the problem are left out: a
computation with enough of the problem's numbers; words and numbers of the problem, the rarer the
better; a formula of the problem.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from waltzjax.rlvr.signals.algebra import is_number, leaves
from waltzjax.rlvr.signals.given import given, ground, without_pictures
from waltzjax.rlvr.signals.relations import chains

_ECHO, _ECHO_WORDS = 12, 2  # tokens in a row that are the problem's, so many of them words: a copy
_MOST_SIGNS = 600  # more is no solution
_FORMULA = 4  # of a formula's tokens in a row: it is the problem's
_LONG_NUMBER = 10  # from here on a number alone makes such a run a formula's; else with a letter
_LEAST_NEW = 3  # different words, numbers and signs that the problem does not have
_LIKE = 0.16  # least cosine of the two texts' words and numbers
_LEAST_SHARED = 1.0  # of a word's weight; a word is among it
_STEM = 6  # letters of a word that are looked at
_SURPRISING = 100  # a number as large as this weighs as much as a word

_TOKEN = re.compile(r"\\?[^\W\d_]+|\d+(?:\.\d+)?|[^\w\s]")
_CONTENT = re.compile(r"(?<!\\)\b[^\W\d_]{3,}|\d+(?:\.\d+)?")
_SIGNS = frozenset("+-*/=<>^")
_NEW = re.compile(r"\\?[^\W\d_]{3,}|\d+(?:\.\d+)?|[-+*/=<>^]")  # words, commands, numbers, signs
_COMMA = re.compile(r"(?<=\d)(?:,|\{,\}|\\[,!])(?=\d{3})")
_LAYOUT = r"$ { } & \left \right \dfrac \frac \cdot \quad \text , . ; ! \ "
# Words that many problems share, and those that announce an answer.
_COMMON = """
    about after again all also amount and another answer any are area average before both
    bought box boxed boxes but buy buys calculate can collect contains correct cost costs day days
    decide determine did differ difference divide divided does dollar dollars draw each either
    enter equal equation equations every evaluate express feet find first five for form four
    friend friends from fully gave get gets give given gives got had half has have hence her here
    him his hour hours how inch inches integer integers into its john just larger largest last
    left length less let long made make makes many maximum mile miles minimum minute minutes money
    month months more most much must need needs new not now number numbers old one ones only
    other our out over own paid pair pay people per point points positive possible pound pounds
    price problem product read reads real remaining rest result same say school second see sell
    sells
    shape she simplify simplest size small smallest sold solution solve some spend spends square
    step store student students such sum take takes tell ten than that the their them then there
    therefore these they thing think third this three thus time times together total triangle
    twice two unit units use using value values want wants was way week weeks well were what when
    where whether which while who whole why will with work would year years yes you your
"""


def works_on(text: str, problem: str) -> bool:
    """Whether ``text``, an answer up to its result, works on ``problem``."""
    problem = without_pictures(problem)
    text = _without_echo(without_pictures(text), problem)
    about = _adds(text, problem) and (_resembles(text, problem) or _quotes(text, problem))
    return about or _computes(text, problem)


def _adds(text: str, problem: str) -> bool:
    """Whether the text says what the problem does not, in whatever order it copies its words."""
    known = {*_NEW.findall(problem.lower()), *_COMMON.split()} - _SIGNS
    return len(set(_NEW.findall(text.lower())) - known) >= _LEAST_NEW


def _computes(text: str, problem: str) -> bool:
    if sum(map(text.count, "+-*/=")) > _MOST_SIGNS:
        return False
    written = chains(text)
    grounds = ground(written, given(problem))
    computed = [node for c in written for node in c.pieces if node and not is_number(node)]
    grounded = [n for node in computed if all(map(grounds.holds, n := leaves(node.form)))]
    return 4 * len(grounded) >= 3 * len(computed) and any(map(grounds.enough, grounded))


def _resembles(text: str, problem: str) -> bool:
    text_items, problem_items = _content(text), _content(problem)
    both = text_items & problem_items
    shared = sum(map(_weight, both)) if any(item[0].isalpha() for item in both) else 0.0
    whole = math.prod(sum(map(_weight, items)) for items in (text_items, problem_items))
    return shared >= max(_LIKE * math.sqrt(whole), _LEAST_SHARED)


def _content(text: str) -> set[str]:
    common = set(_COMMON.split())
    words = _CONTENT.findall(_COMMA.sub("", text.lower()))
    return {word[:_STEM] if word[0].isalpha() else word for word in words if word not in common}


def _weight(item: str) -> float:
    if item[0].isalpha():
        return 1.0
    return min(1.0, math.log(max(float(item), 1.0)) / math.log(_SURPRISING)) ** 2


def _quotes(text: str, problem: str) -> bool:
    return bool(set(_formulas(text)) & set(_formulas(problem)))


def _formulas(text: str) -> Iterator[tuple[str, ...]]:
    """Runs of a formula's tokens that hold a long number, or a number and a letter."""
    layout = set(_LAYOUT.split())
    tokens = [token for token in _TOKEN.findall(text) if token not in layout]
    for run in zip(*(tokens[i:] for i in range(_FORMULA)), strict=False):
        plain = all(len(t) == 1 or t[0] == "\\" or not t.isalpha() for t in run)
        numbers = [float(token) for token in run if token[0].isdigit()]
        letters = [token for token in run if token.lstrip("\\").isalpha()]
        if plain and numbers and (letters or (len(numbers) > 1 and max(numbers) >= _LONG_NUMBER)):
            yield run


def _without_echo(text: str, problem: str) -> str:
    """The text without the long runs of words that are the problem's."""
    pieces = list(_TOKEN.finditer(text))
    copied = set(_runs(_TOKEN.findall(problem.lower())))
    echoes: list[tuple[int, int]] = []
    for i, run in enumerate(_runs([piece[0].lower() for piece in pieces])):
        words = sum(len(token) > 2 and token.isalpha() for token in run)
        if run in copied and words >= _ECHO_WORDS:
            start, end = pieces[i].start(), pieces[i + _ECHO - 1].end()
            if echoes and start < echoes[-1][1]:
                start = echoes.pop()[0]
            echoes.append((start, end))
    for start, end in reversed(echoes):
        text = f"{text[:start]} {text[end:]}"
    return text


def _runs(tokens: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[i:] for i in range(_ECHO)), strict=False)
