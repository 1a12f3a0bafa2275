"""Attention: the one place where its kernel is chosen, rows of several texts, rotary positions.

Rows that hold several texts are computed by blocks of queries: no [T, T] array is made. Rotary
positions are RoFormer's (arXiv 2104.09864), with the llama3 scaling of frequencies.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from waltzjax.model.architecture import Kernel, ModelConfig

KERNELS = ("auto", "xla", "cudnn")
CUDNN_DTYPES = ("bfloat16", "float16")
CUDNN_HEAD_DIM = 128  # the largest whose backward pass cuDNN has on all of A100, H100, B200


def choose_kernel(wanted: str, platform: str, dtype: Any, head_dim: int) -> Kernel:
    """The kernel for a full forward pass: "cudnn" or "xla".

    Args:
      wanted: "auto" takes cuDNN where it can work, on NVIDIA GPUs in half precision.
      platform: where it will run, as ``jax.Device.platform``: "gpu", "cpu", "tpu".
      dtype: what the model computes in.
      head_dim: channels of a head.

    Raises:
      ValueError: "cudnn" was asked for where it cannot work.
    """
    reasons = []
    if platform not in ("gpu", "cuda"):
        reasons.append(f"the devices are {platform}, not NVIDIA GPUs")
    if jnp.dtype(dtype).name not in CUDNN_DTYPES:
        reasons.append(f"config.model.dtype is {jnp.dtype(dtype).name}, not bfloat16")
    if head_dim % 8 or head_dim > CUDNN_HEAD_DIM:
        reasons.append(f"heads of {head_dim} channels: multiples of 8 up to {CUDNN_HEAD_DIM} work")
    if wanted == "cudnn" and reasons:
        raise ValueError(f"config.model.attention: got 'cudnn', but {'; '.join(reasons)}")
    return "xla" if wanted == "xla" or reasons else "cudnn"


def choose_visit(platform: str) -> int:
    """How many pages generation's attention reads at a time: what fits a core's cache together
    with the scores, or enough to keep a GPU busy with each of its kernels."""
    return 1024 if platform in ("gpu", "cuda") else 32


def attend(
    q_BTHC: jax.Array,
    k_BTJC: jax.Array,
    v_BTJC: jax.Array,
    length_B: jax.Array,
    start_BT: jax.Array | None = None,
    *,
    window: int,
    kernel: Kernel,
    span: int = 0,
    block: int = 128,
) -> jax.Array:
    """Causal attention within right-padded rows, softmax in float32. What stands in padding is
    arbitrary, but finite: weight gradients multiply it with zero.

    ``start_BT``: the first position that each token sees, where rows hold several texts; these have
    no kernel but ``attend_packed``, whom ``span`` and ``block`` are for.
    """
    if start_BT is not None:
        return attend_packed(
            q_BTHC, k_BTJC, v_BTJC, start_BT, window=window, span=span, block=block
        )
    return jax.nn.dot_product_attention(
        q_BTHC,
        k_BTJC,
        v_BTJC,
        is_causal=True,
        # cuDNN masks by both lengths or by none.
        query_seq_lengths=length_B if kernel == "cudnn" else None,
        key_value_seq_lengths=length_B,
        local_window_size=(window - 1, 0) if window else None,
        implementation=kernel,
    )


def choose_queries(platform: str) -> int:
    """How many queries a block has: what keeps its scores in a core's cache, or a GPU's kernels
    long beside what it takes to start them."""
    return 512 if platform in ("gpu", "cuda") else 128


def attend_packed(
    q_BTHC: jax.Array,
    k_BTJC: jax.Array,
    v_BTJC: jax.Array,
    start_BT: jax.Array,
    *,
    window: int,
    span: int,
    block: int,
) -> jax.Array:
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


def rope_frequencies(cfg: ModelConfig) -> np.ndarray:
    """Angular frequencies [C/2] in radians a position (RoFormer, arXiv 2104.09864, eq. 15).

    A constant, rounded where PyTorch rounds: at position 2,500 one last bit of a frequency is
    1.5e-4 radians.
    """
    exponent = np.arange(0, cfg.head_dim, 2, dtype=np.float32) / np.float32(cfg.head_dim)
    freq = np.float32(1) / np.power(cfg.rope_theta, exponent, dtype=np.float64).astype(np.float32)
    if cfg.rope_scaling is None:
        return freq
    s = cfg.rope_scaling
    wavelength = np.float32(2 * np.pi) / freq
    ratio = s.original_max_position / wavelength
    smooth = (ratio - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
    smooth = np.clip(smooth, 0, 1)
    return (1 - smooth) * freq / s.factor + smooth * freq


def rotate(x_BTHC: jax.Array, angle_BTc: jax.Array) -> jax.Array:
    """Rotate channel pairs (c, c + C/2) by ``angle`` (radians), in float32."""
    first, second = jnp.split(x_BTHC.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angle_BTc)[:, :, None], jnp.sin(angle_BTc)[:, :, None]
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x_BTHC.dtype)
