"""The whole command at its smallest: files, resuming bit for bit, and bad input."""

import json
import math
import os
import shutil
import signal
from runpy import run_path

import forked
import pytest
import workdirs
from config_reads import config_reads, keys_of_others
from support import REPO, slow, small_data
from workdirs import on_base, prepared, records

from waltzjax.config import check
from waltzjax.config.defaults import default
from waltzjax.config.key import readers_in
from waltzjax.recipes import STAGES, readers
from waltzjax.run.agent_sums import SUMS
from waltzjax.stages import reinforce, rollout
from waltzjax.support.signals import Stopped
from waltzjax.train import train
from waltzjax.validation.agents import agents_of, played_in
from waltzjax.validation.scores import agents_figures

RECIPES = {name: spec.recipe for name, spec in STAGES.items() if spec.recipe}

STEPS = 4
STREAM = {name: recipe(default()).stream for name, recipe in RECIPES.items()}  # of seed 0
GAP = 1e-4  # nats; a float32 sampler against the trainer


def smallest(name="stage2.py"):
    c = run_path(str(REPO / "configs" / name))["get_config"]("tiny")
    c.data.directory = small_data()
    c.embedded.width, c.embedded.mlp_width, c.embedded.layers = 16, 32, 1
    c.embedded.card_steps = c.embedded.demo_steps = 2
    c.embedded.batch = c.rollout.batch = c.rollout.max_num_seqs = 8
    c.rollout.cache_tokens = 4096
    c.rollout.max_new_tokens = 6
    c.rl.microbatches = 2
    c.train.steps.stage1 = c.train.steps.stage2 = STEPS
    c.train.checkpoint_every = 2
    c.train.validate_every = 3
    c.eval.prompts = 12
    c.sft.length, c.sft.batch, c.sft.microbatches = 128, 2, 1  # of the benign chats' likelihood
    c.rl.entropy_bonus = 0.05  # a random model earns nothing: without it no stage changes anything
    return check.only_read(c, readers(c))


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
    return on_base(c, finished[0] / "base")


def same_end(a, b):
    agents = ("stage1/feedback", "conversation", "feedback")
    workdirs.same_end(a, b, *(f"{agent}/model.safetensors" for agent in agents))


def test_what_a_run_leaves(finished):
    workdir, results = finished
    on_disk = json.loads((workdir / "final_validation_results.json").read_text())
    keys = {"asr", "orr", "f1", "ftr", "label_accuracy", "dir", "format_rate", "n", "seed",
            "benign_ftr", "benign_orr", "benign_nll", "benign_likelihood"}  # fmt: skip
    for part in (on_disk, on_disk["base"], on_disk["stage1"]):
        assert keys <= set(part)
        assert part["n"] == 12 and part["seed"] == 0
        assert 0 <= part["asr"] <= 100 and 0 <= part["orr"] <= 100
    assert results["asr"] == on_disk["asr"]
    for part in (on_disk["base"], on_disk["stage1"]):  # the conversation agent is the base's
        assert part["benign_likelihood"] == 100
    change = on_disk["base"]["benign_nll"] - on_disk["benign_nll"]
    assert on_disk["benign_likelihood"] == pytest.approx(100 * math.exp(change))
    assert change != 0
    for name in ("report.html", "training_metrics.json", "config.json"):
        assert (workdir / name).stat().st_size > 0
    for role in ("conversation", "feedback", "base"):
        for file in ("config.json", "model.safetensors", "tokenizer.json"):
            assert (workdir / role / file).exists()
    assert list((workdir / "tensorboard" / "stage2").iterdir())


def test_the_parts_of_a_step_add_up_to_it(finished):
    workdirs.check_times(finished[0], "generate", "judge", "score", "reference", "update")


def test_metrics_are_whole(finished):
    got = records(finished[0])
    assert [(r["stage"], r["step"]) for r in got] == [
        (stage, step + 1) for stage in ("stage1", "stage2") for step in range(STEPS)
    ]
    needed = {"asr", "orr", "format_rate", "reward/conversation", "kl/conversation",
              "clip_fraction/feedback", "gap_max/feedback", "gap_mean/conversation"}  # fmt: skip
    assert needed <= set(got[-1])
    assert max(r["gap_max/feedback"] for r in got) < GAP
    of_config = smallest().rl.beta
    betas = [{k: v for k, v in r.items() if k.startswith("beta/")} for r in got]
    assert betas == [
        *[{"beta/feedback": pytest.approx(of_config.stage1)}] * STEPS,
        *[dict.fromkeys(("beta/feedback", "beta/conversation"), pytest.approx(of_config.stage2))]
        * STEPS,
    ]


