"""Credit of tokens with one or several texts a row, against the float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases
from reference import group_truth as truth

from waltzjax.core.advantages import token_advantages

JITTED = jax.jit(token_advantages, static_argnames=("normalise",))
SEEDS = (0, 1, 2)
SETTINGS = [(0.0, False), (0.1, False), (0.1, True), (0.5, True)]  # beta, normalise
ATOL = 1e-5  # values of order 1 to 10 from float32 sums over a few tokens
HAND_ATOL = 2e-6  # six decimals and float32
CAP = 10.0  # the largest KL of one token that k3 gives, nats
ROOM = 24  # tokens of a packed row


def draw_texts(seed, count=17):
    """(advantage, kl_T, mask_T) of ragged texts: a prompt, or none, then trained tokens, some with
    holes; one text has no trained token, one a single token in all."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        prompt, action = int(rng.integers(0, 5)), int(rng.integers(1, 9))
        mask_T = np.array([False] * prompt + [True] * action)
        if n % 3 == 2:
            mask_T &= rng.random(len(mask_T)) < 0.7
        if n == 0:
            mask_T[:] = False
        if n == 1:
            mask_T = np.array([True])
        found.append((1.5 * rng.normal(), rng.normal(size=len(mask_T)), mask_T))
    return found


def placed(found, rows, T):
    """Texts in rows, by number, as (advantage_BT, kl_BT, mask_BT, start_BT); where each begins."""
    shape = (len(rows), T)
    advantage_BT, kl_BT = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    mask_BT, start_BT = np.zeros(shape, bool), np.zeros(shape, np.int32)
    where = {}
    for b, row in enumerate(rows):
        at = 0
        for n in row:
            advantage, kl_T, mask_T = found[n]
            span = slice(at, at + len(kl_T))
            advantage_BT[b, span], kl_BT[b, span], mask_BT[b, span] = advantage, kl_T, mask_T
            start_BT[b, span], where[n] = at, (b, span)
            at += len(kl_T)
    return (advantage_BT, kl_BT, mask_BT, start_BT), where


def packed(found, seed):
    """The texts in shuffled order, as many a row as fit; the last row stays empty."""
    rows, free = [[]], ROOM
    for n in np.random.default_rng(seed).permutation(len(found)):
        if len(found[n][1]) > free:
            rows, free = [*rows, []], ROOM
        rows[-1].append(int(n))
        free -= len(found[n][1])
    return placed(found, [*rows, []], ROOM)


def alone(found):
    return placed(found, [[n] for n in range(len(found))], max(len(t[1]) for t in found) + 2)


def run(advantage_BT, kl_BT, mask_BT, start_BT, beta, normalise=False):
    start_BT = None if start_BT is None else jnp.asarray(start_BT, jnp.int32)
    return np.asarray(
        token_advantages(
            jnp.asarray(advantage_BT, jnp.float32), jnp.asarray(kl_BT, jnp.float32),
            jnp.asarray(mask_BT), start_BT,
            beta=beta, normalise=normalise,
        )
    )  # fmt: skip


@pytest.mark.parametrize("beta, normalise", SETTINGS)
@pytest.mark.parametrize("layout", ["packed", "alone", "no starts"])
@pytest.mark.parametrize("seed", SEEDS)
def test_matches_the_reference(seed, layout, beta, normalise):
    found = draw_texts(seed)
    arrays, _ = packed(found, seed) if layout == "packed" else alone(found)
    if layout == "no starts":
        arrays = (*arrays[:3], None)
    got_BT = run(*arrays, beta, normalise)
    want_BT = truth.token_advantages(*arrays, beta=beta, normalise=normalise)
    assert got_BT.dtype == np.float32
    np.testing.assert_allclose(got_BT, want_BT, rtol=0, atol=ATOL)
    assert np.all(got_BT[~arrays[2]] == 0.0)
    jitted_BT = JITTED(*arrays, beta=beta, normalise=normalise)
    np.testing.assert_allclose(jitted_BT, want_BT, rtol=0, atol=ATOL)


