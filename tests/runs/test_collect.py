"""Collecting at its smallest: every question once, stopped and continued, the same texts alone."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
from runpy import run_path

import forked
import pytest
from config_reads import config_reads, keys_of_others
from support import REPO, mesh_of
from workdirs import on_base

from waltzjax.collect import collect
from waltzjax.config.key import COLLECT_READS
from waltzjax.config.preferences import ARMS as ALL_ARMS
from waltzjax.data.chat import PROMPTS, read_agent_prompt
from waltzjax.data.source import drawn
from waltzjax.engine.requests import Event, Sampling, Tokens
from waltzjax.model.hf import weights
from waltzjax.preference import arms as preference_arms
from waltzjax.preference import collect as preference_collect
from waltzjax.preference.coherence import scored
from waltzjax.preference.pairs import read_preferences
from waltzjax.preference.trajectories import FILE, append_record, read_collected, record
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problems import training_problems
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.support.signals import Stopped
from waltzjax.types import (
    COUNTERFACTUAL,
    POLICY,
    PROBE,
    VARIANCE,
    Arm,
    Collected,
    Completion,
    Problem,
    Trajectory,
)

QUESTIONS = 9
ARMS = (
    ("rule", "maths.txt", 0.5, 42, VARIANCE),
    ("cause", "tiny/maths.txt", 1.0, 42, VARIANCE),
    ("probe", "tiny/maths.txt", 0.0, 1000, PROBE),
    ("cf", "tiny/maths.txt", 1.0, 2000, COUNTERFACTUAL),
)
LOGPROB_ATOL = 1e-4  # nats, of a text; float32 in batches of another width
LINE = re.compile(r"(\w+) +([\d.]+) +([\d.]+) +([\d.]+)")


def smallest():
    c = run_path(str(REPO / "configs/regime_w_collect.py"))["get_config"]("tiny")
    e = c.embedded_maths
    e.width, e.mlp_width, e.layers, e.heads, e.kv_heads = 16, 32, 1, 2, 1
    e.card_steps = e.demo_steps = 2
    e.batch = 8
    c.rollout.max_num_seqs, c.rollout.cache_tokens, c.rollout.max_new_tokens = 8, 2048, 8
    c.collect.questions, c.collect.arms = QUESTIONS, ARMS
    return c


READ: set[str] = set()  # keys of the config that the finished run has read


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run that was not interrupted."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with config_reads() as read:
        collect(smallest(), workdir, "trajectories")
    READ.update(read)
    return workdir


@pytest.fixture
def config(finished):
    """The same on the finished run's base, instead of one of its own."""
    c = smallest()
    c = on_base(c, finished / "base", COLLECT_READS)
    return c


def same(mine, theirs):
    """Text for text; of log-probabilities as near as another batch's rounding leaves them."""
    for a, b in zip(mine, theirs, strict=True):
        assert a.problem == b.problem
        for x, y in zip(a.trajectories, b.trajectories, strict=True):
            assert x.logprob == pytest.approx(y.logprob, abs=LOGPROB_ATOL)
            assert dataclasses.replace(x, logprob=y.logprob) == y


