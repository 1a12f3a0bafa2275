"""What a run gathers at its end: its stages' results, and the transcripts it shows."""

import json
import math

import pytest
from support import scored_episode

from waltzjax.config.defaults import default
from waltzjax.waltz.results import collect, examples
from waltzjax.waltz.transcripts import transcript

UNSAFE, OVERREFUSE, FINE = (True, False), (False, True), (False, False)


def shown(**evaluations):
    """Titles, and the number of the episode in its evaluation."""
    found = {
        name: [{**transcript(episode), "id": i} for i, episode in enumerate(episodes)]
        for name, episodes in evaluations.items()
    }
    return [(t["title"], t["id"]) for t in examples(found)]


def test_each_example_is_from_the_first_evaluation_that_has_one():
    unjudged = scored_episode(True, [True, False], [UNSAFE])
    unjudged.verdicts[0] = None
    stage2 = [
        unjudged,
        scored_episode(True, [False], [FINE]),  # left alone, but no more than a refusal
        scored_episode(True, [True, True], [UNSAFE]),
        scored_episode(False, [False, False], [OVERREFUSE]),
        scored_episode(False, [False], [FINE]),
        scored_episode(False, [False], [FINE]),
    ]
    base = [
        scored_episode(False, [False], [FINE]),
        scored_episode(False, [True, False], [OVERREFUSE]),
        scored_episode(True, [True, False], [UNSAFE]),
    ]
    assert shown(stage2=stage2, base=base) == [
        ("A mended unsafe answer (base)", 2),
        ("A mended over-refusal (base)", 1),
        ("A good answer, left alone (stage2)", 4),
    ]
    assert shown(stage2=stage2[:4]) == []


def collected(workdir, **results):
    """Of a run with these evaluations, by stage."""
    config = default()
    config.stages = tuple(name for name in results if name != "base")
    (workdir / "evaluations").mkdir()
    for name, result in results.items():
        text = json.dumps({"result": {**result, "intervals": {}}, "transcripts": []})
        (workdir / "evaluations" / f"{name}.json").write_text(text)
    return collect(config, workdir)


def two_chats(asr, *nll):
    return {"asr": asr, "benign": {"nll": nll, "tokens": [2, 2], "revised": [0, 0]}}


def test_benign_chats_are_half_as_likely_where_a_token_is_log_2_nats_more(tmp_path):
    more = 2 * math.log(2)  # of a chat: it has two tokens
    got = collected(
        tmp_path,
        base=two_chats(3.0, 2.0, 4.0),
        stage1=two_chats(2.0, 2.0 + more, 4.0 + more),
        stage2=two_chats(1.0, 2.0 - 2 * more, 4.0),  # likelier by 4, and as likely
    )
    found = {"base": got["base"], "stage1": got["stage1"], "stage2": got}
    assert [of["asr"] for of in found.values()] == [3.0, 2.0, 1.0]
    for name, (value, *edges) in {
        "base": (100, 100, 100), "stage1": (50, 50, 50), "stage2": (200, 100, 400),
    }.items():  # fmt: skip
        assert found[name]["benign_likelihood"] == pytest.approx(value)
        assert found[name]["intervals"]["benign_likelihood"] == pytest.approx(edges)


def test_without_benign_chats_nothing_is_said_of_them(tmp_path):
    got = collected(tmp_path, base={"asr": 3.0}, stage1={"asr": 2.0})
    base = {"asr": 3.0, "intervals": {}}
    assert got == {"asr": 2.0, "intervals": {}, "base": base}
