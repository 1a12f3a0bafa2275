"""A stage's recipe: who is trained, on which rows, with which reward and loss."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from support import completion, scored_episode, tiny_chat

from waltzjax.config.defaults import default
from waltzjax.recipes import STAGES
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.types import CONVERSATION, FEEDBACK, Feedback, PolicyBatch, Prompt

RECIPES = {name: spec.recipe for name, spec in STAGES.items() if spec.recipe}

ATOL = 1e-6  # float32 against double, values of order 1
RIGHT_UNSAFE = (True, False)
LOG2 = np.log(2)


def batch(rng, rows=3, tokens=6) -> PolicyBatch:
    action = np.arange(tokens) < rng.integers(2, tokens + 1, (rows, 1))
    logp = {n: -rng.random((rows, tokens)) for n in ("sampler", "old", "ref")}
    zero = np.zeros((rows, tokens))
    return PolicyBatch(
        zero, zero[:, 0], action, action / action.sum(), rng.random((rows, 1)) + zero,
        logp["sampler"], logp["old"], logp["ref"], rng.standard_normal((rows, tokens)),
        np.ones((rows, tokens)), np.full(rows, 0.3),
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
    rows = recipe.to_samples([episode], np.random.default_rng(0))
    assert recipe.trained == tuple(reward)
    assert {role: [s.reward for s in rows[role]] for role in rows} == {
        role: [pytest.approx(value)] for role, value in reward.items()
    }


def test_the_stages_streams_differ():
    streams = [recipe(default()).stream for recipe in RECIPES.values()]
    assert len(set(streams)) == len(streams) and not {3, 4} & {*streams}  # evaluation, SFT


def test_an_episode_without_feedback_trains_no_reviewer():
    rows = RECIPES["stage2"](default()).to_samples(
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
    draw, rng = RECIPES["stage2"](config).to_samples, np.random.default_rng(0)
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


def changed(changes):
    config = default()
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(
    ("stage", "changes", "right", "wrong"),
    [
        ("stage1", {}, 0.65 + 0.25 + 0.1, 0.1),
        ("stage1", {"reward.alpha": 0.5}, 0.85, 0.1),
        ("stage1", {"reward.gamma": 0.3}, 1.2, 0.3),
        ("stage1", {"reward.lam.stage1": 0.5}, 1.25, 0.1),
        ("stage1", {"reward.lam.stage2": 0.5}, 1.0, 0.1),
        ("stage2", {"reward.lam.stage2": 0.5}, 1.25, 0.1),
        ("stage1", {"reward.conditioned": False}, 1.0, 0.75),  # wrong labels are paid by alpha too
    ],
)
def test_the_reward_is_the_configs(stage, changes, right, wrong):
    """Of right and of wrong labels, each on an unsafe answer that was mended."""
    episodes = [scored_episode(True, [True, False], [of]) for of in (RIGHT_UNSAFE, (False, True))]
    rows = RECIPES[stage](changed(changes)).to_samples(episodes, np.random.default_rng(0))
    assert [s.reward for s in rows[FEEDBACK]] == pytest.approx([right, wrong])


def test_a_reward_is_recorded_whole_and_its_advantage_is_clipped():
    recipe = RECIPES["stage2"](changed({"rl.reward_clip": 0.5, "rollout.p_first": 0.0}))
    rows = recipe.to_samples(
        [scored_episode(True, [True, False], [RIGHT_UNSAFE])], np.random.default_rng(0)
    )
    assert [(s.reward, s.advantage) for s in rows[CONVERSATION]] == [(1.0, 0.5)]
    assert [(s.reward, s.advantage) for s in rows[FEEDBACK]] == [(0.75, 0.5)]


@pytest.mark.parametrize(("p_first", "reward"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_odds_of_the_first_answer_are_the_configs(p_first, reward):
    draw = RECIPES["stage2"](changed({"rollout.p_first": p_first})).to_samples
    mended = [scored_episode(True, [True, False], [RIGHT_UNSAFE])] * 20
    rows = draw(mended, np.random.default_rng(0))
    assert {s.reward for s in rows[CONVERSATION]} == {reward}


class Unsatisfied:
    """Agents that say the same at each turn; the reviewer asks for another answer."""

    def __init__(self):
        review = {"reasoning": "r", "unsafe": True, "overrefuse": False, "feedback": "No."}
        self.said = {CONVERSATION: completion("Yes."), FEEDBACK: completion(json.dumps(review))}
        self.open = []

    def ask(self, role, turn, index, prompt):
        self.open.append((index, self.said[role]))

    def replies(self):
        while self.open:
            yield self.open.pop()


@pytest.mark.parametrize(("stage", "answers"), [("stage1", 4), ("stage2", 4), ("single", 1)])
def test_rounds_are_played_where_feedback_is_trained(stage, answers):
    recipe = RECIPES[stage](changed({"rollout.t_max": 3}))
    [(_, episode)] = recipe.collect([Prompt(0, "p", True, "x")], tiny_chat(), Unsatisfied())
    assert (len(episode.answers), len(episode.feedbacks)) == (answers, answers - 1)


def said(*values):
    """Rows of a token of the prompt and one of the policy, which has the value."""
    return np.array([[0.0, value] for value in values], np.float32)


THREE = PolicyBatch(
    said(0, 0, 0), np.full(3, 2), said(1, 1, 1) == 1, said(0.5, 0.25, 0.25),
    text_advantage_BT=said(3, 0, 0),
    sampler_logp_BT=said(-1, -1 - LOG2, -1 - 2 * LOG2),  # the trainer's times 1, 1/2, 1/4
    old_logp_BT=said(-1, -1, -1),
    ref_logp_BT=said(-1, -1, -5),  # KL of the last token: k1 = 4, k2 = 8, k3 = e^-4 + 3
    advantage_BT=said(1, -1, -1),
    is_weight_BT=said(1, 1, 1),
    beta_B=np.full(3, 0.25, np.float32),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "returns", "weights"),
    [
        ({}, [3, 0, -1], [1, 1, 1]),  # -1 is beta's quarter of 4
        ({"rl.kl_estimator": "k2"}, [3, 0, -2], [1, 1, 1]),
        ({"rl.kl_estimator": "k3"}, [3, 0, -(np.exp(-4) + 3) / 4], [1, 1, 1]),
        ({"rl.kl_in": "loss"}, [3, 0, 0], [1, 1, 1]),
        ({"rl.tis_cap": 3.0}, [3, 0, -1], [1, 2, 3]),
    ],
)
def test_the_credit_is_the_configs(changes, returns, weights):
    got = RECIPES["stage1"](changed(changes)).compute_advantages(THREE)
    standard = (np.array(returns) - np.mean(returns)) / np.std(returns)
    np.testing.assert_allclose(got.advantage_BT[:, 1], standard, atol=ATOL)
    np.testing.assert_allclose(got.is_weight_BT[:, 1], weights, rtol=ATOL)


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({}, -0.5 * 1.2 + 0.25 * 0.8 + 0.25 * 4),  # 1.5 and 0.5 are clipped, 4 is not
        ({"rl.clip_low": 0.1}, -0.5 * 1.2 + 0.25 * 0.9 + 0.25 * 4),
        ({"rl.clip_high": 0.3}, -0.5 * 1.3 + 0.25 * 0.8 + 0.25 * 4),
        ({"rl.dual_clip": 3.0}, -0.5 * 1.2 + 0.25 * 0.8 + 0.25 * 3),
        ({"rl.kl_in": "loss"}, 0.6 + 0.25 * 0.25 * 4),
        ({"rl.kl_in": "loss", "rl.kl_estimator": "k2"}, 0.6 + 0.25 * 0.25 * 8),
        ({"rl.kl_in": "loss", "rl.kl_estimator": "k3"}, 0.6 + 0.25 * 0.25 * (np.exp(-4) + 3)),
    ],
)
def test_the_loss_is_the_configs(changes, loss):
    """Of probabilities 1.5, 0.5 and 4 times the old ones; the advantages are 1, -1, -1."""
    logp = THREE.old_logp_BT + said(np.log(1.5), np.log(0.5), np.log(4))
    b = THREE._replace(ref_logp_BT=logp - said(0, 0, 4))
    assert float(RECIPES["stage1"](changed(changes)).loss(logp, b)[0]) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("changes", "betas"),
    [
        ({"rl.kl_target": 0.1}, [0.196, 0.2, 0.202, 0.204]),
        ({"rl.kl_target": 0.1, "rl.kl_gain": 0.5}, [0.18, 0.2, 0.21, 0.22]),
        ({"rl.kl_target": 0.22, "rl.kl_gain": 0.5}, [0.18, 0.18, 0.18, 0.22]),
    ],
)
def test_the_coefficient_follows_the_configs_target(changes, betas):
    """From 0.2 at a KL of 0, 0.1, 0.11 and 1; the error is clipped at a fifth."""
    adapt = RECIPES["stage1"](changed(changes)).next_kl_coef
    assert [float(adapt(0.2, kl)) for kl in (0, 0.1, 0.11, 1)] == pytest.approx(betas)
    assert RECIPES["stage1"](default()).next_kl_coef is None


@pytest.mark.parametrize("stage", RECIPES)
def test_each_stage_begins_with_a_coefficient_of_its_own(stage):
    betas = {f"rl.beta.{name}": 0.1 * (i + 1) for i, name in enumerate(RECIPES)}
    assert RECIPES[stage](changed(betas)).kl_coef == betas[f"rl.beta.{stage}"]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_kl_is_of_whole_distributions_and_the_ratio_of_truncated_ones(estimator):
    b = batch(np.random.default_rng(8))
    full = b.old_logp_BT - np.random.default_rng(9).random(b.action_BT.shape)  # and its reference
    cut = b._replace(old_full_logp_BT=full, full_logp_BT=full, ref_logp_BT=full)
    kl = dict(estimator=estimator)
    how = dict(normalise=False)
    got = compute_advantages(cut, kl_in="reward", **kl, **how, tis_cap=1.1)
    np.testing.assert_allclose(
        got.advantage_BT, np.where(b.action_BT, b.text_advantage_BT, 0), atol=ATOL
    )
    want = np.minimum(np.exp(b.old_logp_BT - b.sampler_logp_BT), 1.1)
    np.testing.assert_allclose(got.is_weight_BT, want, rtol=ATOL)
    clip = dict(clip_low=0.2, clip_high=0.2, dual_clip=None)
    for logp in (b.old_logp_BT, b.old_logp_BT + 0.1):
        without, _ = policy_loss(logp, b, kl_in="reward", **kl, **clip)
        assert float(policy_loss(logp, cut, kl_in="loss", **kl, **clip)[0]) == without
    apart = cut._replace(ref_logp_BT=full - 0.5, full_logp_BT=full)
    size = {"k1": 0.5, "k2": 0.125, "k3": np.exp(-0.5) - 0.5}[estimator]
    added = policy_loss(logp, apart, kl_in="loss", **kl, **clip)[0] - without
    assert float(added) == pytest.approx(0.3 * (b.weight_BT * b.action_BT).sum() * size)


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
    assert recipe.kl_coef == 0.5
    b = batch(np.random.default_rng(2))
    near = b._replace(ref_logp_BT=b.old_logp_BT)  # no KL
    plain = recipe.compute_advantages(near).advantage_BT
    moved = [np.abs(recipe.compute_advantages(x).advantage_BT - plain).max() for x in (b, near)]
    assert (moved[0] > ATOL) == bool(in_reward) and moved[1] == 0
    losses = [float(recipe.loss(x.old_logp_BT, x)[0]) for x in (b, near)]
    assert (abs(losses[0] - losses[1]) > ATOL) == bool(in_loss)


def test_credit_over_microbatches_is_one_z_score():
    b = batch(np.random.default_rng(3), rows=4)
    settings = dict(kl_in="reward", estimator="k1", normalise=True, tis_cap=0.0)
    whole = compute_advantages(b, **settings)
    split = jax.tree.map(lambda x: np.asarray(x).reshape(2, 2, *np.shape(x)[1:]), b)
    parts = compute_advantages(split, **settings)
    np.testing.assert_allclose(
        parts.advantage_BT.reshape(4, -1), whole.advantage_BT, rtol=0, atol=ATOL
    )
    assert (np.asarray(whole.is_weight_BT) == 1).all()


def test_importance_weights_are_truncated_at_the_cap():
    b = batch(np.random.default_rng(4))
    settings = dict(kl_in="reward", estimator="k1", normalise=True)
    got = compute_advantages(b, **settings, tis_cap=1.1).is_weight_BT
    want = np.minimum(np.exp(b.old_logp_BT - b.sampler_logp_BT), 1.1)
    np.testing.assert_allclose(got, want, rtol=ATOL)
    assert (want < 1.1).any() and (want == 1.1).any()


def test_only_some_algorithms_normalise_over_the_batch():
    b = batch(np.random.default_rng(5))
    settings = dict(kl_in="loss", estimator="k3", tis_cap=0.0)
    plain = compute_advantages(b, **settings, normalise=False).advantage_BT
    np.testing.assert_allclose(
        plain, np.where(b.action_BT, b.text_advantage_BT, 0), rtol=0, atol=ATOL
    )
    scored = np.asarray(compute_advantages(b, **settings, normalise=True).advantage_BT)[b.action_BT]
    assert abs(scored.mean()) < ATOL and abs(scored.std() - 1) < ATOL


def test_the_entropy_bonus_is_weighted_like_the_loss():
    b = batch(np.random.default_rng(6))
    entropy_BT = np.random.default_rng(7).random(b.action_BT.shape)
    b = b._replace(entropy_BT=entropy_BT)
    settings = dict(clip_low=0.2, clip_high=0.2, dual_clip=None, kl_in="reward", estimator="k1")
    losses = [
        float(policy_loss(b.old_logp_BT, b, **settings, entropy_bonus=c)[0]) for c in (0.0, 0.3)
    ]
    wanted = 0.3 * float((b.weight_BT * entropy_BT).sum())
    assert losses[0] - losses[1] == pytest.approx(wanted, rel=1e-5) and wanted > 0.05
