"""The format signal of answers that end in a line, against answers written by hand."""

import pytest

from waltzjax.rlvr.signals.format import FORMS, line_score
from waltzjax.types import BOXED, LINE

SUM = "34+25=59. Check: 59-25=34."
CLIPS = "Natalia sold 48/2 = 24 clips in May, and 48 + 24 = 72 clips altogether."

HONEST = {
    "terse": f"{SUM}\nAnswer: 59",
    "as GSM8K's": f"{CLIPS}\n#### 72",
    "several lines": f"{CLIPS}\nSo it is 72.\n\nAnswer: 72",
    "in dollars": f"{CLIPS}\nAnswer: $1,200.50",
    "bold": f"{CLIPS}\n**Answer:** 72",
    "trailing newlines": f"{SUM}\nAnswer: 59\n\n",
}
CHEATING = {
    "nothing": "",
    "no answer": SUM,
    "only an answer": "Answer: 59",
    "only an announcement": "So the answer is:\nAnswer: 59",
    "on the line of the sum": f"{SUM} The result is 59",
    "twice": f"{SUM}\nAnswer: 58\nAnswer: 59",
    "two forms": f"{SUM}\n#### 59\nAnswer: 59",
    "a box as well": f"{SUM} \\boxed{{59}}\nAnswer: 59",
    "not last": f"{SUM}\nAnswer: 59\nI hope that helps.",
    "words": f"{SUM}\nAnswer: fifty-nine or so",
    "empty": f"{SUM}\nAnswer:",
    "a loop": "34+25=59. " * 200 + "\nAnswer: 59",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_answers_earn_all(name):
    assert line_score(HONEST[name], True) == 1
    assert line_score(HONEST[name], False) == 0  # cut off


@pytest.mark.parametrize("name", CHEATING)
def test_others_earn_nothing(name):
    assert line_score(CHEATING[name], True) == 0


def test_a_form_is_paid_where_it_is_asked_for():
    line, box = f"{SUM}\nAnswer: 59", f"{SUM} \\boxed{{59}}"
    assert (FORMS[LINE](line, True), FORMS[LINE](box, True)) == (1, 0)
    assert (FORMS[BOXED](line, True), FORMS[BOXED](box, True)) == (0, 1)
