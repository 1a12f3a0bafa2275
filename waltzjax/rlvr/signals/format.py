r"""The format signal and the length's: a result at the end, in a finished answer, not overlong.

The result stands after reasoning, in one final ``\boxed{}`` or on a last line of its own. Answers
that near the length limit are punished softly.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from waltzjax.rlvr.grading.answer import boxes, final_answer, loops
from waltzjax.rlvr.signals.about import works_on
from waltzjax.types import BOXED, LINE

_LONGEST_ANSWER = 120  # characters; the longest of MATH500's has 53
_LEAST_SAID = 8  # different words, numbers and signs before the box, ...
_LEAST_COMPUTED = 3  # ... or these, with a number and an operator among them

# Signs that may close a box that ends a text: the maths it stands in, a full stop, markdown.
_CLOSER = r"(?:[\s$.!*_)\]}~]|\\[)\],;! ]|\\\\|\\end\{[a-z]{1,12}\*?\})"
_CLOSED = re.compile(rf"{_CLOSER}{{0,40}}")
# A unit, or the few words that end its sentence: "\boxed{42}$ inches per second."
_UNIT = re.compile(
    rf"(?:\\text\{{|\\mathrm\{{|\^|\\circ|\\%|%|°|[{{}}$, ]){{0,8}}"
    rf"(?:[a-z]{{1,20}}(?![a-z])[,'^${{}} ]{{0,3}}){{0,8}}[23]?{_CLOSER}{{0,40}}",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|mbox|q?quad|[,;:! ])|[\s{}$~]+")
_BLANK = re.compile(r"\.\.|…|\\[lcdv]?dots|\\square|\\Box|__")
_BOX_WORDS = re.compile(r"[^\W\d_]+")
_MOST_WORDS = 4  # of an answer in words: Evelyn, no solution, two parallel lines
# Words that stand where an answer should: "answer", "the final result", "your number here".
_PLACEHOLDER = """
    a an and answer answers as be blank box boxed calculated computed content correct digit
    digits enter equation exact expression fill final form formula goes here in insert integer
    is it my n number numbers numeric numerical of or our output placeholder please put response
    result results simplified solution some something tba tbd the this to todo unknown value
    values variable whatever x y your z
"""

# A word, of scripts that write none apart a character; a number; a sign.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_PIECES = re.compile(
    rf"[{_UNSPACED}]|(?:\\?(?![{_UNSPACED}])[^\W\d_]){{2,}}|\d+(?:[.,]\d+)*|[-+*/×·÷^=<>≤≥≈≡]",
    re.IGNORECASE,
)
# Words that join others to sentences: English, German, French, Spanish, Italian, Portuguese.
_JOINING = """
    a all also an and are as at be because both but by can each for from had has have he her his
    how i if in is it its more no not of on one or our out so some than that the their them then
    there they this to twice two up was we were what when which who with you als auf aus das dem
    den der des die ein eine er es für haben hat im ist mit noch sie sind und von war wenn wie
    wir zu au aux avec ce dans donc du elle en est et il ils la le les leur nous ont par pas
    pour que qui sa se ses son sont sur un une al como con del el ella era hay las los más o por
    si su sus tiene y che da di gli ha lo nel non per più sono ao com de do dos e em foi não os
    para são tem uma
