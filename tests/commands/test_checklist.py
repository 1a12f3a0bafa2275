"""The checklist: each check is met by a sound run, and fails for what it is there for."""

import dataclasses
import json

import forked
import numpy as np
import pytest
from safetensors.numpy import save_file
from trajectories import question, said

from waltzjax.preference.checks import adapter_checks, collection_checks, pair_checks
from waltzjax.preference.coherence import scored
from waltzjax.preference.pairs import digest, write_preferences
from waltzjax.preference.trajectories import append_record, record
from waltzjax.types import COHERENCE, CORRECTNESS, COUNTERFACTUAL, PROBE, Preference

ARMS = (
    ("a", "f", 0.2, 1, "variance"),
    ("b", "f", 0.2, 2, PROBE),
    ("c", "f", 0.2, 3, COUNTERFACTUAL),
)


def collected_by(arms=ARMS, drawn=4):
    return {"collect": {"arms": arms}, "questions_drawn": drawn}


CONFIG = collected_by()


def answers(number, *, last="8", texts=("one two", "one two", "one two three"), **changes):
    found = [
        said(text, answer, arm=arm[0], role=arm[-1])
        for arm, text, answer in zip(ARMS, texts, ("8", "8", last), strict=True)
    ]
    return question(*(dataclasses.replace(t, **changes) for t in found), number=number)


def sound():
    return [
        answers(0), answers(1, last="9"), answers(2, texts=("one", "two", "three")), answers(3)
    ]  # fmt: skip


def failed(checks):
    return [check.name for check in checks if not check.met]


@pytest.mark.parametrize(
    ("config", "questions", "names"),
    [
        (CONFIG, sound(), []),
        (collected_by(drawn=3), sound()[:3], []),  # a file of three, whatever was asked for
        (collected_by(drawn=7473), sound(), ["questions"]),  # all were asked for, and it stopped
        (CONFIG, sound()[:3], ["questions"]),
        (CONFIG, [], ["questions", "trajectories", "arms", "format rate", "variance of s_cf",
                      "variance of s_path"]),
        (collected_by(ARMS[:2]), sound(), ["trajectories", "arms"]),
        (collected_by(ARMS[::-1]), sound(), ["arms"]),
        (CONFIG, [answers(n, last=None) for n in range(4)],
         ["format rate", "variance of s_cf", "variance of s_path"]),
        (CONFIG, [answers(n) for n in range(4)], ["variance of s_cf", "variance of s_path"]),
        # Of ten equal numbers the variance may come out above 0.
        (collected_by(drawn=10), [answers(n) for n in range(10)],
         ["variance of s_cf", "variance of s_path"]),
    ],
)  # fmt: skip
def test_checks_of_a_collection(config, questions, names):
    assert failed(collection_checks(config, questions)) == names


def test_without_a_counterfactual_its_score_is_not_checked_for_nothing():
    arms = ARMS[:2]
    found = [question(*q.trajectories[:2], number=n) for n, q in enumerate(sound())]
    checks = collection_checks(collected_by(arms), found)
    [of_cf] = [c for c in checks if c.name == "variance of s_cf"]
    assert of_cf.met and "no counterfactual" in of_cf.figure


def preferences(correctness, coherence, rejected="b"):
    return [
        Preference("q", f"a{n}", rejected, kind)
        for kind, count in ((CORRECTNESS, correctness), (COHERENCE, coherence))
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("pairs", "questions", "names"),
    [
        (preferences(75, 25), 100, []),
        (preferences(70, 30), 100, []),
        (preferences(69, 31), 100, ["pair mix"]),
        (preferences(81, 19), 100, ["pair mix"]),
        (preferences(75, 25), 101, ["pairs"]),
        (preferences(3, 1, rejected=" a0 "), 4, ["pairs of equal texts"]),
        ([], 4, ["pairs", "pair mix"]),
    ],
)
def test_checks_of_pairs(pairs, questions, names):
    assert failed(pair_checks(pairs, questions)) == names


def adapter(directory, b):
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text('{"r": 2}')
    save_file(
        {"x.lora_A.weight": np.ones((2, 4), np.float32), "x.lora_B.weight": np.float32(b)},
        directory / "adapter_model.safetensors",
    )


@pytest.mark.parametrize(
    ("b", "names"),
    [([[0.0, -0.5]], []), ([[0.0]], ["adapter's change"]), ([[np.nan]], ["adapter's change"])],
)
def test_an_adapter_that_changes_nothing_is_seen(tmp_path, b, names):
    adapter(tmp_path / "policy", b)
    checks = adapter_checks(tmp_path / "policy")
    assert failed(checks) == names
    assert f"{8 + np.size(b)} numbers" in checks[0].figure


@pytest.mark.parametrize(
    ("low", "shift", "wrong"),
    [(1.5, 0, []), (-0.5, 0, ["accuracy"]), (1.5, 1, ["pairs trained on"])],
)
def test_the_command(tmp_path, low, shift, wrong):
    """A sound regime passes with status 0; one whose accuracy may not have risen fails with 1, and
    so does one that learned from other pairs, even as many of each type."""
    collected, run = tmp_path / "collected", tmp_path / "run"
    collected.mkdir()
    (collected / "config.json").write_text(json.dumps(CONFIG))
    for q in sound():
        append_record(collected / "collected.jsonl", record(q, scored(q)))
    pairs = preferences(3, 1)
    write_preferences(collected / "pairs.jsonl", pairs)
    learned = [*pairs[shift:], *pairs[:shift]]
    adapter(run / "policy", [[0.5]])
    config = {"dpo": {"loss": "sigmoid", "reference": "cached"},
              "prompt_texts": {"pairs": digest(learned)}}  # fmt: skip
    results = {"pairs": 4, "accuracy": 52.0, "base": {"accuracy": 49.0}, "interval": [low, 6.0],
               "epoch_losses": [0.65, 0.6]}  # fmt: skip
    (run / "final_validation_results.json").write_text(json.dumps(results))
    steps = {"stage": "dpo", "step": 1, "grad_norm/policy": 0.5, "change_norm/policy": 0.1}
    (run / "metrics.jsonl").write_text(json.dumps(steps) + "\n")
    (run / "config.json").write_text(json.dumps(config))
    got = forked.run("-m", "waltzjax.checklist", f"--collected={collected}", f"--run={run}",
                     f"--json={tmp_path / 'checks.json'}")  # fmt: skip
    assert got.returncode == bool(wrong), got.stderr
    said = json.loads((tmp_path / "checks.json").read_text())
    assert [check["name"] for check in said if not check["met"]] == wrong
    last = got.stdout.strip().splitlines()[-1]
    assert last == (f"1 of 16 checks failed: {wrong[0]}" if wrong else "all 16 checks are met")
    (run / "final_validation_results.json").unlink()
    got = forked.run("-m", "waltzjax.checklist", f"--collected={collected}", f"--run={run}")
    assert got.returncode == 1 and "--run: no file" in got.stderr
    assert "Traceback" not in got.stderr
