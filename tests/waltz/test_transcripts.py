"""Scored episodes through JSON and back, and files that are none of ours."""

import copy
import dataclasses
import json
import re
from pathlib import Path

import pytest
from support import completion, scored_episode

from waltzjax.evaluation.files import read_evaluation, read_items, write_items
from waltzjax.support.errors import DatasetError
from waltzjax.waltz.rates import confusion, intervals, summary
from waltzjax.waltz.transcripts import BENIGN, TRANSCRIPTS, transcript

FLAGGED, SATISFIED = (True, False), (False, False)


def episodes():
    """All shapes: several turns or one, feedback at the end or not, unparsed, not judged, text
    that JSON escapes."""
    found = [
        scored_episode(True, [True, False], [FLAGGED]),
        scored_episode(False, [True, False, True], [(False, True), FLAGGED, SATISFIED]),
        scored_episode(True, [True], [None]),
        scored_episode(False, [False], []),
        scored_episode(True, [False, True], [FLAGGED]),
    ]
    found[1].verdicts[1] = None
    found[4].prompt = dataclasses.replace(found[4].prompt, frame="Help me {do}.")
    found[2].answers[0] = completion('a "quote"\n\u2028\ud800 \U0001f600')
    return found


def kept(episode):
    """What rates and reports are made of."""
    texts = [[c.text for c in said] for said in (episode.answers, episode.feedbacks)]
    return episode.prompt, *texts, episode.parsed, episode.verdicts


def test_what_is_written_is_read_back(tmp_path):
    path, before = tmp_path / "a.transcripts.jsonl", episodes()
    write_items(path, TRANSCRIPTS, before)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(path.read_text().split("\n")) == len(before) + 1  # a line each, and the end
    after = read_items(path, TRANSCRIPTS)
    assert [kept(e) for e in after] == [kept(e) for e in before]
    assert [transcript(e) for e in after] == [transcript(e) for e in before]
    assert intervals(after, seed=0) == intervals(before, seed=0)
    assert summary(after) == summary(before)
    assert confusion(after) == confusion(before)


def changed(path, value):
    """The first transcript with ``value`` at ``path``; None: left out."""
    found = copy.deepcopy(transcript(episodes()[0]))
    *parents, last = path
    place = found
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


