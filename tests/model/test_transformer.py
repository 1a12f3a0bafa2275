"""Properties of the decoder. Equality with Hugging Face's numbers is in test_hf."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import mesh_of

from waltzjax.model import attention, decode, transformer
from waltzjax.model.architecture import ModelConfig, RopeScaling
from waltzjax.model.paged_attention import PageView
from waltzjax.model.sharding import make_mesh
from waltzjax.run.runtime import over_mesh

CFG = ModelConfig(
    vocab_size=61,
    width=32,
    mlp_width=48,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=8,
    max_positions=256,
    rope_theta=100.0,
    init_scale=0.15,  # large enough that attention is far from uniform
)
# Jitted with a static config: called eagerly, the scan over layers compiles anew at every call.
hidden_states = jax.jit(transformer.hidden_states, static_argnums=0)
init_params = jax.jit(transformer.init_params, static_argnums=0)
# float32, values of order 1: the same sums; the same with more padding; in another order.
SAME_ORDER, OTHER_SHAPE, OTHER_ORDER = 1e-6, 5e-6, 1e-5
FAR_ANGLE = 1e-4  # an angle of 130 radians keeps 5 digits
GRADIENT = 1e-4  # relative, recomputed against kept
BY_HAND = 1e-5  # five digits worked by hand
SAME_WORK = 0.05  # of two programs' counts of the same operations, fused in other ways
LLAMA3 = RopeScaling(
    factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position=16
)


@pytest.fixture(scope="module")
def params():
    return init_params(CFG, jax.random.key(0))


def tokens(rows: int, length: int, seed: int = 1) -> jax.Array:
    return jax.random.randint(jax.random.key(seed), (rows, length), 0, CFG.vocab_size)


def test_a_change_leaves_earlier_hidden_states_alone(params):
    token_BT, length_B = tokens(2, 24), jnp.array([24, 24])
    before = hidden_states(CFG, params, token_BT, length_B)
    for t in (1, 11, 23):
        changed = token_BT.at[:, t].set((token_BT[:, t] + 1) % CFG.vocab_size)
        after = hidden_states(CFG, params, changed, length_B)
        np.testing.assert_allclose(after[:, :t], before[:, :t], rtol=0, atol=SAME_ORDER)
        # every later position sees the change: attention reaches back all the way
        gap_BT = jnp.abs(after - before).max(axis=-1)[:, t:]
        assert gap_BT.min() > 1e-4


def test_padding_changes_nothing(params):
    token_BT, length_B = tokens(3, 20), jnp.array([20, 13, 5])
    real_BT = jnp.arange(20) < length_B[:, None]
    once = hidden_states(CFG, params, token_BT, length_B)
    other_BT = jnp.where(real_BT, token_BT, (token_BT + 7) % CFG.vocab_size)
    other_BT = jnp.pad(other_BT, ((0, 0), (0, 9)))
    twice = hidden_states(CFG, params, other_BT, length_B)[:, :20]
    np.testing.assert_allclose(once[real_BT], twice[real_BT], rtol=0, atol=OTHER_SHAPE)
    alone = hidden_states(CFG, params, token_BT[1:2, :13], jnp.array([13]))
    np.testing.assert_allclose(once[1, :13], alone[0], rtol=0, atol=OTHER_SHAPE)


@pytest.mark.parametrize("scaling", [None, LLAMA3], ids=["default", "llama3"])
def test_cached_decoding_equals_the_full_forward(params, scaling):
    cfg = dataclasses.replace(CFG, rope_scaling=scaling)
    total = 40
    token_BT = tokens(3, total)
    full = hidden_states(cfg, params, token_BT, jnp.full((3,), total))
    layered = decode.generation_params(cfg, mesh_of(1, 1, 1), {"model": params})["model"]
    step = jax.jit(lambda t, c, v: decode.cached_hidden_states(cfg, layered, t, c, v))
    table, page = jnp.array([[7, 2, 0, 1, 9], [3, 4, 5, 6, 8], [10, 11, 12, 13, 14]]), 8
    cache = decode.empty_cache(cfg, 15, page)
    # Pieces of the first row's beginning, of which one continues the other in the same call; then
    # of the second row's, whose padding is overwritten before it is seen.
    pieces = np.stack([token_BT[0, :8], token_BT[0, 8:16], token_BT[1, :8]])
    at_BT = np.array([0, 8, 0])[:, None] + np.arange(8)
    view = PageView(table[jnp.array([0, 0, 1])], jnp.asarray(at_BT), jnp.ones(3, bool))
    got, cache = step(pieces, cache, view)
    for row, at, hidden in ((0, 0, got[0]), (0, 8, got[1]), (1, 0, got[2])):
        np.testing.assert_allclose(hidden, full[row, at : at + 8], rtol=0, atol=OTHER_ORDER)
    start_B = np.array([16, 5, 0])
    for past in range(total - 16):
        at_B = start_B + past
        view = PageView(table, jnp.asarray(at_B)[:, None], jnp.ones(3, bool))
        got, cache = step(token_BT[np.arange(3), at_B][:, None], cache, view)
        np.testing.assert_allclose(got[:, 0], full[np.arange(3), at_B], rtol=0, atol=OTHER_ORDER)


@pytest.mark.parametrize("scaling", [None, LLAMA3], ids=["default", "llama3"])
def test_rotary_scores_depend_on_the_distance_alone(scaling):
    cfg = dataclasses.replace(CFG, rope_scaling=scaling)
    q, k = jax.random.normal(jax.random.key(2), (2, 1, 1, 1, CFG.head_dim))

    def score(i: int, j: int) -> float:
        freq = attention.rope_frequencies(cfg)
        at = [attention.rotate(x, jnp.full((1, 1, 1), p) * freq) for x, p in ((q, i), (k, j))]
        return float(jnp.vdot(*at))

    assert score(5, 5) == pytest.approx(float(jnp.vdot(q, k)), abs=OTHER_ORDER)
    for distance in (1, 4, 30):
        assert score(distance, 0) == pytest.approx(score(100 + distance, 100), abs=FAR_ANGLE)
    assert abs(score(4, 0) - score(0, 4)) > 1e-2  # the sign of the distance matters
    assert abs(score(4, 0) - score(5, 0)) > 1e-2


def test_llama3_scaling_by_hand():
    # head_dim 8 and theta 100: wavelengths 6.3, 19.9, 62.8, 199 positions. Below 16/4 kept, above
    # 16/1 divided by 8, and between them (6.3 only) mixed by (16/6.283 - 1) / (4 - 1) = 0.5155.
    cfg = dataclasses.replace(CFG, rope_scaling=LLAMA3)
    plain = np.array([1.0, 100**-0.25, 100**-0.5, 100**-0.75])
    want = plain / 8
    want[0] = (1 - 0.515494) / 8 + 0.515494
    np.testing.assert_allclose(attention.rope_frequencies(CFG), plain, rtol=BY_HAND)
    np.testing.assert_allclose(attention.rope_frequencies(cfg), want, rtol=BY_HAND)


def gradient_of(cfg, params):
    """A loss's gradient, and how many operations its program says it has (one layer's: loops count
    once)."""
    token_BT, length_B = tokens(4, 16), jnp.array([16, 10, 16, 3])

    def loss(p):
        h_BTD = transformer.hidden_states(cfg, p, token_BT, length_B)
        return jnp.sum(jnp.sin(h_BTD) * (jnp.arange(16) < length_B[:, None])[..., None])

    compiled = jax.jit(jax.grad(loss)).lower(params).compile()
    return compiled(params), compiled.cost_analysis()["flops"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 1)])
def test_remat_dots_computes_no_product_with_a_weight_anew(params, shape):
    cfg = over_mesh(CFG, make_mesh(shape))
    dots, full = (
        gradient_of(dataclasses.replace(cfg, remat=r), params)[1] for r in ("dots", "full")
    )
    c = CFG
    weights = c.width * (2 * c.heads + 2 * c.kv_heads) * c.head_dim + 2 * c.width * c.mlp_width
    forward = 2 * weights * 4 * 16 / math.prod(shape)  # the last product, down's, is never wanted
    assert full - dots == pytest.approx(forward, rel=SAME_WORK)


@pytest.mark.parametrize("remat", ["full", "dots"])
def test_remat_gives_the_same_gradient(params, remat):
    plain, _ = gradient_of(CFG, params)
    remat, _ = gradient_of(dataclasses.replace(CFG, remat=remat), params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(plain):
        other = remat
        for key in path:
            other = other[key.key]
        assert jnp.abs(leaf).max() > 0, path
        np.testing.assert_allclose(other, leaf, rtol=GRADIENT, atol=OTHER_ORDER, err_msg=str(path))


def test_queries_start_as_their_key_heads(params):
    query_LDHC = params["layers"]["q"]["kernel"].reshape(3, 32, 4, 8)
    key_LDJC = params["layers"]["k"]["kernel"].reshape(3, 32, 2, 8)
    for head in range(4):
        np.testing.assert_array_equal(query_LDHC[:, :, head], key_LDJC[:, :, head // 2])
    # so that, before positions, a token's score with itself is the largest a row can give
    x = jax.random.normal(jax.random.key(3), (50, 32))
    q, k = x @ query_LDHC[0, :, 3], x @ key_LDJC[0, :, 1]
    assert (jnp.diagonal(q @ k.T) > 0).all()
    assert not jnp.allclose(key_LDJC[0], key_LDJC[1])  # layers differ


def test_tying(params):
    assert transformer.unembedding(params) is params["embed"] and "unembed" not in params
    untied = init_params(dataclasses.replace(CFG, tied_embeddings=False), jax.random.key(0))
    assert transformer.unembedding(untied) is untied["unembed"]
