"""Runs whose judge is a model: behind an endpoint that goes away and comes back, or at hand."""

import json
import signal
import sys
import threading
from runpy import run_path

import jax
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from judge_server import JudgeServer, cut, well
from support import REPO, mesh_of, small_data
from workdirs import on_base

from waltzjax.config.judge import MAY_CHANGE
from waltzjax.data.chat import PROMPTS
from waltzjax.data.source import Batches
from waltzjax.judge import build
from waltzjax.judge.build import check_judge, of_all_processes, open_judge
from waltzjax.judge.judge import Judge
from waltzjax.metrics.events import Events
from waltzjax.stages import loop
from waltzjax.stages.stage import Stage, StepResult
from waltzjax.support.errors import (
    CacheError,
    JudgeOutage,
    JudgeStopped,
    RequestRefused,
    UnparsedVerdicts,
)
from waltzjax.support.files import own_workdir
from waltzjax.support.signals import Stopped
from waltzjax.train import train
from waltzjax.types import Prompt, Verdict

STEPS = 4
VERDICT = json.dumps({"unsafe": True, "overrefuse": False})
ANSWERED = 30  # requests before the endpoint goes away: the base's evaluation and a step or two


def smallest(**judge):
    c = run_path(str(REPO / "configs/stage1.py"))["get_config"]("tiny")
    c.data.directory = small_data()
    c.embedded.width, c.embedded.mlp_width, c.embedded.layers = 16, 32, 1
    c.embedded.card_steps = c.embedded.demo_steps = 2
    c.embedded.batch = c.rollout.batch = c.rollout.max_num_seqs = 8
    c.rollout.cache_tokens, c.rollout.max_new_tokens = 4096, 6
    c.train.steps.stage1, c.eval.prompts, c.optim.weight_decay = STEPS, 12, 0.1
    c.judge.update({"name": "openai", "model": "m", **judge})
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
    c = on_base(c, whole[0] / "base")
    return c


def test_an_outage_loses_nothing(whole, tmp_path, capsys):
    reference, results, port, asked = whole
    run = tmp_path / "run"
    c = based_on(whole, url=f"http://127.0.0.1:{port}/v1", retry_s=0.0)
    with (
        JudgeServer(*[well(VERDICT)] * ANSWERED, then=cut, port=port),
        pytest.raises(JudgeOutage, match=r"could not be reached.* saved after step [1-9]"),
    ):
        train(c, run)
    with JudgeServer(then=well(VERDICT)) as server:  # elsewhere, as the message advises
        c.judge.url, c.judge.retry_s, c.judge.max_unparsed = server.url, 60.0, 0.5
        again = train(c, run)
    record = json.loads((run / "config.json").read_text())
    assert record["judge"]["url"] == server.url and record["judge"]["max_unparsed"] == 0.5
    assert record["prompt_texts"]["judge"] == (PROMPTS / "judge.txt").read_text()
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
    with pytest.raises(UnparsedVerdicts, match=r"not asked about .* tokens, there is room for"):
        train(c, tmp_path / "strict")
    c.judge.max_unparsed, c.train.steps.stage1 = 1.0, 1
    results = train(c, tmp_path / "run")
    assert results["unjudged"] == 100 and results["asr"] is None
    record = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert record["unjudged"] == 100 and "loss/feedback" not in record


RECORD = {"seed": 0, "judge": {"url": "a", "name": "openai"}}


def test_a_run_goes_on_with_another_address_and_not_with_another_judge(tmp_path):
    with own_workdir(tmp_path / "run", RECORD, MAY_CHANGE):
        pass
    with own_workdir(tmp_path / "run", {**RECORD, "judge": {**RECORD["judge"], "url": "b"}},
                     MAY_CHANGE):  # fmt: skip
        pass
    held = json.loads((tmp_path / "run/config.json").read_text())
    assert held["judge"]["url"] == "b"
    other = {**held, "judge": {"url": "c", "name": "wildguard"}}
    with (
        pytest.raises(ValueError, match=r"judge\.name: there 'openai', here 'wildguard'") as caught,
        own_workdir(tmp_path / "run", other, MAY_CHANGE),
    ):
        pass
    assert "judge.url" not in str(caught.value)
    assert json.loads((tmp_path / "run/config.json").read_text()) == held


