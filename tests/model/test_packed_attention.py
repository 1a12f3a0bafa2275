"""Attention by blocks of queries within packed rows: against sums written out, text by text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth as truth
from support import mesh_of

from waltzjax.model import sharding
from waltzjax.model.attention import attend, attend_packed, choose_queries
from waltzjax.plan.xla_report import measure

B, T, H, J, C = 2, 23, 4, 2, 8
SPAN = 9  # the longest of the texts
ATOL = 2e-6  # float32, values of order 1
GRADIENT_ATOL = 1e-5  # sums of such over a text
BF16 = 2e-2  # of the largest value: scores in another order, outputs of eight bits


def texts(seed=0):
    """Lengths of a row's texts, none above SPAN, one of them that long; some padding is left."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(B):
        row = [SPAN]
        while sum(row) < T - SPAN:
            row.append(int(rng.integers(1, SPAN + 1)))
        rows.append([int(n) for n in rng.permutation(row)])
    return rows


def arrays(seed=0, *, tokens=T):
    rng = np.random.default_rng(seed)
    shapes = (B, tokens, H, C), (B, tokens, J, C), (B, tokens, J, C)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def starts(rows, tokens=T):
    start = np.zeros((B, tokens), np.int32)
    for b, row in enumerate(rows):
        for at, n in zip(np.cumsum([0, *row]), row, strict=False):
            start[b, at : at + n] = at
    return start


def written_out(q, k, v, rows, window):
    """Each text by itself; zero in the padding."""
    out = np.zeros(q.shape)
    for b, row in enumerate(rows):
        at = 0
        for n in row:
            one = slice(at, at + n)
            parts = (x[b : b + 1, one] for x in (q, k, v))
            out[b, one] = truth.attention(*parts, [n], window)[0]
            at += n
    return out


def unpadded(x, rows):
    filled = np.array([sum(row) for row in rows])
    return np.where((np.arange(x.shape[1]) < filled[:, None])[..., None, None], x, 0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize("span", [0, SPAN])
@pytest.mark.parametrize("block", [1, 4, 64])
def test_against_sums_written_out(block, span, window, seed):
    rows, (q, k, v) = texts(seed), arrays(seed)
    got = attend_packed(q, k, v, starts(rows), window=window, span=span, block=block)
    assert np.isfinite(got).all()  # of the padding too
    want = written_out(q, k, v, rows, window)
    np.testing.assert_allclose(unpadded(got, rows), want, rtol=0, atol=ATOL)


def test_one_text_a_row_is_plain_attention():
    q, k, v = arrays(4)
    start = np.zeros((B, T), np.int32)
    plain = attend(q, k, v, jnp.full(B, T), window=0, kernel="xla")
    got = attend(q, k, v, jnp.full(B, T), start, window=0, kernel="xla", block=4)
    np.testing.assert_allclose(got, plain, rtol=0, atol=ATOL)


def masked(q, k, v, start):
    """The same in one piece: jax's attention with a [T, T] mask."""
    mask = (jnp.arange(q.shape[1]) >= start[:, :, None])[:, None]
    return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=True, implementation="xla")


def value_and_gradients(attention, rows):
    def loss(q, k, v):
        out = attention(q, k, v, jnp.asarray(starts(rows, q.shape[1]))).astype(jnp.float32)
        filled = jnp.array([sum(row) for row in rows])
        real = (jnp.arange(q.shape[1]) < filled[:, None])[..., None, None]
        out = jnp.where(real, out, 0)
        return jnp.sum(jnp.sin(out)), out

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


def blocks(q, k, v, start):
    return attend_packed(q, k, v, start, window=0, span=SPAN, block=4)


def test_gradients_are_those_of_the_mask():
    rows, qkv = texts(5), arrays(5)
    _, got = value_and_gradients(blocks, rows)(*qkv)
    _, want = value_and_gradients(masked, rows)(*qkv)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=GRADIENT_ATOL)
        assert np.abs(theirs).max() > 1e4 * GRADIENT_ATOL


def test_half_precision_is_near():
    rows, qkv = texts(6), arrays(6)
    (_, want), of_mask = value_and_gradients(masked, rows)(*qkv)
    halves = [jnp.asarray(x, jnp.bfloat16) for x in qkv]
    (_, got), of_blocks = value_and_gradients(blocks, rows)(*halves)
    for ours, theirs in zip((got, *of_blocks), (want, *of_mask), strict=True):
        gap = np.abs(np.asarray(ours, np.float32) - theirs).max()
        assert 0 < gap < BF16 * np.abs(theirs).max()
    assert of_blocks[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2)])
def test_on_a_mesh_nothing_moves_between_devices(shape):
    """Rows lie over data and fsdp, heads over tensor: forward and backward stay where they are."""
    mesh = mesh_of(*shape)
    q, k, v = (np.concatenate(4 * [x]) for x in arrays(7))
    start = np.concatenate(4 * [starts(texts(7))])
    by_head = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(
        sharding.ROWS, None, "tensor"))  # fmt: skip
    by_row = sharding.rows_sharding(mesh)

    def loss(q, k, v, start):
        return jnp.sum(jnp.sin(blocks(q, k, v, start)))

    graded = jax.jit(
        jax.grad(loss, argnums=(0, 1, 2)),
        in_shardings=(by_head, by_head, by_head, by_row), out_shardings=by_head,
    )  # fmt: skip
    assert not measure(graded.lower(q, k, v, start)).collectives
    alone = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(q, k, v, start)
    for ours, theirs in zip(graded(q, k, v, start), alone, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=GRADIENT_ATOL)


def test_memory_grows_with_the_row_not_its_square():
    """Forward and backward, temporaries: sixteen times the row, sixteen times the memory."""

    def temporary(tokens):
        shapes = (1, tokens, H, C), (1, tokens, J, C), (1, tokens, J, C)
        q, k, v = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)

        def loss(q, k, v, start):
            return jnp.sum(attend_packed(q, k, v, start, window=0, span=64, block=32))

        graded = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
        start = jax.ShapeDtypeStruct((1, tokens), jnp.int32)
        return measure(graded.lower(q, k, v, start)).temporary_bytes

    short, long = temporary(512), temporary(16 * 512)
    assert 4 * short < long < 20 * short


def test_blocks_are_longer_on_gpus():
    assert choose_queries("cpu") < choose_queries("gpu") == choose_queries("cuda")
