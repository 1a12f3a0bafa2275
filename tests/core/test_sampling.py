"""What truncation keeps, where it ends, and what is drawn, against the float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth as truth

from waltzjax.core.sampling import Settings, draw, truncated

RTOL, ATOL = 2e-6, 1e-6  # a handful of float32 operations on logits up to about 20
LOGP_ATOL = 1e-5  # a float32 sum over the vocabulary
TIE_MARGIN = 1e-4  # random cases nearer than this to a top-p boundary are drawn again


def settings(*rows):
    """Of rows (temperature, top_k, top_p, min_p)."""
    kinds = (np.float32, np.int32, np.float32, np.float32)
    return Settings(
        *(np.asarray(c, k) for c, k in zip(zip(*rows, strict=True), kinds, strict=True))
    )


def after(logits_BV, given):
    """Logits over temperature that are left, and the edges."""
    scaled_BV = jnp.asarray(logits_BV, jnp.float32) / given.temperature[:, None]
    return tuple(map(np.asarray, jax.jit(truncated)(scaled_BV, given)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_setting_for_each_row(seed):
    rng = np.random.default_rng(seed)
    B, V = 24, 40
    rows = list(
        zip(
            rng.choice([0.5, 1.0, 1.7], B), rng.choice([0, 1, 5, 12, V, V + 7], B),
            rng.choice([0.05, 0.5, 0.9, 0.97, 1.0], B), rng.choice([0, 0, 0.03, 0.4, 1.0], B),
            strict=True,
        )
    )  # fmt: skip
    logits = []
    while len(logits) < B:
        logits_V = (3 * rng.normal(size=V)).astype(np.float32)
        row = rows[len(logits)]
        if row[2] == 1 or truth.top_p_margin(logits_V, *row[:3]) > TIE_MARGIN:
            logits.append(logits_V)
    got_BV, edge_B = after(np.stack(logits), settings(*rows))
    for row, logits_V, got_V, edge in zip(rows, logits, got_BV, edge_B, strict=True):
        kept_V = truth.kept_tokens(logits_V, *row)
        scaled_V = logits_V.astype(np.float64) / np.float32(row[0])
        np.testing.assert_array_equal(np.isfinite(got_V), kept_V, err_msg=str(row))
        np.testing.assert_allclose(got_V[kept_V], scaled_V[kept_V], rtol=RTOL, atol=ATOL)
        if kept_V.all():
            assert edge == -np.inf
        else:
            middle = (scaled_V[kept_V].min() + scaled_V[~kept_V].max()) / 2
            np.testing.assert_allclose(edge, middle, rtol=RTOL, atol=ATOL)


def test_by_hand():
    # p = .1 .5 .15 .25; after top-2 the second token has 2/3 >= 0.6 and stands alone; without
    # top-k 0.5 < 0.6 and the fourth token is needed too; at temperature 0.5 the odds are squared
    # and 0.25 / 0.345 = 0.72 >= 0.6; 0.15 is 0.3 times as probable as 0.5.
    logits_V = jnp.log(jnp.array([0.1, 0.5, 0.15, 0.25]))
    rows = settings((1, 2, 0.6, 0), (1, 0, 0.6, 0), (0.5, 0, 0.6, 0), (1, 0, 1, 0.29))
    got_BV, edge_B = after(jnp.tile(logits_V, (4, 1)), rows)
    assert np.isfinite(got_BV).astype(int).tolist() == [
        [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 1, 1],
    ]  # fmt: skip
    assert np.exp(edge_B[1]) == pytest.approx((0.25 * 0.15) ** 0.5, rel=RTOL)


def test_nothing_is_left_out_unless_asked():
    # The float32 sum of probabilities reaches 1 after the first token; all must still be there.
    logits_V = np.array([60.0, 0.0, -10.0, -40.0], np.float32)
    got_BV, edge_B = after(logits_V[None], settings((1, 0, 1, 0)))
    np.testing.assert_array_equal(got_BV[0], logits_V)
    assert edge_B[0] == -np.inf


def test_the_most_probable_tokens_stay_under_extreme_settings():
    logits_BV = np.array([[3.0, 3.0, 1.0], [1e4, 0.0, -1e4]], np.float32)
    for row in ((1, 1, 1, 0), (1, 0, 1e-6, 0), (1, 0, 1, 1), (1e-3, 1, 1e-6, 1)):
        got_BV, _ = after(logits_BV, settings(row, row))
        assert np.isfinite(got_BV).tolist() == [[True, True, False], [True, False, False]]


def test_rows_do_not_mix():
    """Whether a row is greedy, truncated or neither, its draw and log-probability are its own."""
    logits_BV = np.asarray(3 * np.random.default_rng(0).normal(size=(3, 50)), np.float32)
    rows = [(0, 0, 1, 0), (0.7, 5, 0.9, 0.05), (1.3, 0, 1, 0)]
    seeds, index = np.array([1, 2, 3], np.uint32), np.array([4, 5, 6], np.int32)
    together = draw(jnp.asarray(logits_BV), settings(*rows), seeds, index)
    for b, row in enumerate(rows):
        one = slice(b, b + 1)
        alone = draw(jnp.asarray(logits_BV[one]), settings(row), seeds[one], index[one])
        assert alone.token_B[0] == together.token_B[b]
        given = row if row[0] else (1.0, 0, 1.0, 0.0)
        [want] = truth.token_log_probs(logits_BV[one], [int(alone.token_B[0])], *given)
        for got in (alone.logp_B[0], together.logp_B[b]):
            assert float(got) == pytest.approx(want, abs=LOGP_ATOL)
    assert int(together.token_B[0]) == logits_BV[0].argmax()


def test_a_row_that_is_not_finite_says_so():
    logits_BV = np.zeros((3, 5), np.float32)
    logits_BV[0, 2], logits_BV[1, 1] = np.nan, np.inf
    drawn = draw(
        jnp.asarray(logits_BV), settings(*[(1, 0, 1, 0)] * 3), np.zeros(3, np.uint32),
        np.zeros(3, np.int32),
    )  # fmt: skip
    assert drawn.finite_B.tolist() == [False, False, True]
