r"""Where a response names its final answer.

The last complete ``\boxed{}`` decides, wherever it stands; only without one, the last line
``#### <number>`` (GSM8K's form), then the last ``Answer: <number>``, perhaps in bold or code and on
the next line. Nothing else of the text is looked at: a value merely mentioned earns nothing.
"""

from __future__ import annotations

import re

from waltzjax.rewards.maths_number import read_number, split_name, tidy
from waltzjax.rewards.maths_text import boxes

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
    number (``maths_number.read_number``: ``$1,200``, ``x = 3/4``, ``**18** dollars.``), so that
    "#### 2. Second step" is a heading.
    """
    if found := [box.content for box in boxes(text) if box.content is not None]:
        return found[-1].strip()
    for line in reversed(_HASHES.findall(text)):
        if _is_number(line):
            return str(line.strip())
    answers = _ANSWER.findall(text)[-1:]
    answer = answers[0].strip(_MARKS) if answers else ""
    return answer if _is_number(answer) else None


def _is_number(text: str) -> bool:
    return len(text) <= MAX_CHARS and read_number(split_name(tidy(text))[1]) is not None
