r"""The format signal: the result at the end, after reasoning, in a finished answer: in one final
``\boxed{}``, or on a last line of its own."""

from __future__ import annotations

import re

from waltzjax.rewards.maths_answer import final_answer
from waltzjax.rewards.maths_text import boxes, loops
from waltzjax.types import BOXED, LINE

_LONGEST_ANSWER = 120  # characters; the longest of MATH500's has 53
_LEAST_SAID = 8  # different words, numbers and signs before the box, ...
_LEAST_COMPUTED = 3  # ... or these, with a number and an operator or a word among them

# What may close a box that ends a text: the maths it stands in, a full stop, markdown.
_CLOSER = r"(?:[\s$.!*_)\]}~]|\\[)\],;! ]|\\\\|\\end\{[a-z]{1,12}\*?\})"
_CLOSED = re.compile(rf"{_CLOSER}{{0,40}}")
# A unit, or the few words that end its sentence: "\boxed{42}$ inches per second."
_UNIT = re.compile(
    rf"(?:\\text\{{|\\mathrm\{{|\^|\\circ|\\%|%|°|[{{}}$, ]){{0,8}}"
    rf"(?:[a-z]{{1,20}}(?![a-z])[,'^${{}} ]{{0,3}}){{0,8}}[23]?{_CLOSER}{{0,40}}",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"\\(?:text|textbf|mathrm|mathbf|quad|qquad|[,;! ])|[\s{}$~]")
_PLACEHOLDER = re.compile(r"(?:\\[lc]?dots|[\W_])*|(?:\\)?(?:final )?(?:your )?answer", re.I)

_PIECES = re.compile(r"\\?[a-z]{2,}|\d+(?:[.,]\d+)*|[-+*/×·÷^=<>≤≥≈≡]", re.IGNORECASE)
_OPERATORS = frozenset("+-*/×·÷^=<>≤≥≈≡")
# Words that announce an answer, or thinking, without doing any.
_FILLER = """
    a all am an and answer answers are as at be because box boxed by can careful carefully
    clear clearly compute correct do express final finally find first following follows for
    formula from get give given gives have hence here hmm how i in information into is it its
    just know let lets look ll me must my need needs next now of ok okay on our out output
    problem provide provided put question reason reasoning requires right see simple simply so
    solution solve solved solving start step steps sure that the them then therefore these
    think thinking this thus to understand up us use using very wait want we well what will
    with within work would yes you your displaystyle boxed text textbf mathrm begin end align
    aligned left right quad qquad
"""


def format_score(text: str, finished: bool) -> float:
    r"""How well-formed an answer is, in [0, 1]. [ours]

    1: exactly one ``\boxed{}``, with something in it, reasoning before it, and after it nothing
    but what closes the maths, the sentence or the markdown around it; 0.5: a unit or the few words
    that end its sentence also follow; 0: anything else, also a text that loops. Whether the
    reasoning is right is for verification to say; here it must only be more than an announcement.

    Args:
      text: the answer as decoded, without special tokens.
      finished: the policy ended its turn by itself; a text that was cut off earns nothing.
    """
    found = boxes(text)
    if not finished or len(found) != 1:
        return 0.0
    box = found[0]
    if box.content is None or not _says_something(box.content):
        return 0.0
    if not _reasoned(text[: box.start], box.content) or loops(text):
        return 0.0
    rest = text[box.end :]
    return 1.0 if _CLOSED.fullmatch(rest) else 0.5 if _UNIT.fullmatch(rest) else 0.0


def line_score(text: str, finished: bool) -> float:
    """The same for a result on a last line, ``Answer: <number>`` or ``#### <number>``: 1 or 0. No
    other line may name a result, whether in this form or in a box."""
    before, _, last = text.strip().rpartition("\n")
    result = final_answer(last)
    well_formed = finished and result is not None and not boxes(text) and not loops(text)
    well_formed = well_formed and all(final_answer(line) is None for line in before.splitlines())
    return float(well_formed and _reasoned(before, result or ""))


FORMS = {BOXED: format_score, LINE: line_score}


def _says_something(content: str) -> bool:
    shown = _INVISIBLE.sub("", content)
    return len(content) <= _LONGEST_ANSWER and not _PLACEHOLDER.fullmatch(shown)


def _reasoned(before: str, answer: str) -> bool:
    """The text says more than an announcement of the answer: words or a computation."""
    given = set(_PIECES.findall(answer.lower()))
    said = set(_PIECES.findall(before.lower())) - given - set(_FILLER.split())
    computed = any(s[0].isdigit() for s in said) and any(
        s in _OPERATORS or not s[0].isdigit() for s in said
    )
    return len(said) >= (_LEAST_COMPUTED if computed else _LEAST_SAID)
