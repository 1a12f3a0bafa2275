"""Attention, and the one place where its kernel is chosen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import Kernel

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


def attend(
    q_BTHC: jax.Array, k_BTJC: jax.Array, v_BTJC: jax.Array, length_B: jax.Array,
    *, window: int, kernel: Kernel,
) -> jax.Array:  # fmt: skip
    """Causal attention within right-padded rows, softmax in float32. What stands in padding is
    arbitrary, but finite: weight gradients multiply it with zero."""
    return jax.nn.dot_product_attention(
        q_BTHC, k_BTJC, v_BTJC, is_causal=True,
        # cuDNN masks by both lengths or by none.
        query_seq_lengths=length_B if kernel == "cudnn" else None,
        key_value_seq_lengths=length_B,
        local_window_size=(window - 1, 0) if window else None,
        implementation=kernel,
    )  # fmt: skip


def attend_cached(
    q_BTHC: jax.Array, k_BSJC: jax.Array, v_BSJC: jax.Array, position_BT: jax.Array, *, window: int
) -> jax.Array:
    """Attention of new tokens at ``position_BT`` over the cached positions up to their own."""
    s = jnp.arange(k_BSJC.shape[1])
    seen_BTS = s <= position_BT[:, :, None]
    if window:
        seen_BTS &= s > position_BT[:, :, None] - window
    return jax.nn.dot_product_attention(
        q_BTHC, k_BSJC, v_BSJC, mask=seen_BTS[:, None], implementation="xla"
    )