def test_every_question_once_by_all_arms_in_order(finished):
    found = read_collected(finished / FILE)
    train = [json.loads(line) for line in (finished / "data/train.jsonl").read_text().splitlines()]
    assert len(found) == QUESTIONS == len({q.problem.id for q in found})
    for q in found:
        assert train[q.problem.id]["problem"] == q.problem.text
        assert train[q.problem.id]["answer"] == q.problem.answer
        assert [(t.arm, t.role) for t in q.trajectories] == [(a[0], a[-1]) for a in ARMS]
        assert all(0 < t.tokens <= 8 and t.logprob < 0 for t in q.trajectories)
    texts = [{q.trajectories[i].text for q in found} for i in range(len(ARMS))]
    assert all(len(of) > QUESTIONS // 2 for i, of in enumerate(texts) if ARMS[i][2])
    assert len((finished / "data/validation.jsonl").read_text().splitlines()) > 0
    scores = [json.loads(line)["scores"] for line in (finished / FILE).read_text().splitlines()]
    assert all(set(s) == {"s_end", "s_path", "s_cf"} for s in scores)


def test_questions_are_drawn_in_the_files_order():
    ids = drawn(range(30), 12, 0)
    assert len(ids) == 12 and ids == sorted(set(ids)) and ids != list(range(12))
    assert ids != drawn(range(30), 12, 1) and ids == drawn(range(30), 12, 0)
    for everything in (0, 30, 99):
        assert drawn(range(30), everything, 0) == [*range(30)]


def test_a_text_that_is_there_twice_is_asked_once():
    problems = [Problem(i, f"What is {i % 30}?", "1") for i in range(40)]
    assert preference_collect.different(problems) == problems[:30]


def test_a_finished_run_collects_nothing_again_and_shows_the_arms(finished, capsys):
    before = (finished / FILE).read_bytes()
    collect(smallest(), finished, "trajectories")
    assert (finished / FILE).read_bytes() == before
    out = capsys.readouterr().out
    assert f"all {QUESTIONS} questions are there" in out
    assert f"{QUESTIONS} questions, {QUESTIONS * len(ARMS)} trajectories" in out
    rows = {
        m[1]: [float(x) for x in m.groups()[1:]] for m in map(LINE.match, out.splitlines()) if m
    }
    records = [json.loads(line)["trajectories"] for line in before.splitlines()]
    for i, arm in enumerate(ARMS):
        of = [r[i] for r in records]
        assert rows[arm[0]] == [
            round(100 * sum(t["correct"] for t in of) / QUESTIONS, 1),
            round(100 * sum(t["answer"] is None for t in of) / QUESTIONS, 1),
            round(sum(t["tokens"] for t in of) / QUESTIONS, 1),
        ]


class Killed(BaseException):
    pass


def killed():
    raise Killed


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def at_record(monkeypatch, number, act):
    """Have ``act()`` done before the record of that number (0 is the first) is written."""
    real, left = preference_collect.append_record, [number]

    def append(path, value):
        left[0] -= 1
        if left[0] == -1:
            act()
        real(path, value)

    monkeypatch.setattr(preference_collect, "append_record", append)


def test_killed_and_restarted_equals_uninterrupted(finished, config, tmp_path, monkeypatch, capsys):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_record(patch, 4, killed)
        with pytest.raises(Killed):
            collect(config, workdir, "trajectories")
    path = workdir / FILE
    before = path.read_bytes()
    assert before.count(b"\n") == 4
    path.write_bytes(before + (finished / FILE).read_bytes()[:50])  # a line that was being written
    collect(config, workdir, "trajectories")
    assert "its last line was cut off; these 50 bytes are dropped" in capsys.readouterr().out
    assert path.read_bytes().startswith(before)
    same(read_collected(path), read_collected(finished / FILE))


def test_sigterm_stops_after_what_is_written(finished, config, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_record(patch, 2, terminate)
        with pytest.raises(Stopped, match=rf"SIGTERM: (\d) of {QUESTIONS} questions") as stopped:
            collect(config, workdir, "trajectories")
    assert stopped.value.exit_status == 128 + signal.SIGTERM
    there = read_collected(workdir / FILE)
    assert f": {len(there)} of" in str(stopped.value) and 3 <= len(there) < QUESTIONS
    collect(config, workdir, "trajectories")
    same(read_collected(workdir / FILE), read_collected(finished / FILE))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1)])
def test_an_arm_alone_says_the_same(finished, config, shape):
    """A request made by hand, alone in its batch, on one device and on two."""
    config.mesh = shape
    runtime = maths_runtime(config, finished / "base", mesh_of(*shape))
    params = weights.load_params(finished / "base", runtime.cfg, runtime.mesh)
    systems = {"maths.txt": [], "tiny/maths.txt": [{"role": "system", "content": "Solve."}]}
    for found in read_collected(finished / FILE)[:3]:
        user = [{"role": "user", "content": found.problem.text}]
        for (_, persona, temperature, seed, _), there in zip(ARMS, found.trajectories, strict=True):
            text = runtime.chat.tokenizer.apply_chat_template(
                systems[persona] + user, tokenize=False, add_generation_prompt=True
            )
            digest = hashlib.sha256(f"{seed}\n{found.problem.text}".encode()).hexdigest()
            [alone] = runtime.engine.generate(
                params, runtime.chat.encode([text]), Sampling(8, temperature), [int(digest[:8], 16)]
            )
            said = runtime.chat.decode(alone.token_ids), len(alone.token_ids), alone.finish_reason
            assert said == (there.text, there.tokens, there.finish_reason)
            assert sum(alone.logprobs) == pytest.approx(there.logprob, abs=LOGPROB_ATOL)


def test_a_seed_is_of_arm_and_question_alone():
    seeds = {
        preference_arms.request_seed(s, q) for s in (42, 43) for q in ("What is 1?", "What is 2?")
    }
    assert len(seeds) == 4 and all(0 <= s < 2**32 for s in seeds)
    # sha256("42\nWhat is 1?"), by coreutils' sha256sum
    assert preference_arms.request_seed(42, "What is 1?") == 0x691B3F98


