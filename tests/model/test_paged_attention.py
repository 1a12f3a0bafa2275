"""Attention over a paged cache, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth as truth

from waltzjax.model.paged_attention import VISITS, PageView, attend_pages, write_pages

LENGTHS = (9, 7, 2)
B, T, H, J, C = 3, 9, 4, 2, 8
ATOL = 2e-6  # float32, values of order 1
WINDOWS = (0, 1, 3)
NEWEST_B1 = np.array(LENGTHS)[:, None] - 1
ALL = jnp.ones(B, bool)

over_pages = jax.jit(attend_pages, static_argnames=("window", "visit"))


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    shapes = (B, T, H, C), (B, T, J, C), (B, T, J, C)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def paged(k, v, page=3, seed=1):
    """(pages, table): all keys and values, one position of all rows at a time, in pages of noise;
    no page is in order."""
    rng = np.random.default_rng(seed)
    each = -(-T // page)
    count = B * each + 3
    k_NJCP = jnp.asarray(rng.normal(size=(count, J, C, page)), jnp.float32)
    v_NJPC = jnp.asarray(rng.normal(size=(count, J, page, C)), jnp.float32)
    table = jnp.asarray(rng.permutation(count)[: B * each].reshape(B, each))
    for t in range(T):
        view = PageView(table, jnp.full((B, 1), t), jnp.asarray(LENGTHS) > t)
        k_NJCP, v_NJPC = write_pages(k_NJCP, v_NJPC, k[:, t : t + 1], v[:, t : t + 1], view)
    return (k_NJCP, v_NJPC), table


def newest(x):
    return np.take_along_axis(x, NEWEST_B1[..., None, None], axis=1)


@pytest.mark.parametrize("page, visit", [(3, 1), (3, 2), (3, 5), (3, 32), (1, 1)])
@pytest.mark.parametrize("window", WINDOWS)
def test_one_token_against_sums_written_out(window, page, visit):
    """One new token a row, its last; what pages hold beyond it is not seen. Pages of one position
    read one at a time fill several buffers, and a row's are in two of them."""
    q, k, v = arrays()
    pages, table = paged(k, v, page)
    assert page > 1 or sum(LENGTHS) > VISITS > LENGTHS[0]
    view = PageView(table, jnp.asarray(NEWEST_B1), ALL)
    got = over_pages(newest(q), *pages, view, window=window, visit=visit)
    np.testing.assert_allclose(
        got, newest(truth.attention(q, k, v, LENGTHS, window)), rtol=0, atol=ATOL
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_a_page_of_tokens_against_sums_written_out(window):
    """Rows of the batch are the second page of row 0, the first page of row 1, and nothing."""
    q, k, v = arrays()
    pages, table = paged(k, v)
    at_BT = np.array([[3, 4, 5], [0, 1, 2], [0, 1, 2]])
    rows = np.array([0, 1, 2])[:, None]
    view = PageView(table, jnp.asarray(at_BT), jnp.array([True, True, False]))
    got = over_pages(q[rows, at_BT], *pages, view, window=window, visit=4)
    want = truth.attention(q, k, v, LENGTHS, window)[rows, at_BT]
    np.testing.assert_allclose(got[:2], want[:2], rtol=0, atol=ATOL)


@pytest.mark.parametrize("spoils", ["q", "k", "v"])
@pytest.mark.parametrize("visit", [1, 4])
def test_what_is_not_finite_stays_in_its_row(visit, spoils):
    q, k, v = arrays()
    {"q": q, "k": k, "v": v}[spoils][1, LENGTHS[1] - 1] = np.nan
    pages, table = paged(k, v)
    view = PageView(table, jnp.asarray(NEWEST_B1), ALL)
    got = over_pages(newest(q), *pages, view, window=0, visit=visit)
    assert np.isnan(got[1]).any() and np.isfinite(got[0]).all() and np.isfinite(got[2]).all()
