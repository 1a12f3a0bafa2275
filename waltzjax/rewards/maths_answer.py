r"""Where a response names its final answer.

The last complete ``\boxed{}`` decides, wherever it stands; only without one, the last line
``#### <number>`` (GSM8K's form), then the last ``Answer: <number>``. Nothing else of the text is
looked at: a value that is merely mentioned earns nothing.
"""

from __future__ import annotations

import re

from waltzjax.rewards.maths_number import read_number, split_name
from waltzjax.rewards.maths_typeset import tidy
from waltzjax.rewards.maths_text import boxes

MAX_CHARS = 1000  # of an answer; MATH500's longest has 53

_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_ANSWER = re.compile(r"\banswer[*_]*\s*:[*_]*[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE)


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends with, as written; None if it names none.

    Of nested boxes the inner one is the last. An empty last box is an empty answer, and none
    before it counts. Lines of the other two forms count only if all that follows on them is a
    number (``maths_number.read_number``: ``$1,200``, ``x = 3/4``, ``**18** dollars.``), so that
    "#### 2. Second step" is a heading.
    """
    if found := [box.content for box in boxes(text) if box.content is not None]:
        return found[-1].strip()
    numbers = [m[1].strip() for m in _HASHES.finditer(text) if _is_number(m[1])]
    if numbers:
        return numbers[-1]
    answers = [m[1].strip() for m in _ANSWER.finditer(text)]
    return answers[-1] if answers and _is_number(answers[-1]) else None


def _is_number(text: str) -> bool:
    return len(text) <= MAX_CHARS and read_number(split_name(tidy(text))[1]) is not None
