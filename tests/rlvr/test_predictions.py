"""Answered problems through JSON and back, and files that are none of ours."""

import copy
import json
import re

import pytest
from support import answered, attempt

from waltzjax.evaluation.files import read_evaluation, read_items, validations, write_items
from waltzjax.rlvr.predictions import PREDICTIONS, UNKNOWN, prediction
from waltzjax.rlvr.rates import result
from waltzjax.support.errors import DatasetError


def groups():
    """All shapes: cut off, unparsed, timed out, no tokens, text that JSON escapes."""
    return [
        answered(4, attempt(True, reflect=0.25, tokens=12), False, subject="Algebra", level="3"),
        answered(
            5,
            attempt(False, ended="length", parsed=False, text='a "quote"\n\u2028\ud800 \U0001f600'),
            attempt(False, timed_out=True, tokens=0, overlong=-0.5),
        ),
    ]


def test_what_is_written_is_read_back(tmp_path):
    path, before = tmp_path / "a.jsonl", groups()
    write_items(path, PREDICTIONS, before)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(path.read_text().split("\n")) == len(before) + 1  # a line each, and the end
    after = read_items(path, PREDICTIONS)
    assert [g.problem for g in after] == [g.problem for g in before]
    assert [prediction(g) for g in after] == [prediction(g) for g in before]
    assert result(after, seed=0, settings={}) == result(before, seed=0, settings={})
    assert after[0].attempts[0].completion.token_ids == (UNKNOWN,) * 12
    assert after[1].attempts[1].signals["overlong"] == -0.5


def test_a_prediction_by_hand():
    assert prediction(groups()[0]) == {
        "id": 4, "problem": "What is 4?", "answer": "1", "subject": "Algebra", "level": "3",
        "samples": [
            {
                "text": "so \\boxed{1}", "finish_reason": "stop", "tokens": 12, "right": True,
                "parsed": True, "timed_out": False,
                "signals": {"verify": 1.0, "format": 1.0, "reflect": 0.25},
            },
            {
                "text": "so \\boxed{0}", "finish_reason": "stop", "tokens": 3, "right": False,
                "parsed": True, "timed_out": False,
                "signals": {"verify": 0.0, "format": 1.0, "reflect": 0.0},
            },
        ],
    }  # fmt: skip


def changed(path, value):
    """The first prediction with ``value`` at ``path``; None: left out."""
    found = copy.deepcopy(prediction(groups()[0]))
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
    "no answer": (changed(["answer"], None), "no 'answer'"),
    "answer": (changed(["answer"], 12.8), "answer: got 12.8, wanted str"),
    "no samples": (changed(["samples"], []), "no samples"),
    "a sample": (changed(["samples", 1], "s"), "sample 2: got 's', wanted an object of text"),
    "tokens": (changed(["samples", 0, "tokens"], -1), "sample 1: tokens: got -1, wanted 0 or"),
    "parsed": (changed(["samples", 1, "parsed"], 1), "sample 2: parsed: got 1, wanted bool"),
    "no verify": (changed(["samples", 0, "signals"], {}), "sample 1: signals: no 'verify'"),
    "signal": (
        changed(["samples", 0, "signals", "format"], "1"),
        "sample 1: signals: format: got '1', wanted int or float",
    ),
    "right": (
        changed(["samples", 0, "right"], False),
        "sample 1: right: got False, but its signal verify is 1.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_bad_lines_are_named(bad, reason, tmp_path):
    good = json.dumps(prediction(groups()[0]))
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n{bad if isinstance(bad, str) else json.dumps(bad)}\n{good}\n")
    with pytest.raises(DatasetError) as caught:
        read_items(path, PREDICTIONS)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: {reason}")


def run_directory(workdir, names=("base", "rlvr_2", "rlvr_10", "rlvr")):
    """A run's directory; each evaluation says its place in its settings."""
    (workdir / "evaluations").mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps({"stages": ["rlvr"]}))
    for place, name in enumerate(names):
        value = {
            "result": result(groups(), seed=0, settings={"place": place}),
            "predictions": [prediction(g) for g in groups()],
        }
        (workdir / "evaluations" / f"{name}.json").write_text(json.dumps(value))
    return workdir


def test_evaluations_are_found_in_four_places(tmp_path):
    workdir, beside = run_directory(tmp_path / "run"), tmp_path / "result.json"
    write_items(PREDICTIONS.beside(beside), PREDICTIONS, groups())
    beside.write_text(json.dumps({"n": 2, "settings": {"place": -1}}))
    wanted = {
        workdir: 3, workdir / "evaluations/base.json": 0, beside: -1,
        PREDICTIONS.beside(beside): None,
    }  # fmt: skip
    for path, place in wanted.items():
        found, of = read_evaluation(path, PREDICTIONS)
        assert [prediction(g) for g in found] == [prediction(g) for g in groups()], path
        assert of.get("settings", {}).get("place") == place, path


def test_what_is_no_evaluation_is_refused(tmp_path):
    def refused(path, says):
        with pytest.raises((ValueError, OSError)) as caught:
            read_evaluation(path, PREDICTIONS)
        assert re.search(says, str(caught.value)), caught.value

    refused(tmp_path / "none.json", "No such file.*none.json")
    refused(tmp_path, "not a run's directory, it has no config.json")
    refused(run_directory(tmp_path / "run", ["base"]), "no evaluations/rlvr.json.*not come to its")
    (tmp_path / "a.json").write_text('{"n": 1}')
    refused(tmp_path / "a.json", r"no predictions in it, nor beside it \(a.predictions.jsonl\)")
    write_items(tmp_path / "a.predictions.jsonl", PREDICTIONS, groups())
    refused(tmp_path / "a.json", "a result of 1 problems, but 2 predictions")
    (tmp_path / "b.json").write_text(json.dumps({"result": {"n": 1}, "predictions": [{"id": 0}]}))
    refused(tmp_path / "b.json", "b.json: prediction 1: no 'problem'")


def test_evaluations_of_a_run_stand_at_their_steps(tmp_path):
    workdir = run_directory(tmp_path / "run", ["rlvr_10", "rlvr", "base", "rlvr_2", "other_3"])
    metrics = [{"stage": stage, "step": step} for stage in ("sft", "rlvr") for step in (1, 2, 15)]
    found = [
        (stage, step, of["settings"]["place"]) for stage, step, of in validations(workdir, metrics)
    ]
    assert found == [("sft", 0, 2), ("rlvr", 2, 3), ("rlvr", 10, 0), ("rlvr", 15, 1)]
    assert validations(workdir, []) == []
