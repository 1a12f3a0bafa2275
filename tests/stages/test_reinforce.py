"""A stage of reinforcement: what of its config reaches sampler, learner and optimiser."""

from functools import partial

import jax
import numpy as np
import pytest
from support import mesh_of, tiny_runtime
from test_rollout import Verifier, problems

from waltzjax.config import defaults
from waltzjax.engine.session import Stats
from waltzjax.judge.judge import Judge
from waltzjax.model.transformer import init_params
from waltzjax.recipes import STAGES
from waltzjax.rlvr.rollout import roll_maths
from waltzjax.run.trainable import Trainable
from waltzjax.stages.reinforce import reinforce
from waltzjax.stages.rollout import Rolled
from waltzjax.stages.stage import StageInputs
from waltzjax.training.learner import device_batch, init_state
from waltzjax.training.step import full_params, make_logp
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, Prompt, Sample, Verdict
from waltzjax.waltz.rollout import roll_game

RECIPES = {name: spec.recipe for name, spec in STAGES.items() if spec.recipe}

GAP = 1e-4  # nats; a float32 sampler against the trainer
RUNTIME = tiny_runtime()
PARAMS = init_params(RUNTIME.cfg, jax.random.key(0))
WHOLE = Trainable(lambda params, seed: params, full_params, None, None)
PROMPTS = [Prompt(i, f"question {i}", i % 2 == 0, "x") for i in range(4)]


def settings(name, **changes):
    c = defaults.default()
    c.stages = (name,)
    c.rollout.batch, c.rollout.max_new_tokens, c.rollout.pad_to_multiple_of = 4, 12, 64
    c.rl.microbatches = 1
    c.update_from_flattened_dict(changes)
    return c


def step(c, name, rolls, asked):
    """(agents before, agents after, metrics, rows) of the stage's first step."""
    rolled = []

    def watched(more):
        roll = rolls(more)

        def keep(*args):
            rolled.append(roll(*args))
            return rolled[-1]

        return keep

    recipe = RECIPES[name](c)
    start = dict.fromkeys((*recipe.trained, CONVERSATION, FEEDBACK), PARAMS)
    stage = reinforce(c, name, recipe, RUNTIME, StageInputs(WHOLE, PARAMS, start), asked, watched)
    agents = {
        role: init_state(PARAMS, optimizer, RUNTIME.mesh, stage.kl_coef)
        for role, optimizer in stage.optimizers.items()
    }
    before = jax.device_get({role: agent.params for role, agent in agents.items()})
    after, metrics, _ = stage.step(agents, asked, 0, lambda _: None)
    return before, jax.device_get(after), metrics, rolled[0].rows


def largest_change(before, after):
    apart = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - b).max(), before, after.params)
    return max(jax.tree.leaves(apart))


def fixed_rows(roles):
    """Rows of these roles, without an engine."""
    rng = np.random.default_rng(0)

    def ids(n):
        return tuple(rng.integers(1, 400, n).tolist())

    rows = {r: [Sample(ids(5), ids(6), (-6.0,) * 6, float(i % 2)) for i in range(4)] for r in roles}
    return lambda more: lambda *_: Rolled(rows, {}, Stats(*[0] * 9))


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("stage2", (CONVERSATION, FEEDBACK)), ("stage1", (FEEDBACK,)),
        ("single", (CONVERSATION,)), ("rlvr", (POLICY,)),
    ],
)  # fmt: skip
def test_each_role_learns_at_its_own_rate(name, roles):
    """Adam's first step moves a weight by the rate itself, where its gradient is not tiny."""
    rates = {CONVERSATION: 1e-3, FEEDBACK: 3e-3, POLICY: 7e-3}
    c = settings(name, **{f"optim.lr.{role}": rate for role, rate in rates.items()})
    before, after, _, _ = step(c, name, fixed_rows(roles), PROMPTS)
    moved = {role: largest_change(before[role], after[role]) for role in after}
    assert moved == {role: pytest.approx(rates[role], rel=1e-2) for role in roles}


