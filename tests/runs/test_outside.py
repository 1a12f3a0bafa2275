"""CONTRIBUTING's recipes for an algorithm and for a stage, followed from outside of the package."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from test_rlvr import smallest
from workdirs import records

from waltzjax import recipes
from waltzjax.config.key import MATHS, REINFORCE
from waltzjax.core.advantages import BASELINES, Baseline
from waltzjax.rlvr import attempts, rates
from waltzjax.rlvr.attempts import Attempts
from waltzjax.rlvr.problems import check_problems, training_problems
from waltzjax.rlvr.recipe import rlvr
from waltzjax.rlvr.task import TrainingData, maths_job
from waltzjax.stages import stage
from waltzjax.stages.algorithms import ALGORITHMS, Algorithm
from waltzjax.stages.recipe import Recipe, learning_fields
from waltzjax.stages.reinforce import reinforce, stage_steps
from waltzjax.stages.rollout import Rolled, make_sample, roll_out, training_draw
from waltzjax.stages.stage import StageSpec
from waltzjax.train import train
from waltzjax.types import POLICY

GROUP = 2


@pytest.fixture
def median(monkeypatch):
    """An algorithm in two lines: the baseline is the group's median."""
    centre = Baseline(lambda r_PK, _: r_PK - jnp.median(r_PK, axis=1, keepdims=True), linear=False)
    monkeypatch.setitem(BASELINES, "median", centre)
    monkeypatch.setitem(ALGORITHMS, "median", Algorithm("median", False, "sequence"))


def test_an_algorithm_of_ones_own(median, tmp_path):
    c = smallest()
    c.rl.algorithm, c.rollout.group, c.train.steps.rlvr = "median", 3, 2
    c.train.validate_every, c.eval.prompts = 0, 2
    train(c, tmp_path / "run")
    assert [r["step"] for r in records(tmp_path / "run")] == [1, 2]
    assert all(r["grad_norm/policy"] > 0 for r in records(tmp_path / "run"))
    how = rlvr(c).to_samples.keywords
    assert (how["baseline"], rlvr(c).weights) == ("median", "sequence")
    signal_PKR = np.float32([[[1.0], [0.0], [5.0]]])  # the median is 1
    got_PK = BASELINES["median"].advantage(jnp.asarray(signal_PKR[..., 0]), None)
    assert got_PK.tolist() == [[0.0, -1.0, 4.0]]


def test_an_algorithm_that_nobody_added_is_refused_with_those_there_are(median):
    c = smallest()
    c.rl.algorithm = "mean_of_peers"
    with pytest.raises(ValueError, match=r"got 'mean_of_peers', allowed are .*rloo, median"):
        recipes.validate(c, training=True)


# A stage in which a policy learns to be brief: an answer earns what it is shorter than the other.


def brevity(config) -> Recipe:
    def to_samples(groups, rng):
        del rng
        found = []
        for group in groups:
            said = [attempt.completion for attempt in group.attempts]
            mean = sum(len(c.token_ids) for c in said) / len(said)
            for c in said:
                shorter = mean - len(c.token_ids)
                found.append(make_sample(c, -float(len(c.token_ids)), shorter))
        return {POLICY: found}

    return Recipe(
        trained=(POLICY,), stream=99, collect=partial(attempts.answer, samples=GROUP),
        to_samples=to_samples, summary=rates.summary, **learning_fields(config, "brevity"),
    )  # fmt: skip


def brevity_stage(config, problems, runtime, verifier, inputs):
    recipe = brevity(config)

    def roll(params, chosen, stream, step, watch):
        answers = Attempts(config, verifier, chosen, GROUP)
        collect, draw = partial(recipe.collect, turn=0), training_draw(config, stream, step, watch)
        with runtime.engine.session(params) as session:
            roll_out(runtime.chat, session, collect, chosen, draw, answers.add)
            drawn = session.stats()
        groups = answers.finish()
        return Rolled(recipe.to_samples(groups, None), dict(recipe.summary(groups)), drawn)

    return reinforce(config, "brevity", recipe, runtime, inputs, problems, lambda more: roll)


def brevity_job(config, workdir, mesh, stages):
    problems = training_problems(config)
    steps = partial(stage_steps, config, "brevity", len(problems))

    def prepare(runtime):
        steps()
        return check_problems(config, runtime, problems)

    return maths_job(
        config, workdir, mesh,
        TrainingData(
            questions=[p.text for p in problems], graded=problems, record={}, steps=steps,
            prepare=prepare,
            build=partial(brevity_stage, config), outcome=lambda metrics: {},
            note=lambda results: "", method="brevity",
        ),
    )  # fmt: skip


@pytest.fixture
def brief(monkeypatch):
    spec = StageSpec(
        kind=stage.REINFORCE, job=brevity_job, reads=(MATHS, REINFORCE),
        roles=lambda config: (POLICY,), turns=lambda config: {POLICY: 1}, recipe=brevity,
    )  # fmt: skip
    monkeypatch.setitem(recipes.STAGES, "brevity", spec)


def briefly():
    c = smallest()
    c.stages, c.rollout.group = ("brevity",), 1
    with c.unlocked():
        c.train.steps.brevity, c.rl.beta.brevity = 2, 0.0
    c.rl.algorithm, c.train.steps.rlvr, c.rl.beta.rlvr = "reinforce_pp", 0, 0.001
    c.train.validate_every, c.eval.prompts = 0, 2
    return c


def test_a_stage_of_ones_own(brief, tmp_path):
    results = train(briefly(), tmp_path / "run")
    got = records(tmp_path / "run")
    assert [(r["stage"], r["step"]) for r in got] == [("brevity", 1), ("brevity", 2)]
    assert all(r["grad_norm/policy"] > 0 for r in got)
    assert {"accuracy", "base"} <= results.keys()
    assert (tmp_path / "run/policy/model.safetensors").exists()


def test_keys_that_a_stage_of_ones_own_does_not_read_are_refused_too(brief):
    c = briefly()
    c.rollout.group = 4
    with pytest.raises(ValueError, match=r"config\.rollout\.group: got 4, .* read by rlvr\."):
        recipes.validate(c, training=True)
    c.rollout.group, c.train.steps.brevity = 1, -1
    with pytest.raises(ValueError, match=r"config\.train\.steps\.brevity: got -1, expected int"):
        recipes.validate(c, training=True)


def test_a_stage_of_ones_own_is_no_part_of_another_run(brief):
    c = briefly()
    c.stages = ("rlvr", "brevity")
    with pytest.raises(ValueError, match="'brevity' cannot be part of one run with the others"):
        recipes.validate(c, training=True)
