"""Attention, and the one place where its kernel is chosen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import Kernel
from waltzjax.model.packed_attention import attend_packed

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
    q_BTHC: jax.Array, k_BTJC: jax.Array, v_BTJC: jax.Array, length_B: jax.Array,
    start_BT: jax.Array | None = None,
    *, window: int, kernel: Kernel, span: int = 0, block: int = 128,
) -> jax.Array:  # fmt: skip
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
        q_BTHC, k_BTJC, v_BTJC, is_causal=True,
        # cuDNN masks by both lengths or by none.
        query_seq_lengths=length_B if kernel == "cudnn" else None,
        key_value_seq_lengths=length_B,
        local_window_size=(window - 1, 0) if window else None,
        implementation=kernel,
    )  # fmt: skip