def maths_rolls(c, recipe):
    return lambda more: partial(roll_maths, c, RUNTIME, recipe, Verifier(), more)


def by_prompt(prompts, answers):
    """Verdicts on whatever a random model says."""
    return [Verdict(prompt.harmful, False) for prompt, _ in zip(prompts, answers, strict=True)]


def game_rolls(c, recipe):
    return lambda _: partial(roll_game, c, RUNTIME, recipe, Judge(by_prompt, 0))


@pytest.mark.parametrize("temperature", [0.6, 1.5])
@pytest.mark.parametrize(
    ("name", "rolls", "asked"),
    [
        ("stage2", game_rolls, PROMPTS),
        ("rlvr", maths_rolls, problems("first", "all", "none", "first")),
    ],
)
def test_a_stage_samples_and_learns_at_its_temperature(name, rolls, asked, temperature):
    """Sampler, old log-probabilities and update are of one distribution, of this temperature."""
    c = settings(
        name, **{"rollout.temperature": temperature, "rollout.group": 2 * (name == "rlvr") or 1}
    )
    _, _, metrics, rows = step(c, name, rolls(c, RECIPES[name](c)), asked)
    assert set(rows) == set(RECIPES[name](c).trained)
    for role, samples in rows.items():
        assert metrics[f"gap_max/{role}"] < GAP
        assert metrics[f"clip_fraction/{role}"] == metrics[f"kl/{role}"] == 0
        batch = device_batch(
            samples, mesh_of(1, 1, 1), microbatches=1, multiple=64, weights="sequence",
            max_length=256,
        )  # fmt: skip
        want, plain = (
            make_logp(RUNTIME.cfg, temperature=t, block=512)(PARAMS, batch)
            for t in (temperature, 1.0)
        )
        apart = np.abs(np.asarray(want - batch.sampler_logp_BT))[np.asarray(batch.action_BT)]
        assert apart.max() < GAP < 0.1 < np.abs(np.asarray(plain - want)).max()


def test_a_rollout_is_of_the_newest_policy_and_its_kl_from_the_first():
    """Neither is a step behind, and the reference does not follow."""
    c, spoken = settings("rlvr", **{"optim.lr.policy": 1e-3}), []

    def rolls(more):
        def roll(params, *rest):
            spoken.append(jax.tree.map(np.array, params[POLICY]))
            return fixed_rows((POLICY,))(more)(params, *rest)

        return roll

    start = dict.fromkeys((POLICY, CONVERSATION, FEEDBACK), PARAMS)
    stage = reinforce(
        c, "rlvr", RECIPES["rlvr"](c), RUNTIME, StageInputs(WHOLE, PARAMS, start), PROMPTS, rolls
    )
    agents = {POLICY: init_state(PARAMS, stage.optimizers[POLICY], RUNTIME.mesh, stage.kl_coef)}
    asked = device_batch(
        fixed_rows((POLICY,))(None)().rows[POLICY], RUNTIME.mesh, microbatches=1, multiple=64,
        weights="sequence", max_length=256,
    )  # fmt: skip
    logp = make_logp(RUNTIME.cfg, temperature=c.rollout.temperature, block=512)
    on = np.asarray(asked.action_BT)
    for number in range(3):
        newest = jax.tree.map(np.array, agents[POLICY].params)
        agents, metrics, _ = stage.step(agents, PROMPTS, number, lambda _: None)
        jax.tree.map(np.testing.assert_array_equal, spoken[number], newest)
        ratio = (np.asarray(logp(PARAMS, asked)) - np.asarray(logp(newest, asked)))[on]
        kl = np.mean(np.exp(ratio) - ratio - 1)
        assert (kl > 1e-3) == (number > 0) and kl < 1
        assert metrics["kl/policy"] == pytest.approx(kl, rel=1e-3, abs=1e-6)
