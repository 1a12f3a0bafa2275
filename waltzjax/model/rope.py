"""Rotary positions (RoFormer, arXiv 2104.09864), with the llama3 scaling of frequencies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from waltzjax.model.architecture import ModelConfig


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