@pytest.mark.parametrize("beta, normalise", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_packed_rows_equal_one_text_a_row(seed, beta, normalise):
    found = draw_texts(seed)
    (*arrays, _), at = alone(found)
    want_BT = run(*arrays, None, beta, normalise)
    for order in (seed, seed + 100):
        packed_arrays, packed_at = packed(found, order)
        assert len(packed_arrays[0]) - 1 < len(found) / 2  # several texts a row
        got_BT = run(*packed_arrays, beta, normalise)
        for n in range(len(found)):
            np.testing.assert_allclose(got_BT[packed_at[n]], want_BT[at[n]], rtol=0, atol=ATOL)


def test_two_texts_by_hand():
    # beta 1. Text 1, R = 1, kl .1 .2: 1 - .3 = .7, 1 - .2 = .8. Text 2, R = -1, kl .4 .8:
    # -1 - 1.2 = -2.2, -1 - .8 = -1.8. The prompts' 9 is nobody's.
    arrays = (
        [[1, 1, 1, -1, -1, -1, 0]],
        [[9.0, 0.1, 0.2, 9.0, 0.4, 0.8, 9.0]],
        [[False, True, True, False, True, True, False]],
        [[0, 0, 0, 3, 3, 3, 0]],
    )
    got_BT = run(*arrays, 1.0)
    np.testing.assert_allclose(got_BT, [[0, 0.7, 0.8, 0, -2.2, -1.8, 0]], rtol=0, atol=HAND_ATOL)
    # mean -2.5 / 4 = -.625; squares 1.755625 + 2.030625 + 2.480625 + 1.380625 = 7.6475; variance
    # 1.911875, std 1.382706: 1.325, 1.425, -1.575 and -1.175 over it
    got_BT = run(*arrays, 1.0, normalise=True)
    want_BT = [[0, 0.958266, 1.030588, 0, -1.139071, -0.849783, 0]]
    np.testing.assert_allclose(got_BT, want_BT, rtol=0, atol=HAND_ATOL)
    # As one text the first two also bear what the second text costs: 1 - 1.5 and 1 - 1.4
    got_BT = run(*arrays[:3], None, 1.0)
    np.testing.assert_allclose(got_BT, [[0, -0.5, -0.4, 0, -2.2, -1.8, 0]], rtol=0, atol=HAND_ATOL)


def test_texts_without_a_prompt_or_without_a_trained_end_by_hand():
    # Nothing untrained lies between text 1 and 2, and text 2 ends untrained: beta .5,
    # 2 - .5 * 3, 2 - .5 * 2 | -1 - .5 * 4 | 3 - .5 * 6
    got_BT = run(
        [[2, 2, -1, -1, 3]], [[1.0, 2.0, 4.0, 5.0, 6.0]],
        [[True, True, True, False, True]], [[0, 0, 2, 2, 4]], 0.5,
    )  # fmt: skip
    np.testing.assert_allclose(got_BT, [[0.5, 1.0, -3.0, 0.0, 0.0]], rtol=0, atol=HAND_ATOL)


def test_a_text_is_charged_its_own_penalty():
    # Three texts in a row: -3 - 1 * 5 = -8, and nothing of it in the others
    ones = np.ones((1, 3))
    got_BT = run(ones * [3, -3, 2], ones * [0, 5, 0], ones > 0, [[0, 1, 2]], 1.0)
    np.testing.assert_array_equal(got_BT, [[3.0, -8.0, 2.0]])


def test_the_z_score_is_the_batchs_and_weighs_tokens():
    # Rewards 1 (three tokens), 0 (one token) in two rows: mean .75, variance .1875, std .433013:
    # .577350 and -1.732051. Per row or per text everything would be 0.
    mask_BT = np.array([[True, True, True], [False, False, True]])
    advantage_BT = [[1, 1, 1], [5, 5, 0]]
    got_BT = run(advantage_BT, np.zeros((2, 3)), mask_BT, None, 0.0, normalise=True)
    want_BT = [[0.577350] * 3, [0.0, 0.0, -1.732051]]
    np.testing.assert_allclose(got_BT, want_BT, rtol=0, atol=HAND_ATOL)


def test_variance_is_clamped_below():
    # Rewards 0 and 2^-14: variance 2^-30 < 1e-8, so +-2^-15 / 1e-4 = +-.305176
    got_BT = run(
        [[0.0, 2.0**-14]], np.zeros((1, 2)), np.ones((1, 2), bool), [[0, 1]], 0.0, normalise=True
    )
    np.testing.assert_allclose(got_BT, [[-0.305176, 0.305176]], rtol=0, atol=HAND_ATOL)


@pytest.mark.parametrize("normalise", [False, True])
def test_no_trained_token_gives_zero(normalise):
    (advantage_BT, kl_BT, mask_BT, start_BT), _ = packed(draw_texts(5), 5)
    got_BT = run(advantage_BT, kl_BT, mask_BT & False, start_BT, 0.1, normalise=normalise)
    np.testing.assert_array_equal(got_BT, np.zeros(got_BT.shape))


@pytest.mark.parametrize("off", [cases.GARBAGE, -np.inf, np.nan])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_garbage_off_the_mask_changes_nothing(seed, normalise, off):
    (advantage_BT, kl_BT, mask_BT, start_BT), _ = packed(draw_texts(seed), seed)
    before_BT = run(advantage_BT, kl_BT, mask_BT, start_BT, 0.1, normalise=normalise)
    dirty_advantage_BT, dirty_kl_BT = (np.where(mask_BT, x, off) for x in (advantage_BT, kl_BT))
    after_BT = run(dirty_advantage_BT, dirty_kl_BT, mask_BT, start_BT, 0.1, normalise=normalise)
    np.testing.assert_array_equal(after_BT, before_BT)


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_changes_nothing(seed):
    arrays, _ = packed(draw_texts(seed), seed)
    before_BT = run(*arrays, 0.1, normalise=True)
    after_BT = run(*(np.pad(x, ((0, 2), (0, 3))) for x in arrays), 0.1, normalise=True)
    np.testing.assert_allclose(after_BT[:-2, :-3], before_BT, rtol=0, atol=ATOL)
    assert np.all(after_BT[-2:] == 0.0) and np.all(after_BT[:, -3:] == 0.0)


def test_a_costly_neighbour_leaves_no_rounding_behind():
    # Texts of 150 tokens at k3's limit on both sides: a difference of two sums over the row
    # (1,500 beside 1) would be off by its roundings, about 1e-4.
    rng = np.random.default_rng(6)
    costly = (0.0, np.full(150, CAP), np.ones(150, bool))
    cheap = (1.0, rng.random(30) / 15, np.ones(30, bool))
    arrays, where = placed([costly, cheap, costly], [[0, 1, 2]], 330)
    got_BT = run(*arrays, 1.0)
    want_BT = truth.token_advantages(*arrays, beta=1.0)
    np.testing.assert_allclose(got_BT[where[1]], want_BT[where[1]], rtol=0, atol=ATOL)
    assert np.abs(want_BT[where[1]]).max() < 1.1
