"""Attention within rows that hold several texts, by blocks of queries: no [T, T] array is made."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp


def choose_queries(platform: str) -> int:
    """How many queries a block has: what keeps its scores in a core's cache, or a GPU's kernels
    long beside what it takes to start them."""
    return 512 if platform in ("gpu", "cuda") else 128


def attend_packed(
    q_BTHC: jax.Array, k_BTJC: jax.Array, v_BTJC: jax.Array, start_BT: jax.Array,
    *, window: int, span: int, block: int,
) -> jax.Array:  # fmt: skip
    """Causal attention [B, T, H, C] in which a token sees none before the start of its text.

    A block of queries is scored against the keys that its tokens can see and no more: from ``span``
    before it to its end. The backward pass scores anew, a block at a time. Scores and softmax are
    in float32. What stands in padding is arbitrary, but finite.

    Args:
      start_BT: int32, the first position of each token's text, at most the token's own.
      window: a token sees itself and window - 1 before it (Mistral's); 0: all of its text.
      span: the longest text that a row may hold, tokens; 0: as long as the row. In a longer text
        a token would miss what lies further back.
      block: queries that are scored at a time, >= 1.
    """
    B, T, H, C = q_BTHC.shape
    J = k_BTJC.shape[2]
    size = min(block, T)
    count = -(-T // size)
    width = min(count * size, size + min(n for n in (span, window, T) if n))

    def whole(x):
        """Padded to whole blocks: by zeros, which only the padding sees."""
        return jnp.pad(x, ((0, 0), (0, count * size - T), *[(0, 0)] * (x.ndim - 2)))

    # n: blocks, Q: queries of one, S: the keys it is scored against, G: heads that share a key's.
    q_nBJGQC = whole(q_BTHC).reshape(B, count, size, J, H // J, C).transpose(1, 0, 3, 4, 2, 5)
    start_nBQ = whole(start_BT).reshape(B, count, size).swapaxes(0, 1)
    k_BJTC, v_BJTC = (whole(x).swapaxes(1, 2) for x in (k_BTJC, v_BTJC))

    @partial(jax.checkpoint, prevent_cse=False)
    def attend_block(k_BJTC, v_BJTC, number, q_BJGQC, start_BQ):
        first = jnp.maximum((number + 1) * size - width, 0)
        k_BJSC, v_BJSC = (
            jax.lax.dynamic_slice_in_dim(x, first, width, axis=2) for x in (k_BJTC, v_BJTC)
        )
        score_BJGQS = jnp.einsum(
            "BJGQC,BJSC->BJGQS", q_BJGQC, k_BJSC, preferred_element_type=jnp.float32
        )
        q_Q1 = number * size + jnp.arange(size)[:, None]
        key_S = first + jnp.arange(width)
        seen_BQS = (key_S <= q_Q1) & (key_S >= start_BQ[:, :, None])
        if window:
            seen_BQS &= key_S > q_Q1 - window
        score_BJGQS = jnp.where(seen_BQS[:, None, None], score_BJGQS * C**-0.5, -jnp.inf)
        share_BJGQS = jax.nn.softmax(score_BJGQS, axis=-1).astype(v_BJSC.dtype)
        return jnp.einsum("BJGQS,BJSC->BJGQC", share_BJGQS, v_BJSC)

    def step(_, block):
        return None, attend_block(k_BJTC, v_BJTC, *block)

    _, out_nBJGQC = jax.lax.scan(step, None, (jnp.arange(count), q_nBJGQC, start_nBQ))
    return out_nBJGQC.transpose(1, 0, 4, 2, 3, 5).reshape(B, count * size, H, C)[:, :T]
