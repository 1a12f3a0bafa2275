"""RL from verifiable rewards at its smallest: what a run leaves, where it stops, how it resumes."""

import json
import os
import re
import signal
from runpy import run_path

import forked
import pytest
import workdirs
from config_reads import config_reads, keys_of_others
from support import REPO, slow
from workdirs import on_base, prepared, records

from waltzjax.config.key import RLVR, readers_in
from waltzjax.recipes import STAGES
from waltzjax.run import workdir as run_workdir
from waltzjax.stages import rollout
from waltzjax.support.signals import Stopped
from waltzjax.train import train

STEPS = 4
GAP = 1e-4  # nats; a float32 sampler against the trainer
WEIGHTS = "policy/model.safetensors"
RESULTS = "final_validation_results.json"


def smallest(name="rlvr_multisignal.py"):
    c = run_path(str(REPO / "configs" / name))["get_config"]("tiny")
    e = c.embedded_maths
    e.width, e.mlp_width, e.layers, e.heads, e.kv_heads = 16, 32, 1, 2, 1
    e.card_steps = e.demo_steps = 2
    e.batch = 8
    c.rollout.batch, c.rollout.group, c.rollout.max_num_seqs = 4, 2, 8
    c.rollout.cache_tokens, c.rollout.max_new_tokens = 2048, 8
    c.rl.token_budget = 256
    c.optim.schedule = "constant"
    c.rl.entropy_bonus = 0.1  # a random model is never right: without it nothing would change
    c.train.steps.rlvr = STEPS
    c.train.checkpoint_every = 2
    c.train.validate_every = 3
    c.eval.prompts = 7
    return c


READ: set[str] = set()  # keys of the config that the finished run has read


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run, and its results."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with config_reads() as read:
        results = train(smallest(), workdir)
    READ.update(read)
    return workdir, results


def with_base_of(finished, c):
    """The config ``c`` on the finished run's base, instead of one of its own."""
    c = on_base(c, finished[0] / "base")
    return c


def same_end(a, b):
    workdirs.same_end(a, b, WEIGHTS)


def test_what_a_run_leaves(finished):
    workdir, results = finished
    on_disk = json.loads((workdir / RESULTS).read_text())
    for part in (on_disk, on_disk["base"], on_disk["rlvr_3"]):
        assert {"accuracy", "format_rate", "n", "seed", "subjects", "levels"} <= set(part)
        assert part["n"] == 7 and part["samples"] == 1 and part["seed"] == 0
        assert sum(of["n"] for of in part["subjects"].values()) == 7
    assert results["accuracy"] == on_disk["accuracy"]
    evaluation = json.loads((workdir / "evaluations/rlvr.json").read_text())
    right = [p["samples"][0]["right"] for p in evaluation["predictions"]]
    assert on_disk["accuracy"] == pytest.approx(100 * sum(right) / 7)
    for name in ("report.html", "training_metrics.json", "config.json", "data/train.jsonl"):
        assert (workdir / name).stat().st_size > 0
    assert len((workdir / "data/validation.jsonl").read_text().splitlines()) == 7
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (workdir / "policy" / file).exists()


def test_the_parts_of_a_step_add_up_to_it(finished):
    workdirs.check_times(finished[0], "generate", "judge", "score", "reference", "update")


def test_the_stop_is_exact_and_metrics_are_whole(finished):
    got = records(finished[0])
    assert [(r["stage"], r["step"]) for r in got] == [(RLVR, n + 1) for n in range(STEPS)]
    signals = ("verify", "format", "reflect", "overlong")
    needed = {
        f"{what}/{s}" for what in ("signal", "signal_std", "frac_zero_std_groups") for s in signals
    }
    needed |= {"frac_zero_std_groups", "accuracy", "format_rate", "tokens", "reward/policy",
               "kl/policy", "entropy/policy", "padding/policy", "clip_fraction/policy"}  # fmt: skip
    assert needed <= set(got[-1])
    assert max(r["gap_max/policy"] for r in got) < GAP
    assert got[0]["kl/policy"] == 0 < got[-1]["kl/policy"]
    assert all(0 < r["padding/policy"] < 1 for r in got)


def test_a_finished_run_trains_nothing_again(finished, capsys):
    before = (finished[0] / "metrics.jsonl").read_bytes()
    train(smallest(), finished[0])
    assert "done before" in capsys.readouterr().out
    assert (finished[0] / "metrics.jsonl").read_bytes() == before


class Killed(BaseException):
    pass


def at_step(monkeypatch, step, act):
    """Have ``act()`` done as the rollout of ``step`` (0 is the first) begins."""
    real = rollout.Agents

    def agents(*args, **kwargs):
        if kwargs["step"] == step:
            monkeypatch.setattr(rollout, "Agents", real)
            act()
        return real(*args, **kwargs)

    monkeypatch.setattr(rollout, "Agents", agents)


def killed():
    raise Killed


