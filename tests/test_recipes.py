"""A stage's recipe: who is trained, on which rows, with which reward and loss."""

import dataclasses

import jax
import numpy as np
import pytest
from support import scored_episode

from waltzjax.config import default
from waltzjax.recipes import RECIPES, policy_loss, reinforce_pp
from waltzjax.types import CONVERSATION, FEEDBACK, Feedback, PolicyBatch

ATOL = 1e-6  # float32 against double, values of order 1
RIGHT_UNSAFE = (True, False)


def batch(rng, rows=3, tokens=6) -> PolicyBatch:
    action = np.arange(tokens) < rng.integers(2, tokens + 1, (rows, 1))
    logp = {n: -rng.random((rows, tokens)) for n in ("sampler", "old", "ref")}
    zero = np.zeros((rows, tokens))
    return PolicyBatch(
        zero, zero[:, 0], action, action / action.sum(), rng.random(rows), logp["sampler"],
        logp["old"], logp["ref"], rng.standard_normal((rows, tokens)), np.ones((rows, tokens)),
        np.full(rows, 0.3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "reward"),
    [
        ("stage1", {FEEDBACK: 1.0}),
        ("stage2", {CONVERSATION: 1.0, FEEDBACK: 0.75}),
        ("single", {CONVERSATION: 1.0}),
    ],
)
def test_who_is_trained_and_with_which_lambda(stage, reward):
    config = default()
    config.rollout.p_first = 0.0  # the conversation agent's row is the mended last answer
    recipe = RECIPES[stage](config)
    episode = scored_episode(True, [True, False], [RIGHT_UNSAFE])
    rows = recipe.rows([episode], np.random.default_rng(0))
    assert recipe.trained == tuple(reward)
    assert {role: [s.reward for s in rows[role]] for role in rows} == {
        role: [pytest.approx(value)] for role, value in reward.items()
    }


def test_the_stages_streams_differ():
    streams = [recipe(default()).stream for recipe in RECIPES.values()]
    assert len(set(streams)) == len(streams) and not {3, 4} & {*streams}  # evaluation, SFT


def test_an_episode_without_feedback_trains_no_reviewer():
    rows = RECIPES["stage2"](default()).rows(
        [scored_episode(True, [False], [])], np.random.default_rng(0)
    )
    assert (len(rows[CONVERSATION]), len(rows[FEEDBACK])) == (1, 0)


def test_the_rows_of_three_rounds_by_hand():
    """Harmful: bad, bad, good, good; flagged rightly, as over-refusal, as unsafe once more."""
    labels = [RIGHT_UNSAFE, (False, True), RIGHT_UNSAFE]
    episode = scored_episode(True, [True, True, False, False], labels)
    for t, said in enumerate(episode.answers):
        episode.answers[t] = dataclasses.replace(said, prompt_ids=(t,))
    for t, said in enumerate(episode.feedbacks):
        episode.feedbacks[t] = dataclasses.replace(said, prompt_ids=(10 + t,))
    config = default()
    config.rollout.t_max = 3
    draw, rng = RECIPES["stage2"](config).rows, np.random.default_rng(0)
    rows = [draw([episode], rng) for _ in range(200)]
    drawn = {role: {(s.prompt_ids, round(s.reward, 6)) for r in rows for s in r[role]}
             for role in (CONVERSATION, FEEDBACK)}  # fmt: skip
    # The first answer, or the last one with all that was said before; never one between.
    assert drawn[CONVERSATION] == {((0,), 0.0), ((3,), 1.0)}
    # Right without effect; wrong where it mended; wrong of a good answer: gamma each time.
    assert drawn[FEEDBACK] == {((10,), 0.1), ((11,), 0.1), ((12,), 0.1)}
    episode.parsed[1] = Feedback("r", *RIGHT_UNSAFE, "text")
    rows = [draw([episode], rng) for _ in range(200)]
    assert ((11,), 0.75) in {(s.prompt_ids, round(s.reward, 6)) for r in rows for s in r[FEEDBACK]}


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_in_the_loss_is_added_with_its_weight(estimator):
    b = batch(np.random.default_rng(1))
    logp = b.old_logp_BT + 0.1
    settings = dict(clip_low=0.2, clip_high=0.2, dual_clip=None, estimator=estimator)
    without, _ = policy_loss(logp, b, kl_in="reward", **settings)
    with_kl, _ = policy_loss(logp, b, kl_in="loss", **settings)
    r = b.ref_logp_BT - logp
    kl = {"k1": -r, "k2": r**2 / 2, "k3": np.exp(r) - r - 1}[estimator]
    np.testing.assert_allclose(
        with_kl - without, 0.3 * (b.weight_BT * b.action_BT * kl).sum(), atol=ATOL
    )


@pytest.mark.parametrize(("where", "in_reward", "in_loss"), [("reward", 1, 0), ("loss", 0, 1)])
def test_the_config_puts_the_kl_in_one_place(where, in_reward, in_loss):
    config = default()
    config.rl.kl_in, config.rl.beta.stage1, config.rl.beta.stage2 = where, 0.5, 0.0
    recipe = RECIPES["stage1"](config)
    assert recipe.beta == 0.5
    b = batch(np.random.default_rng(2))
    near = b._replace(ref_logp_BT=b.old_logp_BT)  # no KL
    moved = [np.abs(recipe.credit(x).advantage_BT - recipe.credit(near).advantage_BT).max()
             for x in (b, near)]  # fmt: skip
    assert (moved[0] > ATOL) == bool(in_reward) and moved[1] == 0
    losses = [float(recipe.loss(x.old_logp_BT, x)[0]) for x in (b, near)]
    assert (abs(losses[0] - losses[1]) > ATOL) == bool(in_loss)


def test_credit_over_microbatches_is_one_z_score():
    b = batch(np.random.default_rng(3), rows=4)
    settings = dict(kl_in="reward", estimator="k1", reward_clip=10.0, is_cap=0.0)
    whole = reinforce_pp(b, **settings)
    split = jax.tree.map(lambda x: np.asarray(x).reshape(2, 2, *np.shape(x)[1:]), b)
    parts = reinforce_pp(split, **settings)
    np.testing.assert_allclose(
        parts.advantage_BT.reshape(4, -1), whole.advantage_BT, rtol=0, atol=ATOL
    )
    assert (np.asarray(whole.is_weight_BT) == 1).all()


def test_importance_weights_are_truncated_at_the_cap():
    b = batch(np.random.default_rng(4))
    got = reinforce_pp(b, kl_in="reward", estimator="k1", reward_clip=10.0, is_cap=1.1).is_weight_BT
    want = np.minimum(np.exp(b.old_logp_BT - b.sampler_logp_BT), 1.1)
    np.testing.assert_allclose(got, want, rtol=ATOL)
    assert (want < 1.1).any() and (want == 1.1).any()
