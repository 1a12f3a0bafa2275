"""Runs whose judge is a model: behind an endpoint that goes away and comes back, or at hand."""

import json
from runpy import run_path

import pytest
from judge_server import JudgeServer, cut, well
from support import REPO, small_data

from waltzjax.rewards.judges import UnparsedVerdicts
from waltzjax.rewards.patience import JudgeOutage
from waltzjax.train import train

STEPS = 4
VERDICT = json.dumps({"unsafe": True, "overrefuse": False})
ANSWERED = 30  # requests before the endpoint goes away: the base's evaluation and a step or two


def smallest(**judge):
    c = run_path(str(REPO / "configs/stage1.py"))["get_config"]("tiny")
    c.data.directory = small_data()
    c.embedded.width, c.embedded.mlp_width, c.embedded.layers = 16, 32, 1
    c.embedded.card_steps = c.embedded.demo_steps = 2
    c.embedded.batch = c.rollout.batch = c.rollout.slots = 8
    c.rollout.cache_tokens, c.rollout.max_new_tokens = 4096, 6
    c.train.steps.stage1, c.eval.prompts, c.optim.weight_decay = STEPS, 12, 0.1
    c.judge.update({"name": "openai", "model": "m", "concurrency": 4, **judge})
    return c


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run whose endpoint is always there; the port, and how often it was asked."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with JudgeServer(then=well(VERDICT)) as server:
        results = train(smallest(url=server.url), workdir)
    return workdir, results, server.port, len(server.requests)


def based_on(whole, **judge):
    c = smallest(**judge)
    c.model.base = str(whole[0] / "base")
    return c


def test_an_outage_loses_nothing(whole, tmp_path, capsys):
    reference, results, port, asked = whole
    run = tmp_path / "run"
    c = based_on(whole, url=f"http://127.0.0.1:{port}/v1", patience_s=0.0)
    with (
        JudgeServer(*[well(VERDICT)] * ANSWERED, then=cut, port=port),
        pytest.raises(JudgeOutage, match=r"could not be reached.* saved after step [1-9]"),
    ):
        train(c, run)
    with JudgeServer(then=well(VERDICT), port=port) as server:
        again = train(c, run)
    assert "resumed after step" in capsys.readouterr().out
    assert again == results
    for role in ("conversation", "feedback"):
        ours, theirs = ((w / role / "model.safetensors").read_bytes() for w in (run, reference))
        assert ours == theirs
    assert len(server.requests) == asked - ANSWERED  # replies that had come are not asked for again


@pytest.mark.parametrize("reply", ["I am not sure.", "{}"])
def test_too_many_without_a_verdict_stop_the_run(whole, tmp_path, reply):
    with (
        JudgeServer(then=well(reply)) as server,
        pytest.raises(UnparsedVerdicts, match=f"max_unparsed.*{reply[:8]}"),
    ):
        train(based_on(whole, url=server.url), tmp_path / "run")


def test_wildguard_on_the_devices_is_asked_and_its_silence_counted(whole, tmp_path):
    """A random model says nothing that can be read: with leave, nobody is trained on anything."""
    c = based_on(whole, name="wildguard", model=str(whole[0] / "base"), max_unparsed=0.5)
    with pytest.raises(UnparsedVerdicts, match="no usable verdict"):
        train(c, tmp_path / "strict")
    c.judge.max_unparsed, c.train.steps.stage1 = 1.0, 1
    results = train(c, tmp_path / "run")
    assert results["unjudged"] == 100 and results["asr"] is None
    record = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert record["unjudged"] == 100 and "loss/feedback" not in record