@pytest.mark.parametrize("after", [1, slow(3)])
def test_killed_and_restarted_equals_uninterrupted(finished, tmp_path, monkeypatch, after):
    workdir = prepared(finished[0], tmp_path / "run")
    at_step(monkeypatch, after, killed)
    with pytest.raises(Killed):
        train(smallest(), workdir)
    train(smallest(), workdir)
    same_end(finished[0], workdir)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_off_never_loads_and_says_how_to_go_on(finished, tmp_path, monkeypatch):
    c = smallest()
    c.train.resume = "off"
    before = {p: p.stat().st_mtime_ns for p in finished[0].rglob("*")}
    with pytest.raises(ValueError, match=r"config\.train\.resume: got 'off'.*holds a run"):
        train(c, finished[0])
    assert before == {p: p.stat().st_mtime_ns for p in finished[0].rglob("*")}
    c = with_base_of(finished, c)
    at_step(monkeypatch, 2, terminate)
    with pytest.raises(Stopped, match=r"after step 3; .*config\.train\.resume=auto goes on"):
        train(c, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run"):
        train(c, tmp_path / "run")
    c.train.resume = "auto"
    train(c, tmp_path / "run")
    assert records(tmp_path / "run") == records(finished[0])


def test_another_runs_checkpoint_is_where_a_run_begins(finished, tmp_path):
    """Two steps, and two more in another directory, are the four of one run."""
    c = with_base_of(finished, smallest())
    c.train.steps.rlvr = 2
    train(c, tmp_path / "first")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "first").rglob("*")}
    c.train.steps.rlvr, c.train.resume = STEPS, str(tmp_path / "first")
    train(c, tmp_path / "second")
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "first").rglob("*")}
    assert (tmp_path / "second" / WEIGHTS).read_bytes() == (finished[0] / WEIGHTS).read_bytes()
    assert records(tmp_path / "second") == records(finished[0])[2:]
    c.train.steps.rlvr = 1
    with pytest.raises(ValueError, match=r"config\.train\.steps\.rlvr: got 1.*of step 2"):
        train(c, tmp_path / "third")


@pytest.mark.parametrize("there", [(), ("stage1",)])
def test_a_run_to_begin_at_must_have_the_stage(there, tmp_path):
    c = smallest()
    c.train.resume = str(tmp_path / "other")
    for stage in there:
        (tmp_path / "other/checkpoints" / stage).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"config\.train\.resume: .*wanted is one of rlvr"):
        train(c, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_two_launches_share_a_name():
    names = {run_workdir.new_directory("rlvr_naive-tiny").name for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"rlvr_naive-tiny-\d{8}-\d{6}-[0-9a-f]{6}", name) for name in names)


def test_padded_updates_and_adapters(finished, tmp_path):
    """Without a token budget the same steps, but for rounding; adapters are trained as well."""
    c = with_base_of(finished, smallest())
    c.train.steps.rlvr, c.rl.token_budget, c.rl.microbatches = 2, 0, 2
    train(c, tmp_path / "padded")
    keys = ("kl/policy", "loss/policy", "grad_norm/policy", "entropy/policy")
    for mine, packed in zip(records(tmp_path / "padded"), records(finished[0]), strict=False):
        assert {k: mine[k] for k in keys} == pytest.approx({k: packed[k] for k in keys}, rel=1e-3)
    # One problem is repeated to the batch; avg@2 of answers drawn.
    one = tmp_path / "one.jsonl"
    one.write_text('{"question": "Mia has 34 pens. How many pens has Mia?", "answer": "34"}\n')
    c.lora.rank, c.rl.algorithm, c.train.steps.rlvr = 2, "rloo", 1
    c.problems.train, c.eval.samples, c.eval.temperature = str(one), 2, 1.0
    found = train(c, tmp_path / "adapter")
    assert (found["n"], found["samples"], found["base"]["samples"]) == (7, 2, 2)
    files = {f.name for f in (tmp_path / "adapter/policy").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files


def test_the_evaluate_command(finished, tmp_path):
    """The run's own policy on the run's own problems comes to the run's own result."""
    output = tmp_path / "new" / "maths.json"
    arguments = [
        "--config=configs/rlvr_multisignal.py:tiny", "--config.rollout.max_num_seqs=8",
        "--config.rollout.cache_tokens=2048", "--config.rollout.max_new_tokens=8",
        f"--model={finished[0] / 'policy'}", f"--data={finished[0] / 'data/validation.jsonl'}",
        f"--output={output}",
    ]  # fmt: skip
    one_device = os.environ["XLA_FLAGS"].replace("count=8", "count=1")
    got = forked.run("-m", "waltzjax.evaluate", *arguments, XLA_FLAGS=one_device)
    assert got.returncode == 0, got.stderr
    final, found = finished[1], json.loads(output.read_text())
    same = ("accuracy", "format_rate", "tokens", "subjects", "n", "intervals", "seed")
    assert {k: found[k] for k in same} == {k: final[k] for k in same}
    lines = output.with_suffix(".predictions.jsonl").read_text().splitlines()
    before = json.loads((finished[0] / "evaluations/rlvr.json").read_text())["predictions"]
    said = [[s["text"] for s in p["samples"]] for p in map(json.loads, lines)]
    assert said == [[s["text"] for s in p["samples"]] for p in before]
    again = forked.run("-m", "waltzjax.evaluate_maths", *arguments, XLA_FLAGS=one_device)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert "deprecated: waltzjax.evaluate_maths; use waltzjax.evaluate" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config.problems.train=nowhere.jsonl"], "nowhere.jsonl"),
        (["--config.problems.max_tokens=8"], "config.problems.max_tokens: got 8, but"),
        (["--config.train.resume=elsewhere"], "config.train.resume: got 'elsewhere'"),
        (["--config.rl.token_budget=90"], "config.rl.token_budget: got 90"),
    ],
)
def test_bad_input_is_one_message(finished, tmp_path, arguments, says):
    """With a model at hand all is found before a directory is made."""
    base = f"--config.model.base={finished[0] / 'base'}"
    got = forked.run("-m", "waltzjax.train", "--config=configs/rlvr_multisignal.py:tiny", base,
                     f"--workdir={tmp_path / 'run'}", *arguments)  # fmt: skip
    assert got.returncode == 1 and says in got.stderr and "Traceback" not in got.stderr
    assert not (tmp_path / "run").exists()


def test_no_key_is_read_that_is_said_to_be_of_others(finished):
    assert len(READ) > 30
    assert READ & keys_of_others(readers_in(smallest(), STAGES)) == set()
