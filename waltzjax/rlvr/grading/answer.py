r"""Where a response names its final answer, and whether its text goes round in circles.

The last complete ``\boxed{}`` decides, wherever it stands; only without one, the last line
``#### <number>`` (GSM8K's form), then the last ``Answer: <number>``, perhaps in bold or code and on
the next line. Nothing else of the text is looked at: a value merely mentioned earns nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from waltzjax.rlvr.grading.number import read_number, split_name
from waltzjax.rlvr.grading.typeset import tidy

MAX_CHARS = 1000  # of an answer; MATH500's longest has 53

_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_ANSWER = re.compile(
    r"(?<![A-Za-z])answer[*_`]*[ \t]{0,4}[:：][*_`]*[ \t]*(?:(?:\n|\\\[)[ \t`$]*){0,3}(.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_MARKS = " \t`_"  # of code and emphasis, around a number


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends with, as written; None if it names none.

    Of nested boxes the inner one is the last. An empty last box is an empty answer, and none
    before it counts. Lines of the other two forms count only if all that follows on them is a
    number (``grading.number.read_number``: ``$1,200``, ``x = 3/4``, ``**18** dollars.``), so that
    "#### 2. Second step" is a heading.
    """
    if contents := [box.content for box in boxes(text) if box.content is not None]:
        return contents[-1].strip()
    for line in reversed(_HASHES.findall(text)):
        if _is_number(line):
            return str(line.strip())
    answers = _ANSWER.findall(text)[-1:]
    answer = answers[0].strip(_MARKS) if answers else ""
    return answer if _is_number(answer) else None


def _is_number(text: str) -> bool:
    return len(text) <= MAX_CHARS and read_number(split_name(tidy(text))[1]) is not None


# Doubled backslashes come from answers that were escaped once too often.
# Only the first of a run of backslashes starts one, or the time is squared in the run's length.
_BRACES = re.compile(r"(?<!\\)\\+f?box(?:ed)?(?![a-zA-Z])(?:\s*\{)?|\\[{}\\]|[{}]")
_WORDS = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?;](?!\S)|\n")
_LONGEST_WORD = 100  # characters without a space: hhhhhh...
# Shares of a text that are third or later copies; in parentheses, how many of the solutions of
# MATH500 and GSM8K have as much: algebra carries long expressions from line to line.
_MOST_COPIED_RUNS = 0.35  # of the runs of 8 tokens (1 of 500, 0 of 7,473)
_MOST_COPIED_SENTENCES = 0.25  # of the sentences and lines (0 of 500, 1 of 7,473)
_RUN = 8


class Box(NamedTuple):
    r"""``text[start:end]`` is ``\boxed{content}``; None: its brace never opens or closes."""

    start: int
    end: int
    content: str | None


def boxes(text: str) -> list[Box]:
    r"""Every ``\boxed`` or ``\fbox``, in the order of their starts, those inside another one too.
    Linear in the text."""
    all_boxes: list[Box] = []
    opened: list[int] = []  # index in all_boxes of the box that a brace opens, -1: no box
    for match in _BRACES.finditer(text):
        piece = match[0]
        if "box" in piece:
            all_boxes.append(Box(match.start(), match.end(), None))
            if piece.endswith("{"):
                opened.append(len(all_boxes) - 1)
        elif piece == "{":
            opened.append(-1)
        elif piece == "}" and opened and (index := opened.pop()) >= 0:
            box = all_boxes[index]
            all_boxes[index] = Box(box.start, match.end(), text[box.end : match.start()])
    return all_boxes


def loops(text: str) -> bool:
    """Much of the text says for the third time, or more often, what it has said. [ours]

    Once more is no loop: a solution takes up an equation again, and a check what it checks.
    """
    words = _WORDS.findall(text.lower())
    if any(len(word) > _LONGEST_WORD for word in words):
        return True
    runs = list(zip(*(words[i:] for i in range(_RUN)), strict=False))
    sentences = [" ".join(part.split()) for part in _SENTENCE_END.split(text.lower())]
    return (
        _copied(runs) >= _MOST_COPIED_RUNS
        or _copied([s for s in sentences if s]) >= _MOST_COPIED_SENTENCES
    )


def _copied(parts: Sequence[Hashable]) -> float:
    """The share of parts that are third or later copies."""
    return sum(max(n - 2, 0) for n in Counter(parts).values()) / max(len(parts), 1)