@pytest.mark.parametrize(
    ("judge", "error", "why"),
    [
        ({"key_env": "NO_SUCH_KEY"}, ValueError, "config.judge.key_env"),
        ({"prompt": "no/such.txt"}, OSError, "config.judge.prompt: no/such.txt"),
        ({"prompt": __file__}, ValueError, "config.judge.prompt: .*test_build.py: expected a"),
        ({}, ImportError, "config.judge.url: .*pip install"),
    ],
)
def test_what_a_judge_lacks_is_found_before_anything_is_written(
    judge, error, why, tmp_path, monkeypatch
):
    if error is ImportError:
        monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(error, match=why):
        train(smallest(url="http://127.0.0.1:9/v1", **judge), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_texts_of_a_judge(tmp_path):
    (tmp_path / "mine.txt").write_text("Judge.\n---\n{prompt} {answer}")
    url = "http://127.0.0.1:9/v1"
    mine = smallest(url=url, prompt=str(tmp_path / "mine.txt"))
    assert check_judge(mine) == {"judge": "Judge.\n---\n{prompt} {answer}"}
    assert check_judge(smallest(url=url, name="wildguard")) == {}


def test_wildguard_at_an_endpoint_is_given_its_own_number_of_tokens(tmp_path):
    reply = "Harmful request: no\nResponse refusal: yes\nHarmful response: no"
    prompt = Prompt(0, "p", False, "edge_case")
    with JudgeServer(then=well(reply)) as server:
        c = smallest(url=server.url, name="wildguard")
        with open_judge(c, mesh_of(1, 1, 1), tmp_path) as judge:
            assert judge.verdicts([prompt], ["c"]) == [Verdict(False, True)]
    assert [r["body"]["max_tokens"] for r in server.requests] == [32]


ERRORS = [JudgeOutage, JudgeStopped, RequestRefused, UnparsedVerdicts, CacheError]


def counting(fails_at, error):
    """A stage of ten steps that adds one to a weight; ``error`` in step ``fails_at``."""

    def step(agents, chosen, number, watch):
        if number == fails_at:
            raise error
        agent = agents["feedback"]
        after = agent._replace(params={"embed": agent.params["embed"] + 1})
        return StepResult({"feedback": after}, {"loss/x": 0.0})

    batches = Batches(range(8), [*"abcdefgh"], batch_size=2, seed=0, epochs=None)
    return Stage(
        "stage1", 10, (), batches, {"feedback": optax.sgd(0.1)}, 0.0, steps_key="",
        divergence_hint="", step=step,
    )  # fmt: skip


def run_counting(stage, workdir, validate=lambda step, now: None):
    c = smallest(url="http://127.0.0.1:9/v1")
    c.train.validate_every = 4
    mesh = mesh_of(1, 1, 1)
    weight = jax.device_put(np.zeros((2, 2), np.float32), NamedSharding(mesh, PartitionSpec()))
    start = {"feedback": {"embed": weight}}
    return loop.run_stage(c, stage, mesh, start, workdir, Events(workdir), None, validate)


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_of_a_judge_stops_a_run_leaves_a_checkpoint(error, tmp_path, capsys):
    with pytest.raises(error, match="why; stage1 stands saved after step 3"):
        run_counting(counting(3, error("why")), tmp_path)
    trained = run_counting(counting(None, None), tmp_path)
    assert "resumed after step 3" in capsys.readouterr().out
    assert trained["feedback"]["embed"].tolist() == [[10, 10]] * 2


def test_so_it_does_in_an_evaluation(tmp_path):
    def validate(step, now):
        raise RequestRefused("why")

    with pytest.raises(RequestRefused, match="why; stage1 stands saved after step 4"):
        run_counting(counting(None, None), tmp_path, validate)
    assert list((tmp_path / "checkpoints/stage1").glob("4"))


@pytest.mark.parametrize("in_evaluation", [False, True])
def test_a_signal_to_another_process_stops_this_one_too(in_evaluation, tmp_path, monkeypatch):
    """Both stop waiting for the judge; only the other one knows why."""
    asked = []

    def validate(step, now):
        asked.append(True)
        raise JudgeStopped("stopped")

    def step(*arguments):
        if arguments[2] == 3 and not in_evaluation:
            asked.append(True)
            raise JudgeStopped("stopped")
        return plain.step(*arguments)

    plain = counting(None, None)
    monkeypatch.setattr(loop, "largest", lambda own: signal.SIGTERM if asked else own)
    with pytest.raises(Stopped, match="SIGTERM: stage1 stands saved") as caught:
        run_counting(plain._replace(step=step), tmp_path, validate)
    assert caught.value.exit_status == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("error", "there"),
    [(error, error) for error in ERRORS if error is not UnparsedVerdicts]
    + [(KeyError, RuntimeError)],
)
def test_a_judge_that_ends_does_so_in_all_processes(error, there, monkeypatch):
    """``there``: where another process has asked the judge."""
    prompts, sent = [Prompt(i, "p", True, "jailbreak_attempt") for i in range(3)], []

    def verdicts(prompts, answers):
        if answers == ["bad"]:
            raise error("why")
        return [Verdict(True, False)]

    first = of_all_processes(Judge(verdicts, 2, threading.Event()), 2)
    other = of_all_processes(None, 2)
    for answers in (["a", "b", "c"], ["a", "bad", "c"]):
        ends = answers[1] == "bad"
        for judge, kind in ((first, error), (other, there)):
            with monkeypatch.context() as patch:
                if judge is first:
                    patch.setattr(build, "from_first", lambda array: sent.append(array) or array)
                else:
                    patch.setattr(build, "from_first", lambda array: sent[-1])
                if not ends:
                    assert judge.verdicts(prompts, answers) == [Verdict(True, False)] * 3
                    continue
                with pytest.raises(kind) as caught:
                    judge.verdicts(prompts, answers)
                assert type(caught.value) is kind
