"""Clipped policy gradient, truncated importance weights and NLL against the float64 reference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases
from reference import numpy_truth as truth

from waltzjax.core.losses import clipped_pg, nll, truncated_importance

SEEDS = (0, 1, 2, 3)
RTOL = 5e-6  # float32 exp of a log-ratio, then a sum of about a hundred terms
ATOL = 1e-6  # losses and fractions of order 1
GRAD_RTOL = 2e-5  # float32 exp against a central difference of the float64 reference
GRAD_ATOL = 1e-7  # single-token gradients are of order 1e-2
STEP = 1e-6  # central difference: error of order STEP^2 and 1e-16 / STEP
KINK_MARGIN = 1e-3  # ratios nearer than this to a clip limit are drawn again

CLIPS = [(0.2, 0.2, None), (0.2, 0.28, None), (0.3, 0.1, 3.0)]


def draw(seed, clip_low=0.2, clip_high=0.2, dual_clip=None, kind="sequence", B=9, T=13):
    """A ragged batch whose log-ratios reach well past every limit; garbage where untrained."""
    rng = np.random.default_rng(seed)
    action_BT = cases.ragged_mask(rng, B, T)
    old_BT = cases.log_probs(rng, (B, T))
    limits = np.log([1 - clip_low, 1 + clip_high, dual_clip or 1.0])
    ratio_BT = rng.normal(scale=0.6, size=(B, T))
    ratio_BT[rng.random((B, T)) < 0.15] *= 4
    for limit in limits:
        near_BT = np.abs(ratio_BT - limit) < KINK_MARGIN
        ratio_BT[near_BT] += 5 * KINK_MARGIN
    logp_BT = (old_BT + ratio_BT).astype(np.float32)
    batch = cases.LossBatch(
        old_logp_BT=cases.with_garbage(rng, old_BT, action_BT),
        advantage_BT=cases.with_garbage(rng, rng.normal(size=(B, T)), action_BT),
        weight_BT=truth.token_weights(action_BT, kind).astype(np.float32),
        action_BT=action_BT,
        is_weight_BT=cases.with_garbage(rng, rng.uniform(0.3, 2.0, size=(B, T)), action_BT),
    )
    return logp_BT, batch


def on_device(batch):
    return cases.LossBatch(*map(jnp.asarray, batch))


def reference(logp_BT, batch, clip_low, clip_high, dual_clip):
    return truth.clipped_pg_loss(
        logp_BT,
        batch.old_logp_BT,
        batch.advantage_BT,
        batch.weight_BT,
        clip_low,
        clip_high,
        dual_clip,
        batch.is_weight_BT,
    )


def run(logp_BT, batch, clip_low, clip_high, dual_clip):
    loss, metrics = clipped_pg(
        jnp.asarray(logp_BT),
        on_device(batch),
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
    )
    return float(loss), float(metrics["clip_fraction"])


def gradient(logp_BT, batch, clip_low, clip_high, dual_clip):
    settings = dict(clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip)
    grad = jax.grad(lambda p, b: clipped_pg(p, b, **settings)[0])
    return np.asarray(jax.jit(grad)(jnp.asarray(logp_BT), on_device(batch)))


@pytest.mark.parametrize("clip_low, clip_high, dual_clip", CLIPS)
@pytest.mark.parametrize("kind", ["sequence", "token"])
@pytest.mark.parametrize("seed", SEEDS)
def test_clipped_pg_matches_the_reference(seed, kind, clip_low, clip_high, dual_clip):
    logp_BT, batch = draw(seed, clip_low, clip_high, dual_clip, kind)
    loss, fraction = run(logp_BT, batch, clip_low, clip_high, dual_clip)
    want_loss, want_fraction = reference(logp_BT, batch, clip_low, clip_high, dual_clip)
    assert loss == pytest.approx(want_loss, rel=RTOL, abs=ATOL)
    clipped_BT = truth.clipped_tokens(
        logp_BT, batch.old_logp_BT, batch.advantage_BT, clip_low, clip_high
    )
    weighted = float((batch.weight_BT.astype(np.float64) * clipped_BT).sum())
    assert 0.05 < weighted < 0.95
    assert fraction == pytest.approx(weighted, abs=ATOL)
    if kind == "token":
        assert fraction == pytest.approx(want_fraction, abs=ATOL)


@pytest.mark.parametrize("clip_low, clip_high, dual_clip", CLIPS)
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_clipped_pg_gradient_is_the_central_difference(seed, clip_low, clip_high, dual_clip):
    logp_BT, batch = draw(seed, clip_low, clip_high, dual_clip, B=6, T=9)
    got_BT = gradient(logp_BT, batch, clip_low, clip_high, dual_clip)
    want_BT = np.zeros(logp_BT.shape)
    for i in np.ndindex(logp_BT.shape):
        sides = []
        for sign in (1.0, -1.0):
            moved_BT = logp_BT.astype(np.float64)
            moved_BT[i] += sign * STEP
            sides.append(reference(moved_BT, batch, clip_low, clip_high, dual_clip)[0])
        want_BT[i] = (sides[0] - sides[1]) / (2 * STEP)
    np.testing.assert_allclose(got_BT, want_BT, rtol=GRAD_RTOL, atol=GRAD_ATOL)
    assert np.all(got_BT[~batch.action_BT] == 0.0)
    assert np.count_nonzero(got_BT) > 5


HAND = dict(  # five tokens in a row, pi_old = 1/10 in each
    ratio=[1.5, 0.5, 1.5, 0.5, 6.0],
    advantage=[2.0, -2.0, -2.0, 2.0, -2.0],
)


def hand_batch():
    action_BT = np.ones((1, 5), dtype=bool)
    old_BT = np.full((1, 5), math.log(0.1), dtype=np.float32)
    logp_BT = (old_BT + np.log([HAND["ratio"]])).astype(np.float32)
    return logp_BT, cases.LossBatch(
        old_logp_BT=old_BT,
        advantage_BT=np.float32([HAND["advantage"]]),
        weight_BT=np.full((1, 5), 0.2, dtype=np.float32),
        action_BT=action_BT,
        is_weight_BT=np.ones((1, 5), dtype=np.float32),
    )


def test_clipped_pg_by_hand():
    # clip to [0.8, 1.3]:
    #   s 1.5, A +2: min(3, 2.6) = 2.6, clipped
    #   s 0.5, A -2: min(-1, -1.6) = -1.6, clipped
    #   s 1.5, A -2: min(-3, -2.6) = -3
    #   s 0.5, A +2: min(1, 1.6) = 1
    #   s 6.0, A -2: min(-12, -2.6) = -12
    # loss = -(2.6 - 1.6 - 3 + 1 - 12) / 5 = 2.6; clip fraction 2/5
    logp_BT, batch = hand_batch()
    loss, fraction = run(logp_BT, batch, 0.2, 0.3, None)
    assert loss == pytest.approx(2.6, rel=RTOL)
    assert fraction == pytest.approx(0.4, abs=ATOL)
    # gradient: -weight * s * A where the plain branch is taken, 0 where the clipped one is
    grad_BT = gradient(logp_BT, batch, 0.2, 0.3, None)
    np.testing.assert_allclose(grad_BT, [[0.0, 0.0, 0.6, -0.2, 2.4]], rtol=GRAD_RTOL)


def test_dual_clip_by_hand():
    # A dual clip of 3 lifts only the last token, from -12 to -6: loss = -(-7) / 5 = 1.4, and its
    # gradient is gone. Tokens with A > 0 are untouched, and the clip fraction is what it was.
    logp_BT, batch = hand_batch()
    loss, fraction = run(logp_BT, batch, 0.2, 0.3, 3.0)
    assert loss == pytest.approx(1.4, rel=RTOL)
    assert fraction == pytest.approx(0.4, abs=ATOL)
    grad_BT = gradient(logp_BT, batch, 0.2, 0.3, 3.0)
    np.testing.assert_allclose(grad_BT, [[0.0, 0.0, 0.6, -0.2, 0.0]], rtol=GRAD_RTOL)


@pytest.mark.parametrize("dual_clip", [None, 3.0])
def test_extreme_log_ratios_are_clamped(dual_clip):
    logp_BT, batch = hand_batch()
    ratio_BT = np.float32([[100.0, 100.0, -100.0, -100.0, 0.0]])
    batch = batch._replace(
        old_logp_BT=-np.abs(ratio_BT) - 1,
        advantage_BT=np.float32([[1.0, -1.0, 1.0, -1.0, 1.0]]),
    )
    logp_BT = batch.old_logp_BT + ratio_BT
    loss, fraction = run(logp_BT, batch, 0.2, 0.2, dual_clip)
    want_loss, want_fraction = reference(logp_BT, batch, 0.2, 0.2, dual_clip)
    assert loss == pytest.approx(want_loss, rel=RTOL, abs=ATOL)
    assert fraction == pytest.approx(want_fraction, abs=ATOL)
    # past the clamp there is no gradient; the fifth token, on policy, keeps -weight * A
    grad_BT = gradient(logp_BT, batch, 0.2, 0.2, dual_clip)
    np.testing.assert_allclose(grad_BT, [[0.0, 0.0, 0.0, 0.0, -0.2]], rtol=GRAD_RTOL)


def test_log_ratio_is_clamped_from_below():
    # s = e^-100 would be 0 in float32; clamped it is e^-20 = 2.061154e-9, which an advantage of
    # 1e9 makes visible: objective min(2.061154, 0.8e9), no gradient past the clamp
    logp_BT, batch = hand_batch()
    batch = batch._replace(
        old_logp_BT=logp_BT + np.float32(100.0), advantage_BT=np.full((1, 5), 1e9, np.float32)
    )
    loss, fraction = run(logp_BT, batch, 0.2, 0.2, None)
    assert loss == pytest.approx(-2.061154, rel=RTOL)
    assert fraction == 0.0
    np.testing.assert_array_equal(gradient(logp_BT, batch, 0.2, 0.2, None), np.zeros((1, 5)))


@pytest.mark.parametrize("seed", SEEDS)
def test_on_policy_gradient_is_plain_reinforce(seed):
    # s = 1 everywhere: gradient -weight * is_weight * A, loss -sum(weight * is_weight * A)
    logp_BT, batch = draw(seed)
    logp_BT = batch.old_logp_BT
    want_BT = -batch.weight_BT * batch.is_weight_BT * batch.advantage_BT
    grad_BT = gradient(logp_BT, batch, 0.2, 0.28, None)
    np.testing.assert_allclose(grad_BT, want_BT, rtol=GRAD_RTOL, atol=GRAD_ATOL)
    loss, fraction = run(logp_BT, batch, 0.2, 0.28, None)
    assert loss == pytest.approx(float(want_BT.astype(np.float64).sum()), rel=RTOL, abs=ATOL)
    assert fraction == 0.0


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
@pytest.mark.parametrize("kind", ["sequence", "token"])
def test_microbatches_add_up(rows, kind):
    logp_BT, batch = draw(11, kind=kind)
    whole = run(logp_BT, batch, 0.2, 0.28, 3.0)
    whole_grad_BT = gradient(logp_BT, batch, 0.2, 0.28, 3.0)
    parts, grads = np.zeros(2), []
    for start in range(0, len(logp_BT), rows):
        part = cases.LossBatch(*(x[start : start + rows] for x in batch))
        parts += run(logp_BT[start : start + rows], part, 0.2, 0.28, 3.0)
        grads.append(gradient(logp_BT[start : start + rows], part, 0.2, 0.28, 3.0))
    np.testing.assert_allclose(parts, whole, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(np.concatenate(grads), whole_grad_BT, rtol=RTOL, atol=GRAD_ATOL)


def test_untrained_rows_add_nothing():
    logp_BT, batch = draw(12)
    before = run(logp_BT, batch, 0.2, 0.2, None)
    pad = ((0, 2), (0, 3))
    wide = batch._replace(
        old_logp_BT=np.pad(batch.old_logp_BT, pad, constant_values=-1.0),
        advantage_BT=np.pad(batch.advantage_BT, pad, constant_values=5.0),
        weight_BT=np.pad(batch.weight_BT, pad),
        action_BT=np.pad(batch.action_BT, pad),
        is_weight_BT=np.pad(batch.is_weight_BT, pad, constant_values=1.0),
    )
    after = run(np.pad(logp_BT, pad), wide, 0.2, 0.2, None)
    np.testing.assert_allclose(after, before, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("off", [-np.inf, np.nan])
def test_non_finite_log_probs_off_the_actions_do_not_leak(off):
    # A truncated sampler gives -inf to tokens that it did not choose; 0 * inf would be nan.
    logp_BT, batch = draw(15)
    loss, fraction = run(logp_BT, batch, 0.2, 0.2, None)
    grad_BT = gradient(logp_BT, batch, 0.2, 0.2, None)
    nll_loss, _ = nll(jnp.asarray(logp_BT), on_device(batch))
    off_BT = np.where(batch.action_BT, logp_BT, np.float32(off))
    batch = batch._replace(old_logp_BT=np.where(batch.action_BT, batch.old_logp_BT, off))
    batch = batch._replace(old_logp_BT=batch.old_logp_BT.astype(np.float32))
    assert run(off_BT, batch, 0.2, 0.2, None) == (loss, fraction)
    np.testing.assert_array_equal(gradient(off_BT, batch, 0.2, 0.2, None), grad_BT)
    assert float(nll(jnp.asarray(off_BT), on_device(batch))[0]) == float(nll_loss)


def test_no_trained_token_gives_zero_loss_and_gradient():
    logp_BT, batch = draw(13)
    batch = batch._replace(
        weight_BT=np.zeros_like(batch.weight_BT), action_BT=np.zeros_like(batch.action_BT)
    )
    assert run(logp_BT, batch, 0.2, 0.2, None) == (0.0, 0.0)
    np.testing.assert_array_equal(gradient(logp_BT, batch, 0.2, 0.2, None), 0.0 * logp_BT)


@pytest.mark.parametrize("cap", [1.0, 2.0, 5.0])
def test_truncated_importance_matches_the_reference(cap):
    rng = np.random.default_rng(14)
    trainer_BT, sampler_BT = cases.log_probs(rng, (4, 9)), cases.log_probs(rng, (4, 9))
    trainer_BT[0, :2], sampler_BT[0, :2] = [0.0, -100.0], [-100.0, 0.0]
    got_BT = jax.jit(truncated_importance)(trainer_BT, sampler_BT, cap)
    want_BT = truth.truncated_is(trainer_BT, sampler_BT, cap)
    np.testing.assert_allclose(got_BT, want_BT, rtol=RTOL)


def test_truncated_importance_by_hand():
    # e^0.5 = 1.648721 is under the cap, e^1 is cut to 2, e^-1 = 0.367879 is kept
    trainer_BT = jnp.array([[-1.0, -1.0, -2.0, 0.0, -100.0]])
    sampler_BT = jnp.array([[-1.5, -2.0, -1.0, -100.0, 0.0]])
    got_BT = truncated_importance(trainer_BT, sampler_BT, 2.0)
    # log-ratios of +-100 are clamped: the cap, and e^-20 = 2.061154e-9
    np.testing.assert_allclose(got_BT, [[1.648721, 2.0, 0.367879, 2.0, 2.061154e-9]], rtol=RTOL)
    # A cap beyond e^20 = 4.851652e8 shows the clamp on the positive side
    got_BT = truncated_importance(trainer_BT, sampler_BT, 1e12)
    np.testing.assert_allclose(got_BT[0, 3], 4.851652e8, rtol=RTOL)


@pytest.mark.parametrize("kind", ["sequence", "token"])
@pytest.mark.parametrize("seed", SEEDS)
def test_nll_is_the_weighted_sum(seed, kind):
    logp_BT, batch = draw(seed, kind=kind)
    loss, _ = nll(jnp.asarray(logp_BT), on_device(batch))
    weight_BT = batch.weight_BT.astype(np.float64)
    assert float(loss) == pytest.approx(-(weight_BT * logp_BT).sum(), rel=RTOL)
    grad_BT = jax.grad(lambda p: nll(p, on_device(batch))[0])(jnp.asarray(logp_BT))
    np.testing.assert_allclose(grad_BT, -batch.weight_BT, rtol=RTOL)


def test_nll_by_hand():
    # Two rows, sequence weights: row 0 has p = 1/2, 1/4, row 1 has p = 1/8:
    # (ln 2 + ln 4) / 4 + ln 8 / 2 = 2.25 ln 2
    _, batch = draw(0, B=4, T=4)
    action_BT = np.array([[True, True], [False, True]])
    batch = cases.LossBatch(*(x[:2, :2] for x in batch))._replace(
        action_BT=action_BT, weight_BT=np.float32([[0.25, 0.25], [0.0, 0.5]])
    )
    logp_BT = jnp.log(jnp.array([[0.5, 0.25], [0.001, 0.125]]))
    loss, _ = nll(logp_BT, on_device(batch))
    assert float(loss) == pytest.approx(2.25 * math.log(2), rel=RTOL)