def test_each_stage_measures_kl_from_where_it_began(finished):
    """Stage 1 changes the feedback agent: measured from the base, stage 2 would not begin at 0."""
    for role, of in {"feedback": ("stage1", "stage2"), "conversation": ("stage2",)}.items():
        kl = {(r["stage"], r["step"]): r.get(f"kl/{role}") for r in records(finished[0])}
        for stage in of:
            assert kl[stage, 1] == 0 < kl[stage, STEPS]  # the same weights, to the bit, at first


def test_stage1_leaves_the_conversation_agent_alone(finished):
    from safetensors.numpy import load_file

    base, stage1, last = (
        load_file(finished[0] / p / "model.safetensors")
        for p in ("base", "stage1/feedback", "conversation")
    )
    assert any((base[k] != stage1[k]).any() for k in base)
    assert any((base[k] != last[k]).any() for k in base)
    assert not (finished[0] / "stage1/conversation").exists()
    updated = [{k for k in r if k.startswith("loss/")} for r in records(finished[0])]
    assert updated[0] == {"loss/feedback"}
    assert updated[-1] == {"loss/feedback", "loss/conversation"}


def test_stage1_alone(finished, tmp_path):
    c = with_base_of(finished, smallest("stage1.py"))
    c.train.steps.stage1, c.rollout.top_p = 2, 0.9  # the trainer must truncate too
    results = train(c, tmp_path / "run")
    assert "base" in results and "stage1" not in results and results["n"] == 12
    where = {role: tmp_path / "run" / role for role in ("conversation", "feedback")}
    weights = {
        role: (directory / "model.safetensors").read_bytes()
        for role, directory in {"base": finished[0] / "base", **where}.items()
    }
    assert weights["conversation"] == weights["base"] != weights["feedback"]
    assert max(r["gap_max/feedback"] for r in records(tmp_path / "run")) < GAP