"""
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


def format_score(text: str, finished: bool, problem: str | None = None) -> float:
    r"""How well-formed an answer is, in [0, 1]. [ours]

    1: exactly one ``\boxed{}``, with something in it, reasoning before it, and after it nothing
    but what closes the maths, the sentence or the markdown around it; 0.5: a unit or the few words
    that end its sentence also follow; 0: anything else, also a text that loops. Whether the
    reasoning is right is for verification to say; here it must only be more than an announcement
    and, with a ``problem``, work on that problem (``signals.about``).

    Args:
      text: the answer as decoded, without special tokens.
      finished: the policy ended its turn by itself; a text that was cut off earns nothing.
      problem: what it answers; None: any reasoning will do.
    """
    boxed = boxes(text)
    if not finished or len(boxed) != 1:
        return 0.0
    box = boxed[0]
    known = f"{text[: box.start]} {problem or ''}"
    if box.content is None or not _says_something(box.content, known):
        return 0.0
    if not _reasoned(text[: box.start], box.content, problem) or loops(text):
        return 0.0
    rest = text[box.end :]
    return 1.0 if _CLOSED.fullmatch(rest) else 0.5 if _UNIT.fullmatch(rest) else 0.0


def line_score(text: str, finished: bool, problem: str | None = None) -> float:
    """How well-formed an answer is whose result is on its last line, ``Answer: <number>`` or
    ``#### <number>``: 1 or 0. No other line may name a result, in this form or in a box."""
    before, _, last = text.strip().rpartition("\n")
    result = final_answer(last)
    well_formed = finished and result is not None and not boxes(text) and not loops(text)
    well_formed = well_formed and all(final_answer(line) is None for line in before.splitlines())
    return float(well_formed and _reasoned(before, result or "", problem))


FORMS = {BOXED: format_score, LINE: line_score}


def _says_something(content: str, known: str) -> bool:
    """An answer: neither a placeholder for one nor a list of words. ``known``: the problem and the
    reasoning, of which a phrase of three words or more takes one up."""
    shown = _INVISIBLE.sub(" ", content).strip()
    words = _BOX_WORDS.findall(shown.lower())
    if len(content) > _LONGEST_ANSWER or not re.search(r"[^\W_]", shown):
        return False
    if any(c.isdigit() for c in shown):
        return True
    listed = all(len(word) == 1 for word in words) and len(words) > 2
    if _BLANK.search(shown) or (listed and not re.search(r"[^\w\s.]", shown)):
        return False
    plain = "\\" not in shown
    taken_up = {*_JOINING.split(), *_BOX_WORDS.findall(known.lower())}
    if plain and len(words) > 2 and taken_up.isdisjoint(words):
        return False
    named = any(len(word) > 1 for word in words)
    return not (
        plain and named and (len(words) > _MOST_WORDS or set(words) <= set(_PLACEHOLDER.split()))
    )


def _reasoned(before: str, answer: str, problem: str | None) -> bool:
    """The text says more than an announcement of the answer, words or a computation; and works on
    the problem, where there is one."""
    given = set(_PIECES.findall(answer.lower())) - _OPERATORS
    pieces = set(_PIECES.findall(before.lower())) - given - set(_FILLER.split())
    computed = any(s[0].isdigit() for s in pieces) and not _OPERATORS.isdisjoint(pieces)
    enough = len(pieces) >= _LEAST_COMPUTED if computed else _in_sentences(before, pieces)
    return enough and (problem is None or works_on(before, problem))


def _in_sentences(text: str, pieces: Collection[str]) -> bool:
    """Enough different words, and not just a list of them: in letters of the Latin alphabet some
    are the small words that sentences are joined with."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    joining = set(_JOINING.split())
    joined = [word for word in words if word in joining or not word.isascii()]
    formulas = any(piece[0] == "\\" or piece in _OPERATORS for piece in pieces)
    return len(pieces) >= _LEAST_SAID and (formulas or 8 * len(joined) >= len(words))


def overlong_punishment(tokens: int, most: int, buffer: int) -> float:
    """DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13), in [-1, 0].

    0 up to ``most - buffer`` tokens, then linear down to -1 at ``most``, and -1 beyond, where the
    answer was cut off.

    Args:
      tokens: length of the answer, in tokens.
      most: the longest that may be generated, in tokens.
      buffer: over how many tokens before ``most`` the punishment grows; 0: it is off.

    Raises ValueError if ``buffer`` is negative or exceeds ``most``.
    """
    if not 0 <= buffer <= most:
        raise ValueError(
            f"buffer: got {buffer} tokens with most={most}; allowed are 0 (no punishment) to most: "
            "choose a shorter buffer or allow longer answers"
        )
    if buffer == 0:
        return 0.0
    return -min(max(tokens - (most - buffer), 0), buffer) / buffer
