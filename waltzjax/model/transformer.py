"""A Llama-architecture decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

One block serves training (layers stacked and scanned, each rematerialised on request) and
generation (the same block over a key/value cache, layers unrolled). Numbers follow Hugging Face's
``LlamaForCausalLM``, including the llama3 scaling of rotary frequencies.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """The llama3 rule of Llama-3.1: low frequencies are divided by ``factor``."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position: int


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape and numerics of a decoder. ``dtype`` is the compute type, ``param_dtype`` storage."""

    vocab_size: int
    width: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    max_positions: int
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied_embeddings: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: bool = False
    init_scale: float = 0.02


class Cache(NamedTuple):
    """Keys and values of past positions, a tuple over layers of arrays [B, S, J, C]."""

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]


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


class RMSNorm(nn.Module):
    cfg: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), self.cfg.param_dtype)
        x32 = x.astype(jnp.float32)
        x32 *= jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.cfg.norm_eps)
        return (x32 * scale).astype(self.cfg.dtype)


class Linear(nn.Module):
    cfg: ModelConfig
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.normal(self.cfg.init_scale)
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.cfg.param_dtype)
        # Rows are flattened: XLA on CPU contracts one axis six times faster than two (backward).
        flat = x.reshape(-1, x.shape[-1]) @ kernel.astype(self.cfg.dtype)
        return flat.reshape(*x.shape[:-1], self.features)


class Block(nn.Module):
    """One layer. Without a cache: causal attention within the row. With one: the new keys and
    values are written at ``position_BT`` and attention runs over the cached positions."""

    cfg: ModelConfig

    @nn.compact
    def __call__(self, x_BTD, angle_BTc, length_B=None, kv=None, position_BT=None):
        cfg = self.cfg
        B, T, _ = x_BTD.shape
        h_BTD = RMSNorm(cfg, name="attn_norm")(x_BTD)

        def heads(name: str, count: int) -> jax.Array:
            return Linear(cfg, count * cfg.head_dim, name=name)(h_BTD).reshape(B, T, count, -1)

        q_BTHC = rotate(heads("q", cfg.heads), angle_BTc)
        k_BTJC = rotate(heads("k", cfg.kv_heads), angle_BTc)
        v_BTJC = heads("v", cfg.kv_heads)
        if kv is None:
            out_BTHC = jax.nn.dot_product_attention(
                q_BTHC, k_BTJC, v_BTJC, is_causal=True, key_value_seq_lengths=length_B
            )
        else:
            k_BSJC, v_BSJC = (
                _write(c, n, position_BT) for c, n in zip(kv, (k_BTJC, v_BTJC), strict=True)
            )
            kv = (k_BSJC, v_BSJC)
            seen_BTS = jnp.arange(k_BSJC.shape[1]) <= position_BT[:, :, None]
            out_BTHC = jax.nn.dot_product_attention(q_BTHC, k_BSJC, v_BSJC, mask=seen_BTS[:, None])
        x_BTD += Linear(cfg, cfg.width, name="o")(out_BTHC.reshape(B, T, -1))
        h_BTD = RMSNorm(cfg, name="mlp_norm")(x_BTD)
        gate = nn.silu(Linear(cfg, cfg.mlp_width, name="gate")(h_BTD))
        up = Linear(cfg, cfg.mlp_width, name="up")(h_BTD)
        return x_BTD + Linear(cfg, cfg.width, name="down")(gate * up), kv


def _write(cache_BSJC: jax.Array, new_BTJC: jax.Array, position_BT: jax.Array) -> jax.Array:
    row_B1 = jnp.arange(cache_BSJC.shape[0])[:, None]
    return cache_BSJC.at[row_B1, position_BT].set(new_BTJC, mode="drop")


class Transformer(nn.Module):
    """Tokens to final hidden states. The unembedding is left to ``core.logprobs``: a full
    [B, T, V] array is never made in training."""

    cfg: ModelConfig

    @nn.compact
    def __call__(self, token_BT: jax.Array, length_B: jax.Array) -> jax.Array:
        cfg = self.cfg
        init = nn.initializers.normal(cfg.init_scale)
        embed_VD = self.param("embed", init, (cfg.vocab_size, cfg.width), cfg.param_dtype)
        if not cfg.tied_embeddings:
            self.param("unembed", init, (cfg.vocab_size, cfg.width), cfg.param_dtype)
        x_BTD = embed_VD[token_BT].astype(cfg.dtype)
        angle_BTc = jnp.arange(token_BT.shape[1])[None, :, None] * rope_frequencies(cfg)
        block = nn.remat(Block, prevent_cse=False) if cfg.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=cfg.layers,
        )
        x_BTD, _ = stack(cfg, name="layers")(x_BTD, angle_BTc, length_B)
        return RMSNorm(cfg, name="final_norm")(x_BTD)


def init_params(cfg: ModelConfig, key: jax.Array) -> Any:
    """Random parameters: a dict pytree, layer weights stacked on their first axis.

    Query kernels start as copies of their key/value head's key kernels, so that every token first
    attends to its own kind (mimetic initialisation, arXiv 2305.09828): small models learn to look
    things up in their context several times sooner.
    """
    token_BT, length_B = jnp.zeros((1, 1), jnp.int32), jnp.ones((1,), jnp.int32)
    params = Transformer(cfg).init(key, token_BT, length_B)["params"]
    key_LDJC = params["layers"]["k"]["kernel"].reshape(cfg.layers, cfg.width, cfg.kv_heads, -1)
    query_LDHC = jnp.repeat(key_LDJC, cfg.heads // cfg.kv_heads, axis=2)
    params["layers"]["q"]["kernel"] = query_LDHC.reshape(cfg.layers, cfg.width, -1)
    return params


def hidden_states(cfg: ModelConfig, params, token_BT, length_B) -> jax.Array:
    """Final hidden states [B, T, D] of right-padded rows; values beyond a length are arbitrary."""
    return Transformer(cfg).apply({"params": params}, token_BT, length_B)


def unembedding(params) -> jax.Array:
    """The matrix [V, D] whose product with a hidden state gives the logits."""
    return params["unembed"] if "unembed" in params else params["embed"]


def empty_cache(cfg: ModelConfig, rows: int, positions: int) -> Cache:
    shape = (rows, positions, cfg.kv_heads, cfg.head_dim)
    zeros = partial(jnp.zeros, shape, cfg.dtype)
    return Cache(*(tuple(zeros() for _ in range(cfg.layers)) for _ in range(2)))


def unstack_layers(cfg: ModelConfig, params) -> Any:
    """Parameters with ``layers`` as a list: slice once, outside a decoding loop, not in it."""
    layers = [jax.tree.map(lambda a, i=i: a[i], params["layers"]) for i in range(cfg.layers)]
    return {**params, "layers": layers}


def cached_hidden_states(cfg: ModelConfig, params, token_BT, position_BT, cache: Cache):
    """Hidden states [B, T, D] of new tokens at ``position_BT``, given the cache; the new cache.

    ``params`` come from ``unstack_layers``. A position beyond the cache is not written.
    """
    x_BTD = params["embed"][token_BT].astype(cfg.dtype)
    angle_BTc = position_BT[:, :, None] * rope_frequencies(cfg)
    keys, values = [], []
    for layer, *kv in zip(params["layers"], cache.k, cache.v, strict=True):
        x_BTD, (k, v) = Block(cfg).apply(
            {"params": layer}, x_BTD, angle_BTc, kv=kv, position_BT=position_BT
        )
        keys.append(k)
        values.append(v)
    x_BTD = RMSNorm(cfg).apply({"params": params["final_norm"]}, x_BTD)
    return x_BTD, Cache(tuple(keys), tuple(values))