def test_adapters_over_one_base(finished, tmp_path):
    """Stage 2 goes on from stage 1's adapter; a finished run is read back."""
    c = with_base_of(finished, smallest())
    c.lora.rank = 2
    c.train.steps.stage1 = c.train.steps.stage2 = 2
    c.optim.lr.feedback = 0.1
    c.rl.kl_target = 0.1  # each stage's first KL is 0: the coefficient falls by a fifth of a tenth
    results = train(c, tmp_path / "run")
    assert results["n"] == 12
    betas = [r["beta/feedback"] for r in records(tmp_path / "run")]
    assert betas == pytest.approx([0.01, 0.0098, 0.05, 0.049])
    for role in ("stage1/feedback", "feedback", "conversation"):
        files = {f.name for f in (tmp_path / "run" / role).iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    (tmp_path / "run/evaluations/stage2.json").unlink()
    assert train(c, tmp_path / "run") == results  # read back, and measured anew

    more = with_base_of(finished, smallest("stage1.py"))
    more.lora.rank, more.train.steps.stage1 = 2, 1
    more.model.feedback = str(tmp_path / "run/feedback")
    more.model.conversation = str(tmp_path / "run/conversation")
    found = train(more, tmp_path / "more")
    again = found["start"]
    assert found["base"]["benign_nll"] == pytest.approx(results["base"]["benign_nll"])
    shown = ("asr", "orr", "confusion", "benign_nll")
    assert {k: again[k] for k in shown} == {k: results[k] for k in shown}  # where that one ended
    assert again["benign_nll"] != results["base"]["benign_nll"]
    agent = tmp_path / "run/conversation/adapter_config.json"
    said = json.loads(agent.read_text())
    other = str(finished[0] / "conversation")
    agent.write_text(json.dumps({**said, "base_model_name_or_path": other}))
    with pytest.raises(ValueError, match=r"config\.model\.conversation: .*is of the base"):
        train(more, tmp_path / "elsewhere")
    agent.write_text(json.dumps(said))
    more.lora.rank, more.model.conversation = 0, ""
    with pytest.raises(ValueError, match=r"config\.model\.feedback: .*adapter.*whole model"):
        train(more, tmp_path / "other")


class Killed(BaseException):
    pass


def train_until_killed(workdir, monkeypatch, stage, after):
    """Train until rollout number ``after`` of ``stage`` (0 is the first), which never comes."""
    real, count = rollout.Agents, 0

    def dying(*args, **kwargs):
        nonlocal count
        count += kwargs["seed"] == STREAM[stage]
        if count > after:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(rollout, "Agents", dying)
    with pytest.raises(Killed):
        train(smallest(), workdir)
    monkeypatch.setattr(rollout, "Agents", real)


@pytest.mark.parametrize(("stage", "after"), [("stage1", 3), ("stage2", 1), slow("stage2", 3)])
def test_killed_and_restarted_equals_uninterrupted(finished, tmp_path, monkeypatch, stage, after):
    workdir = prepared(finished[0], tmp_path / "run")
    train_until_killed(workdir, monkeypatch, stage, after)
    train(smallest(), workdir)
    same_end(finished[0], workdir)


def zero_half(checkpoint):
    for path in checkpoint.rglob("*"):
        if path.is_file() and "agents" in str(path):
            path.write_bytes(b"\0" * (path.stat().st_size // 2))


def test_a_damaged_checkpoint_is_passed_over(finished, tmp_path, monkeypatch, capsys):
    workdir = prepared(finished[0], tmp_path / "run")
    train_until_killed(workdir, monkeypatch, "stage2", 0)
    shutil.rmtree(workdir / "stage1")  # the export is gone, the checkpoints are not
    checkpoints = workdir / "checkpoints/stage1"
    zero_half(checkpoints / str(STEPS))
    train(smallest(), workdir)
    assert f"checkpoint {STEPS} cannot be read" in capsys.readouterr().out
    assert (checkpoints / f"unreadable-{STEPS}").exists()
    same_end(finished[0], workdir)


def test_only_damaged_checkpoints_are_an_error_and_stay(finished, tmp_path, monkeypatch):
    workdir = prepared(finished[0], tmp_path / "run")
    train_until_killed(workdir, monkeypatch, "stage2", 0)
    shutil.rmtree(workdir / "stage1")
    checkpoints = workdir / "checkpoints/stage1"
    for step in ("3", "4"):
        zero_half(checkpoints / step)
    with pytest.raises(ValueError, match=r"no checkpoint can be read \(step 4.*step 3"):
        train(smallest(), workdir)
    assert {p.name for p in checkpoints.iterdir()} == {"3", "4"}


def test_checkpoints_keep_what_they_should(finished):
    steps = {p.name for p in (finished[0] / "checkpoints/stage2").iterdir() if p.name.isdigit()}
    assert steps == {"3", "4"}  # 2 was written, and is one more than are kept


def test_validation_on_the_way(finished, tmp_path, monkeypatch):
    names = {p.stem for p in (finished[0] / "evaluations").iterdir()}
    assert names == {"base", "stage1", "stage1_3", "stage2", "stage2_3"}
    # Stopped before the one of stage 1 was done: it is made up for.
    workdir = prepared(finished[0], tmp_path / "run")
    train_until_killed(workdir, monkeypatch, "stage1", 3)
    (workdir / "evaluations/stage1_3.json").unlink()
    train(smallest(), workdir)
    name = "evaluations/stage1_3.json"
    assert (workdir / name).read_text() == (finished[0] / name).read_text()


def test_a_loss_that_is_not_finite_ends_the_run_and_saves_nothing_of_it(
    finished, tmp_path, monkeypatch
):
    workdir = prepared(finished[0], tmp_path / "run")
    real = reinforce.Learner.learn

    def diverges(self, state, *rest):
        state, metrics = real(self, state, *rest)
        return state, metrics | ({"loss": float("nan")} if int(state.step) == 4 else {})

    monkeypatch.setattr(reinforce.Learner, "learn", diverges)
    with pytest.raises(FloatingPointError, match=r"stage1, step 4: loss/feedback"):
        train(smallest(), workdir)
    assert {p.name for p in (workdir / "checkpoints/stage1").iterdir()} == {"2", "3"}
    assert records(workdir)[-1]["step"] == 3


def test_a_finished_run_trains_nothing_again(finished, capsys):
    before = (finished[0] / "metrics.jsonl").read_bytes()
    train(smallest(), finished[0])
    assert "done before" in capsys.readouterr().out
    assert (finished[0] / "metrics.jsonl").read_bytes() == before


def command(*args):
    one_device = os.environ["XLA_FLAGS"].replace("count=8", "count=1")
    return forked.run("-m", *args, XLA_FLAGS=one_device, COLUMNS="200")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config=configs/stage2.py"], "meta-llama/Llama-3.1-8B-Instruct"),
        (["--config=configs/stage2.py:tiny", "--config.rl.clip_low=2.0"], "config.rl.clip_low"),
        (["--config=configs/stage2.py:tiny", "--config.mesh=(2,2,2)"], "needs 8 devices"),
        (["--config=configs/stage2.py:huge"], "huge"),
        (["--config=configs/stage2.py:tiny", "--config.rollout.bach=2"], "rollout.bach=2: "),
        (["--config=configs/stage2.py:tiny", "--config.data.directory=nowhere"], "nowhere"),
        (["--config=configs/stage2.py:tiny", "--config.prompts.feedback=no.txt"], "no.txt"),
        (["--config=configs/stage2.py:tiny", "--config.embedded.heads=0"], "embedded.heads"),
        (["--config=configs/stage2.py:tiny", "--config.rollout.max_new_tokens=256"], "positions"),
        (["--config=configs/nothing.py"], "nothing.py"),
        (["--config=configs/stage2.py:tiny", "surplus"], "surplus"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(tmp_path, arguments, says):
    workdir = tmp_path / "run"
    got = command("waltzjax.train", *arguments, f"--workdir={workdir}")
    assert got.returncode != 0
    assert says in got.stderr
    assert not workdir.exists()
    assert "error: " in got.stderr and "Traceback" not in got.stderr


PLAY_IN_TORCH = """
import runpy, sys
sys.argv = ["check_torch.py", {workdir!r}, "--prompts=12"]
runpy.run_path("scripts/check_torch.py", run_name="__main__")
"""


def test_the_exported_agents_reach_the_same_rates_in_torch(finished):
    pytest.importorskip("torch")
    done = forked.run("-c", PLAY_IN_TORCH.format(workdir=str(finished[0])))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["prompts"] == 12 and report["asr"]["jax"] == pytest.approx(finished[1]["asr"])


def test_the_evaluate_command(finished, tmp_path):
    workdir, output = finished[0], tmp_path / "new" / "rates.json"
    arguments = [
        "--config=configs/stage2.py:tiny", "--config.eval.prompts=12",
        "--config.rollout.max_num_seqs=8",
        "--config.rollout.max_new_tokens=6", "--config.sft.length=128", "--config.sft.batch=2",
        "--config.sft.microbatches=1", f"--data={small_data()}", f"--output={output}",
        f"--conversation={workdir / 'conversation'}", f"--feedback={workdir / 'feedback'}",
    ]  # fmt: skip
    got = command("waltzjax.evaluate", *arguments)
    assert got.returncode == 0, got.stderr
    final = json.loads((workdir / "final_validation_results.json").read_text())
    del final["intervals"]["benign_likelihood"]  # which compares with the base's
    assert json.loads(output.read_text()) == {k: final[k] for k in json.loads(output.read_text())}
    lines = output.with_suffix(".transcripts.jsonl").read_text().splitlines()
    before = json.loads((workdir / "evaluations/stage2.json").read_text())
    assert [json.loads(line) for line in lines] == before["transcripts"]
    others = output.with_suffix(".benign.transcripts.jsonl")
    lines = others.read_text().splitlines()
    assert [json.loads(line) for line in lines] == before["benign_transcripts"] != []
    assert "jailbreak_attempt" in output.with_suffix(".html").read_text()
    output.unlink()
    for suffix in (
        ".transcripts.jsonl",
        ".benign.transcripts.jsonl",
        ".html",
    ):  # each of them is reason enough
        again = command("waltzjax.evaluate", *arguments)
        assert again.returncode == 1 and f"rates{suffix} is there already" in again.stderr
        output.with_suffix(suffix).unlink()
    no_json = command("waltzjax.evaluate", *arguments, f"--output={output.with_suffix('.html')}")
    assert no_json.returncode == 1 and "wanted is the JSON file" in no_json.stderr


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run, for what writes to it."""
    workdir = tmp_path / "copy"
    return shutil.copytree(finished[0], workdir, ignore=shutil.ignore_patterns("checkpoints"))


def check_figures(figures, results):
    for name in ("asr", "orr", "dir", "label_accuracy"):
        there = [None if x is None or math.isnan(x) else x for x in figures[name]]
        assert there == [results[name], *results["intervals"][name]]


def test_the_checks_of_a_run(copied):
    """The agents are played again to the figures of the run's results, beside which the checks are
    written: all else stays."""
    results, last = copied / "final_validation_results.json", copied / "evaluations/stage2.json"
    before, config = (
        json.loads(results.read_text()),
        json.loads((copied / "config.json").read_text()),
    )
    config["serve"]["warm_up"] = False  # to compile only what is needed
    (copied / "config.json").write_text(json.dumps(config))
    got = command("waltzjax.evaluate", "--suite=validation", f"--workdir={copied}", "--fresh")
    assert got.returncode == 3, got.stderr  # what random agents say passes few checks
    now = json.loads(results.read_text())
    checks, about = {check["name"]: check for check in now.pop("checks")}, now.pop("validation")
    assert now == before and len(checks) == 11 and not about["passed"]
    check_figures({n: (c["value"], *c["interval"]) for n, c in checks.items()}, before)
    assert about["evaluation"] == "played now" and about["result"]["asr"] == before["asr"]
    assert checks["fallback"]["passed"] and not checks["label_accuracy"]["passed"]
    assert "phase 1 of 3" in got.stdout and "checks failed: " in got.stdout
    assert "Attack success rate" in (copied / "validation.html").read_text()
    spoken = (copied / "final_validation_results.transcripts.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in spoken] == json.loads(last.read_text())["transcripts"]


def test_an_evaluation_is_read_unless_an_agent_is_another(copied, capsys):
    agents = agents_of(copied)
    os.utime(copied / "feedback/model.safetensors")  # dates do not count
    played = played_in(copied, "stage2", agents)
    results = json.loads((copied / "final_validation_results.json").read_text())
    figures = agents_figures(played.episodes, seed=0)
    check_figures({n: (f.value, *f.interval) for n, f in figures.items()}, results)
    weights = copied / "feedback/model.safetensors"
    before = weights.stat()
    weights.write_bytes((copied / "conversation/model.safetensors").read_bytes())
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert played_in(copied, "stage2", agents) is None
    assert "the feedback agent has other files" in capsys.readouterr().out
    (copied / SUMS).unlink()  # an older run has dates alone
    assert played_in(copied, "stage2", agents) is None
    shown = capsys.readouterr().out
    assert "by dates alone" in shown and "the feedback agent is newer" in shown
    (copied / "evaluations/stage2.json").unlink()
    assert played_in(copied, "stage2", agents) is None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: shutil.rmtree(run / "feedback"), "has no feedback/: wanted is a run"),
        (lambda run: (run / "config.json").unlink(), "is no run's directory"),
        (lambda run: (run / "final_validation_results.json").write_text("{"), "is not JSON"),
        (lambda run: (run / "evaluations/stage2.json").write_text("{"), "--fresh plays the agents"),
        (lambda run: (run / "conversation/model.safetensors").write_bytes(b""), "conversation"),
    ],
)
def test_the_checks_of_a_damaged_run_change_nothing(copied, spoil, says):
    spoil(copied)
    before = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}
    got = command("waltzjax.evaluate", "--suite=validation", f"--workdir={copied}")
    assert got.returncode == 1 and says in got.stderr and "Traceback" not in got.stderr
    assert {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()} == before


def test_another_runs_workdir_is_refused_and_untouched(finished):
    c = smallest()
    c.rl.beta.stage2 = 0.5
    c.rollout.t_max = 2
    before = {p: p.stat().st_mtime_ns for p in finished[0].rglob("*")}
    differing = r"config\.rl\.beta\.stage2: there 0.05, here 0.5.*t_max: there 1, here 2"
    with pytest.raises(ValueError, match=differing):
        train(c, finished[0])
    assert before == {p: p.stat().st_mtime_ns for p in finished[0].rglob("*")}


def test_a_directory_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="holds other files"):
        train(smallest(), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_two_at_once(finished):
    from waltzjax.support.files import own_workdir

    record = json.loads((finished[0] / "config.json").read_text())
    with (
        own_workdir(finished[0], record),
        pytest.raises(ValueError, match="in use by another process"),
        own_workdir(finished[0], record),
    ):
        pass


def test_sigterm_checkpoints_and_a_restart_goes_on(finished, tmp_path, monkeypatch):
    workdir = prepared(finished[0], tmp_path / "run")
    real = rollout.Agents

    def terminated(*args, **kwargs):
        if kwargs["seed"] == STREAM["stage2"] and kwargs["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(rollout, "Agents", terminated)
    with pytest.raises(Stopped, match="after step 3"):
        train(smallest(), workdir)
    assert (workdir / "checkpoints/stage2/3").exists()
    monkeypatch.setattr(rollout, "Agents", real)
    train(smallest(), workdir)
    same_end(finished[0], workdir)


def test_no_key_is_read_that_is_said_to_be_of_others(finished):
    assert len(READ) > 30
    assert READ & keys_of_others(readers_in(smallest(), STAGES)) == set()