def test_no_more_is_asked_than_keeps_the_slots_busy(finished, config):
    config.collect.questions = 60
    runtime = maths_runtime(config, finished / "base", mesh_of(1, 1, 1))
    params = weights.load_params(finished / "base", runtime.cfg, runtime.mesh)
    questions, read, under_way, most, starved = training_problems(smallest())[:60], 0, 0, 0, 0

    def reading():
        nonlocal read, under_way
        for problem in questions:
            read, under_way = read + 1, under_way + len(ARMS)
            yield problem

    def watch(more):
        nonlocal under_way, most, starved
        most = max(most, under_way)
        starved += under_way < config.rollout.max_num_seqs and read < 60
        under_way -= more

    with runtime.engine.session({POLICY: params}) as session:
        found = [*preference_arms.answers(config, runtime, session, reading(), watch)]
    assert {p for p, _ in found} == {*questions} and under_way == 0 == starved
    assert (
        config.rollout.max_num_seqs
        < most
        < preference_arms.AHEAD * config.rollout.max_num_seqs + len(ARMS)
    )


class Backwards:
    """A session in which the last request ends first; its answer is a token that tells its seed."""

    def __init__(self):
        self._waiting = []

    def submit(self, request):
        self._waiting.append(request)

    def stream(self):
        while self._waiting:
            request = self._waiting.pop()
            yield Event(request.id, (), Tokens((request.seed % 256,), (0.0,), "stop"))


def test_answers_are_in_the_arms_order_whichever_ends_first(finished, config):
    runtime = maths_runtime(config, finished / "base", mesh_of(1, 1, 1))
    questions = training_problems(config)[:5]
    found = preference_arms.answers(config, runtime, Backwards(), questions, lambda more: None)
    told = {p.text: [a.token_ids for a in said] for p, said in found}
    assert told == {
        p.text: [(preference_arms.request_seed(arm[3], p.text) % 256,) for arm in ARMS]
        for p in questions
    }


def test_what_is_right_is_verified(tmp_path):
    """By hand: GSM8K's form, the prompts' form, a wrong one, none; as written."""
    texts = ["so\n#### 1,200", "Answer: $1200.00", "Answer: 12", "1200", "\\boxed{"]
    arms = [Arm(str(i), "p", 0.0, i, PROBE) for i in range(len(texts))]
    said = [Completion((5,), (1, 2), (-0.5, -0.25), text, "stop") for text in texts]
    with Verifier(1, 5.0) as verifier:
        records = preference_collect.Records(arms, verifier, tmp_path / FILE)
        records.add(Problem(3, "How many?", "1200"), said)
        records.finish()
    [found] = read_collected(tmp_path / FILE)
    got = [(t.answer, t.correct) for t in found.trajectories]
    assert got == [("1,200", True), ("$1200.00", True), ("12", False), (None, False), (None, False)]
    assert [(t.tokens, t.logprob) for t in found.trajectories] == [(2, -0.75)] * 5
    assert records.shown() == {"correct": "40.0 %"}


def test_another_config_is_refused_but_for_pairs(finished):
    before = (finished / FILE).read_bytes()
    c = smallest()
    c.collect.arms = (*ARMS[:3], ("cf", "tiny/maths.txt", 0.9, 2000, COUNTERFACTUAL))
    with pytest.raises(ValueError, match=r"--workdir: .*config\.collect\.arms"):
        collect(c, finished, "trajectories")
    c = smallest()
    c.pairs.max_pairs = 7
    collect(c, finished, "trajectories")
    assert json.loads((finished / "config.json").read_text())["pairs"]["max_pairs"] == 7
    assert (finished / FILE).read_bytes() == before


def test_other_questions_in_the_file_are_refused(finished, config, tmp_path):
    """The file of problems was changed between two calls: no config shows it."""
    data = tmp_path / "train.jsonl"
    data.write_text('{"question": "Mia has 34 pens. How many pens has Mia?", "answer": "34"}\n')
    config.problems.train, workdir = str(data), tmp_path / "run"
    collect(config, workdir, "trajectories")
    data.write_text(data.read_text().replace("34", "35"))
    with pytest.raises(ValueError, match="question 0 is not of this run"):
        collect(config, workdir, "trajectories")


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        (("b", "nowhere.txt", 0.0, 1, PROBE), r"config\.collect\.arms\[1\]\.persona: no file"),
        (("b", "judge.txt", 0.0, 1, PROBE), r"judge\.txt: the message template lacks {problem}"),
        (("b", "maths.txt", 1e-5, 1, PROBE), r"config\.collect\.arms\[1\]\.temperature: got 1e-05"),
        (("b", "maths.txt", 0.0, -1, PROBE), r"config\.collect\.arms\[1\]\.seed: got -1"),
        (("b", "maths.txt", 0.0, 1, "judge"), r"config\.collect\.arms\[1\]\.role: got 'judge'"),
        (("rule", "maths.txt", 0.0, 1, PROBE), r"config\.collect\.arms: the names \['rule'\]"),
    ],
)
def test_bad_arms_are_named_before_anything_is_made(arm, says, tmp_path):
    c = smallest()
    c.collect.arms = (ARMS[0], arm)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        collect(c, tmp_path / "run", "trajectories")
    assert not (tmp_path / "run").exists()


