"""Collected questions through JSON and back, a file that a kill cut off, and files that are none
of ours."""

import copy
import json
import re

import pytest
from trajectories import question, said

from waltzjax.preference.coherence import Quality, Scored
from waltzjax.preference.trajectories import append_record, drop_torn_line, read_collected, record
from waltzjax.support.errors import DatasetError
from waltzjax.types import COUNTERFACTUAL, PROBE


def questions():
    """Of all shapes: no answer, an empty one, cut off, text that JSON escapes."""
    return [
        question(
            said("3 + 5 = 8\nAnswer: 8", arm="a"),
            said('a "quote"\n\u2028\U0001f600', None, False, arm="p", role=PROBE, ended="length"),
            said("so \\boxed{}", "", False, arm="c", role=COUNTERFACTUAL, tokens=0),
            number=number,
        )
        for number in (7, 2)
    ]


def scores(count=3):
    """Any that can be told apart; the counterfactual one is missing, as with no such arm."""
    return Scored(0.5, 0.25, None, tuple(Quality(i / 8, None, i / 4, 0.5) for i in range(count)))


def written(path, found):
    for q in found:
        append_record(path, record(q, scores(len(q.trajectories))))
    return path


def test_what_is_written_is_read_back_by_id(tmp_path):
    path = written(tmp_path / "a.jsonl", questions())
    assert len(path.read_bytes().split(b"\n")) == 3  # a line each, and the end
    assert read_collected(path) == questions()[::-1]


def test_a_record_by_hand():
    assert record(question(*questions()[0].trajectories[:2], number=7), scores(2)) == {
        "id": 7, "question": "What is 7?", "answer": "8", "subject": "", "level": "",
        "scores": {"s_end": 0.5, "s_path": 0.25, "s_cf": None},
        "trajectories": [
            {
                "arm_name": "a", "role": "variance", "text": "3 + 5 = 8\nAnswer: 8", "answer": "8",
                "correct": True, "tokens": 4, "logprob": -1.0, "finish_reason": "stop",
                "scores": {"conciseness": 0.0, "alignment": None, "quality": 0.0, "reward": 0.5},
            },
            {
                "arm_name": "p", "role": "probe", "text": 'a "quote"\n\u2028\U0001f600',
                "answer": None, "correct": False, "tokens": 4, "logprob": -1.0,
                "finish_reason": "length",
                "scores": {"conciseness": 0.125, "alignment": None, "quality": 0.25, "reward": 0.5},
            },
        ],
    }  # fmt: skip


def test_a_torn_last_line_is_dropped_wherever_the_kill_was(tmp_path):
    path = written(tmp_path / "a.jsonl", questions())
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in (first + 1, first + 40, len(whole) - 2):
        path.write_bytes(whole[:length])
        assert drop_torn_line(path) == length - first
        assert path.read_bytes() == whole[:first]
    for length in (first, len(whole)):  # whole lines stay
        path.write_bytes(whole[:length])
        assert drop_torn_line(path) == 0 and path.read_bytes() == whole[:length]
    path.write_bytes(whole[:-1])  # only the end of its line is missing
    assert drop_torn_line(path) == 0 and path.read_bytes() == whole
    path.write_bytes(whole[:9])  # not even one
    assert drop_torn_line(path) == 9 and path.read_bytes() == b""
    append_record(path, record(questions()[1], scores()))
    assert read_collected(path) == questions()[1:]


def test_there_is_nothing_to_mend(tmp_path):
    assert drop_torn_line(tmp_path / "none.jsonl") == 0
    assert not list(tmp_path.iterdir())


def changed(path, value):
    """The first question's record with ``value`` at ``path``; KeyError: left out."""
    found = copy.deepcopy(record(questions()[0], scores()))
    *parents, last = path
    place = found
    for key in parents:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return found


SAID = "trajectories"
BAD = {
    "not JSON": ("{", "not JSON: "),
    "no id": (changed(["id"], KeyError), "no 'id'"),
    "label": (changed(["answer"], 8), "answer: got 8, wanted str"),
    "none": (changed([SAID], []), "no trajectories"),
    "no object": (changed([SAID, 1], "s"), "trajectory 2: got 's', wanted an object of arm_name"),
    "no arm": (changed([SAID, 0, "arm_name"], KeyError), "trajectory 1: no 'arm_name'"),
    "arms": (changed([SAID, 1, "arm_name"], "a"), "trajectories: the arms ['a'] are there twice"),
    "role": (
        changed([SAID, 0, "role"], "judge"),
        "trajectory 1: role: got 'judge', wanted variance or probe or counterfactual",
    ),
    "answer": (changed([SAID, 2, "answer"], 8), "trajectory 3: answer: got 8, wanted str or null"),
    "correct": (changed([SAID, 0, "correct"], 1), "trajectory 1: correct: got 1, wanted bool"),
    "correct without an answer": (
        changed([SAID, 1, "correct"], True),
        "trajectory 2: correct: got True, but its answer is null",
    ),
    "tokens": (changed([SAID, 0, "tokens"], -1), "trajectory 1: tokens: got -1, wanted 0 or more"),
    "logprob": (
        changed([SAID, 0, "logprob"], float("nan")),
        "trajectory 1: logprob: got nan, wanted a finite number",
    ),
    "ending": (
        changed([SAID, 0, "finish_reason"], "error"),
        "trajectory 1: finish_reason: got 'error', wanted stop or length",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_bad_lines_are_named(bad, reason, tmp_path):
    good, other = (json.dumps(record(q, scores())) for q in questions())
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n{bad if isinstance(bad, str) else json.dumps(bad)}\n{other}\n")
    with pytest.raises(DatasetError, match=re.escape(f"{path}:2: {reason}")) as error:
        read_collected(path)
    assert len(error.value.problems) == 1


def test_a_question_that_is_there_twice_is_named(tmp_path):
    path = written(tmp_path / "a.jsonl", [*questions(), questions()[0]])
    with pytest.raises(DatasetError, match="question 7 is there 2 times"):
        read_collected(path)
