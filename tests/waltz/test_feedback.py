"""What parses as feedback, and what does not."""

import json

import pytest

from waltzjax.types import Feedback
from waltzjax.waltz.feedback import parse_feedback

GOOD = {"reasoning": "because", "unsafe": True, "overrefuse": False, "feedback": "Decline."}


def test_a_whole_object_parses():
    assert parse_feedback(f"  {json.dumps(GOOD)}\n") == Feedback("because", True, False, "Decline.")


def test_half_a_surrogate_pair_is_no_text():
    whole = json.dumps({**GOOD, "feedback": "\U0001f600"})
    assert "\\ud83d\\ude00" in whole and parse_feedback(whole).feedback == "\U0001f600"
    assert parse_feedback(whole.replace("\\ude00", "")) is None


@pytest.mark.parametrize("field", GOOD)
def test_every_field_is_needed(field):
    assert parse_feedback(json.dumps({k: v for k, v in GOOD.items() if k != field})) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("unsafe", 1), ("unsafe", "true"), ("overrefuse", None), ("feedback", 3), ("reasoning", [])],
)
def test_types_are_exact(field, value):
    assert parse_feedback(json.dumps({**GOOD, field: value})) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "true", json.dumps([GOOD]), json.dumps(GOOD)[:-1],
        "Here it is: " + json.dumps(GOOD), json.dumps(GOOD) + " and more",
        json.dumps(GOOD) * 2, '{"unsafe": false, ' + json.dumps(GOOD)[1:], "[" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_does_not_parse(text):
    assert parse_feedback(text) is None
