"""Episodes as a service's answers show them, and reports as responses hold them."""

import json

import pytest

from waltzjax.serve.records import AGENTS, BLOCK, OFF, PATTERNS, Answer, Failure, Labels, Report
from waltzjax.types import Prompt
from waltzjax.validation.endpoint import read_report
from waltzjax.validation.served import revised, served_episodes, withheld

PROMPT = Prompt(0, "p", False, "edge_case")
FINE, TOO_STRICT = Labels(False, False), Labels(False, True)
NO_REVIEW = Failure("feedback", "no review in time", "open", "default")


def answer(text, **report):
    return Answer(text, Report(**{"stage": AGENTS, **report}), "stop", 1, 1)


@pytest.mark.parametrize(
    ("served", "first", "texts", "parsed"),
    [
        (answer("a", labels=FINE), None, ["a"], [(False, False)]),
        (answer("a", labels=TOO_STRICT, triggered=True), None, ["a"], [(False, True)]),
        # Revised: labels are of the first answer, which only a service that does not revise shows.
        (answer("b", labels=TOO_STRICT, revised=True), None, ["b"], []),
        (
            answer("b", labels=TOO_STRICT, revised=True),
            answer("a", labels=TOO_STRICT),
            ["a", "b"],
            [(False, True)],
        ),
        (answer("a", stage=PATTERNS, failure=NO_REVIEW), None, ["a"], [None]),
        (answer("a", stage=PATTERNS), None, ["a"], []),
        (answer("a", stage=OFF), None, ["a"], []),
    ],
)
def test_an_episode_of_what_was_served(served, first, texts, parsed):
    firsts = {3: first} if first else {}
    [episode] = served_episodes({3: PROMPT}, {3: served}, firsts)
    assert episode.prompt is PROMPT and [a.text for a in episode.answers] == texts
    assert [p.labels if p else None for p in episode.parsed] == parsed
    assert len(episode.feedbacks) == len(parsed)
    assert revised({3: served}) == ([3] if served.report.revised else [])


@pytest.mark.parametrize("was_revised", [False, True])
def test_a_withheld_text_is_nobodys_answer(was_revised):
    refusal = answer("no", labels=FINE, action=BLOCK, revised=was_revised)
    answers = {3: refusal, 4: answer("a", labels=FINE)}
    [episode] = served_episodes({3: PROMPT, 4: PROMPT}, answers, {3: answer("b", labels=FINE)})
    assert [a.text for a in episode.answers] == ["a"]
    assert withheld(answers) == [3] and revised(answers) == []


REPORT = Report(
    AGENTS, True, Labels(True, False), ("weapons",), BLOCK, True, 2, NO_REVIEW, {"added": 3.5}
)


def test_a_report_there_and_back():
    assert read_report(json.loads(json.dumps(REPORT.as_json()))) == REPORT
    plain = Report(PATTERNS, timings_ms={"added": 0.0})
    assert read_report(json.loads(json.dumps(plain.as_json()))) == plain


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stage": "2"}, "stage: got '2'"),
        ({"labels": {"unsafe": True}}, "labels: no 'overrefuse'"),
        ({"timings_ms": {}}, "no number 'added'"),
        ({"failure": {}}, "failure: no 'component'"),
    ],
)
def test_a_report_that_is_none(changes, says):
    with pytest.raises(ValueError, match=says):
        read_report({**REPORT.as_json(), **changes})
    with pytest.raises(ValueError, match="wanted an object"):
        read_report(None)
