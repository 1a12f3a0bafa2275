"""Losses on preferences against the float64 reference, and by hand."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases
from reference import preference_truth as truth

from waltzjax.config.preferences import LOSSES
from waltzjax.core.preference_losses import PAIR_LOSSES, preference_loss
from waltzjax.types import PairBatch

SEEDS = (0, 1, 2)
RTOL = 5e-6  # float32 sums of tens of log-probs, then exp or a square
ATOL = 2e-6  # losses and accuracies of order 1
SPLIT_ATOL = 1e-8  # gradients of 1e-3 to 10, the same sums in parts
TERM_ATOL = 1e-7  # of a difference of float32 gradients of order 0.1; the term's own are of 0.01
GRAD_RTOL, GRAD_ATOL = 5e-5, 1e-6  # against a central difference; of a token up to 10 (ipo_sum)
STEP = 1e-6
KINDS = {
    "sigmoid": dict(),
    "sigmoid smoothed": dict(label_smoothing=0.2),
    "robust": dict(label_smoothing=0.2),
    "ipo": dict(),
    "ipo_sum": dict(),
    "hinge": dict(),
    "apo_zero": dict(),
    "sigmoid_norm": dict(),
    "sigmoid_norm with a margin": dict(margin=0.4),
    "sigmoid with an sft term": dict(sft_weight=0.3),
}
EVERY = [(name.split()[0], options) for name, options in KINDS.items()]
parametrize = pytest.mark.parametrize(("kind", "options"), EVERY, ids=list(KINDS))


def draw(seed, pairs=6, empty=2, T=11):
    """Pairs of ragged answers, each with a reference near it; the last ``empty`` are padding."""
    rng = np.random.default_rng(seed)
    B = 2 * pairs
    action_BT = np.zeros((B, T), bool)
    for b in range(B - 2 * empty):
        start = int(rng.integers(1, 5))
        action_BT[b, start : int(rng.integers(start + 1, T + 1))] = True
    logp_BT = cases.log_probs(rng, (B, T))
    ref_B = np.where(action_BT, logp_BT, 0).sum(1) + rng.normal(scale=2.0, size=B)
    real_B = action_BT.any(1)
    chosen_BT = action_BT & (np.arange(B) % 2 == 0)[:, None]
    return cases.with_garbage(rng, logp_BT, action_BT), PairBatch(
        token_BT=rng.integers(1, 9, (B, T)),
        length_B=np.full(B, T),
        action_BT=action_BT,
        weight_BT=np.float32(chosen_BT / chosen_BT.sum()),
        pair_B=np.float32(real_B / real_B.sum() * 2),
        ref_logp_B=np.float32(np.where(real_B, ref_B, 0)),
    )


@cache
def compiled(kind, beta, options):
    """((loss, metrics), gradient) of the loss with these settings."""
    loss = partial(preference_loss, kind=kind, beta=beta, **dict(options))
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def run(logp_BT, batch, kind, beta=0.7, **options):
    (loss, metrics), _ = compiled(kind, beta, tuple(options.items()))(logp_BT, batch)
    return float(loss), {name: float(value) for name, value in metrics.items()}


def gradient(logp_BT, batch, kind, beta=0.7, **options):
    return np.asarray(compiled(kind, beta, tuple(options.items()))(logp_BT, batch)[1])


def test_every_kind_of_the_config_is_there():
    assert tuple(PAIR_LOSSES) == LOSSES == tuple(dict.fromkeys(kind for kind, _ in EVERY))


@parametrize
@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_metrics_match_the_reference(seed, kind, options):
    logp_BT, batch = draw(seed)
    loss, metrics = run(logp_BT, batch, kind, **options)
    want, want_metrics = truth.preference(logp_BT, batch, kind, 0.7, **options)
    assert loss == pytest.approx(want, rel=RTOL, abs=ATOL)
    assert metrics == pytest.approx(want_metrics, rel=RTOL, abs=ATOL)


@parametrize
def test_gradient_is_the_central_difference(kind, options):
    logp_BT, batch = draw(7)
    got_BT = gradient(logp_BT, batch, kind, **options)
    want_BT = np.zeros(logp_BT.shape)
    for at in zip(*np.nonzero(batch.action_BT), strict=True):
        sides = []
        for sign in (1, -1):
            moved_BT = logp_BT.astype(np.float64)
            moved_BT[at] += sign * STEP
            sides.append(truth.preference(moved_BT, batch, kind, 0.7, **options)[0])
        want_BT[at] = (sides[0] - sides[1]) / (2 * STEP)
    np.testing.assert_allclose(got_BT, want_BT, rtol=GRAD_RTOL, atol=GRAD_ATOL)
    assert not got_BT[~batch.action_BT].any()
    assert np.count_nonzero(got_BT) > 4


# Log-ratios +2 and -1 nats of 4 and 2 tokens, beta 1/2: h = 3, beta h = 1.5, of averages h' = 1.
# Swapped: h = -3, h' = -1.
HAND = [
    ("sigmoid", {}, 0.2014133, 1.7014133),  # ln(1 + e^-1.5), and of e^1.5
    ("sigmoid", {"label_smoothing": 0.1}, 0.3514133, 1.5514133),  # 0.9 of one, 0.1 of the other
    ("robust", {"label_smoothing": 0.1}, 0.0139133, 1.8889133),  # (0.9 a - 0.1 b) / 0.8
    ("ipo_sum", {}, 4.0, 16.0),  # (3 - 1)^2, (-3 - 1)^2
    ("ipo", {}, 0.0, 4.0),  # (1 - 1)^2, (-1 - 1)^2
    ("hinge", {}, 0.0, 2.5),  # 1 - 1.5 < 0, 1 + 1.5
    # chosen 2, rejected -1: s(-1) + s(-0.5); chosen -1, rejected 2: s(0.5) + s(1)
    ("apo_zero", {}, 0.6464821, 1.3535179),
    ("sigmoid_norm", {}, 0.4740770, 0.9740770),  # ln(1 + e^-0.5), and of e^0.5
    ("sigmoid_norm", {"margin": 0.5}, 0.6931472, 1.3132617),  # ln 2, ln(1 + e)
]


def hand_pair(swapped):
    """p = 1/2 a token; the references are 2 nats below and 1 nat above."""
    action_BT = np.array([[False, True, True, True, True], [False, True, True, False, False]])
    logp_BT = np.full((2, 5), -np.log(2), np.float32)
    ref_B = np.float32([-4 * np.log(2) - 2, -2 * np.log(2) + 1])
    order = slice(None, None, -1 if swapped else 1)
    action_BT = action_BT[order]
    chosen_BT = action_BT & np.array([[True], [False]])
    return logp_BT, PairBatch(
        token_BT=np.ones((2, 5), int),
        length_B=np.full(2, 5),
        action_BT=action_BT,
        weight_BT=np.float32(chosen_BT / chosen_BT.sum()),
        pair_B=np.ones(2, np.float32),
        ref_logp_B=ref_B[order],
    )


@pytest.mark.parametrize(("kind", "options", "right", "wrong"), HAND)
def test_losses_by_hand(kind, options, right, wrong):
    for swapped, want in ((False, right), (True, wrong)):
        loss, _ = run(*hand_pair(swapped), kind, beta=0.5, **options)
        assert loss == pytest.approx(want, rel=RTOL, abs=ATOL)


def test_metrics_by_hand():
    _, metrics = run(*hand_pair(False), "ipo_sum", beta=0.5, sft_weight=1.0)
    assert metrics == pytest.approx(
        {
            "pair_loss": 4.0, "rewards/margins": 1.5, "rewards/accuracies": 1.0,
            "rewards/chosen": 1.0, "rewards/rejected": -0.5,
            "logps/chosen": -4 * np.log(2), "logps/rejected": -2 * np.log(2), "sft_nll": np.log(2),
        },
        rel=RTOL,
    )  # fmt: skip
    _, swapped = run(*hand_pair(True), "ipo", beta=0.5)
    assert (swapped["rewards/margins"], swapped["rewards/accuracies"]) == (
        pytest.approx(-1.5, rel=RTOL),
        0.0,
    )


def test_a_policy_that_is_the_reference_is_right_about_nothing():
    """Where margins are 0 as at the first step: ln 2, and no pair counts as right."""
    logp_BT, batch = draw(3)
    same_B = np.where(batch.action_BT, logp_BT, 0).sum(1)
    loss, metrics = run(logp_BT, batch._replace(ref_logp_B=same_B), "sigmoid")
    assert loss == pytest.approx(np.log(2), rel=RTOL)
    assert metrics["rewards/margins"] == pytest.approx(0, abs=ATOL)
    one_BT, pair = hand_pair(False)
    exact_B = jnp.where(pair.action_BT, one_BT, 0).sum(1)
    _, metrics = run(one_BT, pair._replace(ref_logp_B=np.asarray(exact_B)), "sigmoid")
    assert (metrics["rewards/margins"], metrics["rewards/accuracies"]) == (0, 0)


@parametrize
def test_microbatches_add_up(kind, options):
    """Of two pairs each; the last one has padding alone."""
    logp_BT, batch = draw(11)
    whole, metrics = run(logp_BT, batch, kind, **options)
    total, totals, gradients = 0.0, dict.fromkeys(metrics, 0.0), []
    for start in range(0, len(logp_BT), 4):
        some = slice(start, start + 4)
        part = PairBatch(*(x[some] for x in batch[:6]))
        loss, found = run(logp_BT[some], part, kind, **options)
        total += loss
        totals = {name: totals[name] + found[name] for name in totals}
        gradients.append(gradient(logp_BT[some], part, kind, **options))
    assert total == pytest.approx(whole, rel=RTOL, abs=ATOL)
    assert totals == pytest.approx(metrics, rel=RTOL, abs=ATOL)
    np.testing.assert_allclose(
        np.concatenate(gradients),
        gradient(logp_BT, batch, kind, **options),
        rtol=RTOL,
        atol=SPLIT_ATOL,
    )


@parametrize
@pytest.mark.parametrize("off", [1e4, -np.inf, np.nan])
def test_padding_contributes_nothing(off, kind, options):
    """Whatever stands where no answer is: the numbers of real pairs alone, to the bit."""
    logp_BT, batch = draw(5)
    real = slice(0, 8)
    alone = PairBatch(*(x[real] for x in batch[:6]))
    dirty_BT = np.where(batch.action_BT, logp_BT, np.float32(off))
    assert run(dirty_BT, batch, kind, **options) == run(logp_BT[real], alone, kind, **options)
    got_BT = gradient(dirty_BT, batch, kind, **options)
    assert not got_BT[8:].any() and not got_BT[~batch.action_BT].any()
    np.testing.assert_array_equal(got_BT[real], gradient(logp_BT[real], alone, kind, **options))


def swap(logp_BT, batch):
    order = np.arange(len(logp_BT)) ^ 1
    return logp_BT[order], PairBatch(*(x[order] for x in batch[:6]))


@pytest.mark.parametrize("seed", SEEDS)
def test_smoothing_is_of_swapped_pairs(seed):
    """Smoothed by e it is the mean over pairs of which the share e is swapped; robust DPO's mean
    over those is the loss of pairs none of which is."""
    drawn, e = draw(seed), 0.3
    plain, swapped = (run(*pairs, "sigmoid")[0] for pairs in (drawn, swap(*drawn)))
    smoothed = run(*drawn, "sigmoid", label_smoothing=e)[0]
    assert smoothed == pytest.approx((1 - e) * plain + e * swapped, rel=RTOL)
    both = (run(*pairs, "robust", label_smoothing=e)[0] for pairs in (drawn, swap(*drawn)))
    right, wrong = both
    assert (1 - e) * right + e * wrong == pytest.approx(plain, rel=10 * RTOL)
    assert abs(plain - swapped) > 0.1


@pytest.mark.parametrize("kind", LOSSES)
def test_swapping_turns_the_metrics_round(kind):
    options = {"label_smoothing": 0.1} if kind == "robust" else {}
    drawn = draw(4)
    (_, there), (_, back) = run(*drawn, kind, **options), run(*swap(*drawn), kind, **options)
    assert there["rewards/margins"] == pytest.approx(-back["rewards/margins"], rel=RTOL)
    assert there["rewards/accuracies"] == pytest.approx(1 - back["rewards/accuracies"], abs=ATOL)
    for name in ("rewards", "logps"):
        assert there[f"{name}/chosen"] == back[f"{name}/rejected"]


def test_the_sft_term_is_the_mean_over_chosen_tokens():
    logp_BT, batch = draw(9)
    of_term = gradient(logp_BT, batch, "hinge", sft_weight=0.3) - gradient(logp_BT, batch, "hinge")
    np.testing.assert_allclose(of_term, -0.3 * batch.weight_BT, rtol=GRAD_RTOL, atol=TERM_ATOL)


def test_what_cannot_be_computed_is_said():
    logp_BT, batch = draw(0)
    with pytest.raises(ValueError, match="got 'dpo', allowed are sigmoid, robust"):
        run(logp_BT, batch, "dpo")
    odd = PairBatch(*(x[:3] for x in batch[:6]))
    with pytest.raises(ValueError, match="got 3 rows, allowed is an even number"):
        run(logp_BT[:3], odd, "sigmoid")
    with pytest.raises(TypeError, match="margin"):
        run(logp_BT, batch, "hinge", margin=0.1)
    with pytest.raises(TypeError, match="label_smoothing"):
        run(logp_BT, batch, "robust")