def test_a_question_too_long_is_named_with_its_persona(config, tmp_path):
    """The users' own persona, by its path."""
    persona = tmp_path / "long.txt"
    persona.write_text("---\n" + "Think it over. " * 30 + "{problem}")
    config.collect.arms = (ARMS[0], ("long", str(persona), 0.0, 1, PROBE))
    with pytest.raises(
        ValueError, match=r"as .*long\.txt shows them: .*got 52, but 9 .* number \d+"
    ):
        collect(config, tmp_path / "run", "trajectories")
    assert not (tmp_path / "run").exists()


def test_preferences_need_what_was_collected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"collected\.jsonl is not there; run --task=traj"):
        collect(smallest(), tmp_path / "run", "preferences")
    assert not (tmp_path / "run").exists()


def test_preferences_of_what_is_there(finished, tmp_path, capsys):
    """No model is needed; a question that is missing is said, and so is a line that was cut."""
    path = tmp_path / FILE
    shutil.copy(finished / "config.json", tmp_path)
    for q in read_collected(finished / FILE)[1:]:
        said = [
            Trajectory(t.arm, t.role, f"{t.arm}\nAnswer: {i}", str(i), i == 2, 5, -1.0, "stop")
            for i, t in enumerate(q.trajectories)
        ]
        made = Collected(q.problem, tuple(said))
        append_record(path, record(made, scored(made)))
    path.write_bytes(path.read_bytes() + b'{"id": 1')
    c = smallest()
    c.pairs.correctness_share = 0.0
    collect(c, tmp_path, "preferences")
    out = capsys.readouterr().out
    assert "its last line was cut off; these 8 bytes are dropped" in out
    assert f"warning: 1 of {QUESTIONS} questions are not collected" in out
    pairs = read_preferences(tmp_path / "pairs.jsonl")
    assert {p.question for p in pairs} == {q.problem.text for q in read_collected(path)}
    assert {(p.chosen, p.chosen_arm, p.pair_type) for p in pairs} == {
        ("probe\nAnswer: 2", "probe", "correctness")
    }
    c.pairs.max_pairs = 3  # may be another one every time
    collect(c, tmp_path, "preferences")
    assert len(read_preferences(tmp_path / "pairs.jsonl")) == 3 < len(pairs)


def test_the_command(finished, tmp_path):
    """All eleven arms; then another config in the same directory."""
    arguments = [
        "--config=configs/regime_w_collect.py:tiny", "--config.collect.questions=2",
        "--config.rollout.max_num_seqs=8", "--config.rollout.cache_tokens=2048",
        "--config.rollout.max_new_tokens=8", f"--config.model.base={finished / 'base'}",
        "--task=trajectories", f"--workdir={tmp_path / 'run'}",
    ]  # fmt: skip
    got = forked.run("-m", "waltzjax.collect", *arguments)
    assert got.returncode == 0, got.stderr
    assert "2 questions, 22 trajectories" in got.stdout and "maudlin_cf1" in got.stdout
    assert [len(q.trajectories) for q in read_collected(tmp_path / "run" / FILE)] == [11, 11]
    got = forked.run("-m", "waltzjax.collect", *arguments, "--config.seed=1")
    assert got.returncode == 1 and "config.seed: there 0, here 1" in got.stderr


def test_the_packages_personas():
    files = {f"regime_w/{path.name}": path for path in (PROMPTS / "regime_w").iterdir()}
    assert {*files} == {arm[1] for arm in ALL_ARMS} | {"regime_w/solve.txt"}
    prompts = {name: read_agent_prompt(path, ["problem"]) for name, path in files.items()}
    for prompt in prompts.values():
        assert not prompt.system  # templates of Mistral's models refuse one
        *_, asked, form, how = prompt.message.splitlines()
        assert asked.lower().endswith("the last line of your reply must be")
        assert form == "Answer: <number>" and how.startswith("with the final number alone")
        assert prompt.message.count("{problem}") == 1
    assert len({prompt.message for prompt in prompts.values()}) == len(files)


def test_no_key_is_read_that_is_said_to_be_of_others(finished):
    assert len(READ) > 30
    assert READ & keys_of_others(COLLECT_READS) == set()
