"""Rotary positions (RoFormer, arXiv 2104.09864), with the llama3 scaling of frequencies."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import ModelConfig


def rope_frequencies(cfg: ModelConfig) -> jax.Array:
    """Angular frequencies [C/2] in radians a position (RoFormer, arXiv 2104.09864, eq. 15)."""
    exponent = jnp.arange(0, cfg.head_dim, 2, dtype=jnp.float32) / cfg.head_dim
    freq = cfg.rope_theta**-exponent
    if cfg.rope_scaling is None:
        return freq
    s = cfg.rope_scaling
    wavelength = 2 * jnp.pi / freq
    ratio = s.original_max_position / wavelength
    smooth = (ratio - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
    smooth = jnp.clip(smooth, 0.0, 1.0)
    return (1 - smooth) * freq / s.factor + smooth * freq


def rotate(x_BTHC: jax.Array, angle_BTc: jax.Array) -> jax.Array:
    """Rotate channel pairs (c, c + C/2) by ``angle`` (radians), in float32."""
    first, second = jnp.split(x_BTHC.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angle_BTc)[:, :, None], jnp.sin(angle_BTc)[:, :, None]
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x_BTHC.dtype)