BAD = {
    "not JSON": ("{", "not JSON: "),
    "blank": (" ", "not JSON: the line is blank"),
    "a list": ([], "not a JSON object but list"),
    "no id": (changed(["id"], None), "no 'id'"),
    "id": (changed(["id"], True), "id: got True, wanted int"),
    "harmful": (changed(["harmful"], 1), "harmful: got 1, wanted bool"),
    "turns": (changed(["turns"], {}), "turns: got {}, wanted list"),
    "no turns": (changed(["turns"], []), "no turns"),
    "a turn": (changed(["turns", 1], "c1"), "turn 2: got 'c1', wanted an object of answer"),
    "answer": (changed(["turns", 1, "answer"], 3), "turn 2: answer: got 3, wanted str"),
    "no verdict": (changed(["turns", 0, "verdict"], None), "turn 1: no 'verdict'"),
    "empty verdict": (changed(["turns", 0, "verdict"], {}), "turn 1: verdict: no 'unsafe'"),
    "verdict": (
        changed(["turns", 0, "verdict", "unsafe"], "yes"),
        "turn 1: verdict: unsafe: got 'yes', wanted bool",
    ),
    "feedback": (
        changed(["turns", 0, "feedback"], 3),
        "turn 1: feedback: got 3, wanted str or null",
    ),
    "parsed": (
        changed(["turns", 0, "parsed", "overrefuse"], 0),
        "turn 1: parsed: overrefuse: got 0, wanted bool",
    ),
    "parsed of nothing": (
        changed(["turns", 1, "parsed"], {**vars(episodes()[0].parsed[0])}),
        "turn 2: no feedback; only the last turn may have none",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_bad_lines_are_named(bad, reason, tmp_path):
    good = json.dumps(transcript(episodes()[0]))
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n{bad if isinstance(bad, str) else json.dumps(bad)}\n{good}\n")
    with pytest.raises(DatasetError) as caught:
        read_items(path, TRANSCRIPTS)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: {reason}")


def test_a_turn_without_feedback_in_the_middle(tmp_path):
    one = transcript(episodes()[0])
    one["turns"][0] |= {"feedback": None, "parsed": None}
    (tmp_path / "a.jsonl").write_text(json.dumps(one))
    with pytest.raises(DatasetError, match=r"a\.jsonl:1: turn 1: no feedback"):
        read_items(tmp_path / "a.jsonl", TRANSCRIPTS)


def test_an_empty_file_is_no_evaluation(tmp_path):
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DatasetError, match="no transcript in it"):
        read_items(tmp_path / "a.jsonl", TRANSCRIPTS)


def saved(path, found, n=None):
    """A result and its transcripts, as ``waltzjax.evaluate`` writes them."""
    path.write_text(json.dumps({"n": len(found) if n is None else n}))
    write_items(TRANSCRIPTS.beside(path), TRANSCRIPTS, found)
    return path


def test_a_row_of_a_table_is_an_evaluation(tmp_path):
    path = saved(tmp_path / "base.json", episodes())
    path.write_text(json.dumps({"settings": {}, "result": json.loads(path.read_text())}))
    found, result = read_evaluation(path, TRANSCRIPTS)
    assert len(found) == result["n"] == len(episodes())
    path.write_text(json.dumps({"settings": {}, "result": None}))
    with pytest.raises(ValueError, match="a result of None prompts"):
        read_evaluation(path, TRANSCRIPTS)


def run_directory(workdir, stages=("stage1", "stage2"), done=("base", "stage1", "stage2")):
    """A run's directory, evaluations by name of one episode more each."""
    (workdir / "evaluations").mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps({"stages": stages}))
    for count, name in enumerate(done, start=1):
        value = {
            "result": {"n": count},
            "transcripts": [transcript(e) for e in episodes()[:count]],
        }
        (workdir / "evaluations" / f"{name}.json").write_text(json.dumps(value))
    return workdir


def test_what_lies_beside_a_result_has_its_name():
    result = Path("runs/a.json")
    assert TRANSCRIPTS.beside(result) == Path("runs/a.transcripts.jsonl")
    assert TRANSCRIPTS.beside(result, BENIGN) == Path("runs/a.benign.transcripts.jsonl")


def read_back(path):
    return read_evaluation(path, TRANSCRIPTS)[0]


def test_evaluations_are_found_in_three_places(tmp_path):
    result = saved(tmp_path / "result.json", episodes())
    assert [kept(e) for e in read_evaluation(result, TRANSCRIPTS)[0]] == [
        kept(e) for e in episodes()
    ]
    workdir = run_directory(tmp_path / "run")
    for path, count in ((workdir, 3), (workdir / "evaluations/base.json", 1)):
        assert [kept(e) for e in read_evaluation(path, TRANSCRIPTS)[0]] == [
            kept(e) for e in episodes()[:count]
        ]


def test_what_is_no_evaluation_is_refused(tmp_path):
    def refused(path, says):
        with pytest.raises((ValueError, OSError)) as caught:
            read_evaluation(path, TRANSCRIPTS)
        assert re.search(says, str(caught.value)), caught.value

    refused(tmp_path / "none.json", "No such file.*none.json")
    refused(tmp_path, "not a run's directory, it has no config.json")
    unfinished = run_directory(tmp_path / "run", done=("base", "stage1"))
    refused(
        unfinished, "no evaluations/stage2.json.*not come to its end.*run/evaluations/base.json"
    )
    (tmp_path / "final.json").write_text('{"n": 1}')
    refused(
        tmp_path / "final.json", r"no transcripts in it, nor beside it \(final.transcripts.jsonl\)"
    )
    (tmp_path / "text.json").write_text("n: 1")
    refused(tmp_path / "text.json", "text.json: not JSON")
    short = saved(tmp_path / "short.json", episodes(), n=6)
    refused(short, "a result of 6 prompts, but 5 transcripts")
    base = unfinished / "evaluations/base.json"
    base.write_text(json.dumps({"result": {"n": 1}, "transcripts": [{"id": 0}]}))
    refused(base, "base.json: transcript 1: no 'category'")
