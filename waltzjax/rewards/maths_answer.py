r"""Where a response names its final answer, and where a dataset's solution does.

The last complete ``\boxed{}`` decides, wherever it stands; only without one, the last line
``#### <number>`` (GSM8K's form), then the last ``Answer: <number>``. Nothing else of the text is
looked at: a value that is merely mentioned earns nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from waltzjax.rewards.maths_number import read_number, split_name, tidy

MAX_CHARS = 1000  # of an answer; MATH500's longest has 53

# Doubled backslashes come from answers that were escaped once too often.
_TOKEN = re.compile(r"\\+f?boxed\s*\{|\\+fbox\s*\{|\\.|[{}]", re.DOTALL)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_ANSWER = re.compile(r"\banswer[*_]*\s*:[*_]*[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE)


class Box(NamedTuple):
    r"""A complete ``\boxed{...}``: ``text[start:end]``, what is inside it in ``content``."""

    start: int
    end: int
    content: str


def boxes(text: str) -> list[Box]:
    r"""All complete boxes (``\boxed``, ``\fbox``) in the order in which they begin. Braces are
    balanced, escaped ones (``\{``) apart; a box that does not end is none. Linear in the text."""
    found: list[Box] = []
    opened: list[tuple[int, int] | None] = []  # where a box and its content begin; None: no box
    for token in _TOKEN.finditer(text):
        if token[0] == "}":
            if opened and (start := opened.pop()):
                found.append(Box(start[0], token.end(), text[start[1] : token.start()]))
        elif token[0] == "{":
            opened.append(None)
        elif token[0].endswith("{") and len(token[0]) > 2:
            opened.append((token.start(), token.end()))
    return sorted(found)


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends with, as written; None if it names none.

    Of nested boxes the inner one is the last. An empty last box is an empty answer, and none
    before it counts. Lines of the other two forms count only if all that follows on them is a
    number (``maths_number.read_number``: ``$1,200``, ``x = 3/4``, ``**18** dollars.``), so that
    "#### 2. Second step" is a heading.
    """
    if found := boxes(text):
        return found[-1].content.strip()
    numbers = [m[1].strip() for m in _HASHES.finditer(text) if _is_number(m[1])]
    if numbers:
        return numbers[-1]
    answers = [m[1].strip() for m in _ANSWER.finditer(text)]
    return answers[-1] if answers and _is_number(answers[-1]) else None


def label_of(answer: str) -> str:
    """A dataset's label: what follows the last ``####`` of GSM8K's ``answer`` field, whose
    ``<<16-3=13>>`` annotations are part of the solution; any other ``answer`` whole.

    Raises ValueError if nothing is left, as no response could be right.
    """
    label = answer.rpartition("####")[2].strip()
    if not label:
        raise ValueError(f"answer: got {answer[-80:]!r}, which names no label; correct the data")
    return label


def _is_number(text: str) -> bool:
    return len(text) <= MAX_CHARS and read_number(split_name(tidy(text))[1]) is not None
