"""The decoder of Llama, Qwen2, Qwen3 and Mistral: RMSNorm, rotary positions, grouped-query
attention, SwiGLU.

One block serves training (layers stacked and scanned, each rematerialised on request) and
generation (the same block over a key/value cache, ``model/decode.py``). Numbers follow
transformers' classes of those names.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from waltzjax.model.architecture import ModelConfig, Remat
from waltzjax.model.attention import attend, rope_frequencies, rotate
from waltzjax.model.paged_attention import PageView, attend_pages, write_pages
from waltzjax.model.sharding import keep_heads, keep_rows
from waltzjax.model.zero import zero_matmul

PRODUCT = "product with a weight"  # what remat "dots" keeps


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
    bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.normal(self.cfg.init_scale)
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.cfg.param_dtype)
        # Rows are flattened: XLA on CPU contracts one axis six times faster than two (backward).
        rows = x.reshape(-1, x.shape[-1])
        if self.cfg.mesh is None:
            flat = rows @ kernel.astype(self.cfg.dtype)
        else:
            flat = zero_matmul(self.cfg.mesh, f"layers/{self.name}/kernel", rows, kernel)
        if self.has_variable("params", "lora_a"):
            flat += self._low_rank(rows)
        if self.bias:
            zeros = nn.initializers.zeros
            bias = self.param("bias", zeros, (self.features,), self.cfg.param_dtype)
            flat += bias.astype(self.cfg.dtype)
        flat = checkpoint_name(flat, PRODUCT)
        return flat.reshape(*x.shape[:-1], self.features)

    def _low_rank(self, rows: jax.Array) -> jax.Array:
        """The adapter's part (LoRA, arXiv 2106.09685, eq. 3), where ``model.lora`` attached one."""
        a, b = (self.get_variable("params", n).astype(self.cfg.dtype) for n in ("lora_a", "lora_b"))
        if self.has_rng("dropout"):
            rows = nn.Dropout(self.cfg.lora_dropout, deterministic=False)(rows)
        return (rows @ a) @ b


class Block(nn.Module):
    """One layer. Given ``length_B``: causal attention within the rows, or within their texts. Given
    a layer's pages of keys and values, ``kv``: the new ones are written where ``view`` says,
    attention runs over what is cached."""

    cfg: ModelConfig

    @nn.compact
    def __call__(
        self, x_BTD, angle_BTc, length_B=None, start_BT=None, kv=None, view: PageView | None = None
    ):
        cfg = self.cfg
        B, T, _ = x_BTD.shape
        x_BTD = keep_rows(cfg.mesh, x_BTD)
        h_BTD = RMSNorm(cfg, name="attn_norm")(x_BTD)

        def heads(name: str, count: int) -> jax.Array:
            linear = Linear(cfg, count * cfg.head_dim, bias=cfg.qkv_bias, name=name)
            return linear(h_BTD).reshape(B, T, count, -1)

        q_BTHC, k_BTJC, v_BTJC = heads("q", cfg.heads), *(heads(n, cfg.kv_heads) for n in "kv")
        if cfg.qk_norm:
            q_BTHC = RMSNorm(cfg, name="q_norm")(q_BTHC)
            k_BTJC = RMSNorm(cfg, name="k_norm")(k_BTJC)
        q_BTHC, k_BTJC = rotate(q_BTHC, angle_BTc), rotate(k_BTJC, angle_BTc)
        if view is None:
            q_BTHC, k_BTJC, v_BTJC = (
                keep_heads(cfg.mesh, x, cfg.kv_heads) for x in (q_BTHC, k_BTJC, v_BTJC)
            )
            out_BTHC = attend(
                q_BTHC,
                k_BTJC,
                v_BTJC,
                length_B,
                start_BT,
                window=cfg.window,
                kernel=cfg.attention,
                span=cfg.longest_text,
                block=cfg.query_block,
            )
        else:
            kv = write_pages(kv[0], kv[1], k_BTJC, v_BTJC, view)
            out_BTHC = attend_pages(
                q_BTHC, kv[0], kv[1], view, window=cfg.window, visit=cfg.page_visit
            )
        x_BTD += Linear(cfg, cfg.width, name="o")(out_BTHC.reshape(B, T, -1))
        h_BTD = RMSNorm(cfg, name="mlp_norm")(x_BTD)
        gate = nn.silu(Linear(cfg, cfg.mlp_width, name="gate")(h_BTD))
        up = Linear(cfg, cfg.mlp_width, name="up")(h_BTD)
        return x_BTD + Linear(cfg, cfg.width, name="down")(gate * up), kv


def _rematerialised(remat: Remat) -> Any:
    """``Block``, whose backward pass computes anew what ``remat`` says."""
    if remat == "none":
        return Block
    kept = jax.checkpoint_policies.save_only_these_names(*([PRODUCT] if remat == "dots" else []))
    return nn.remat(Block, prevent_cse=False, policy=kept)


class Transformer(nn.Module):
    """Tokens to final hidden states. The unembedding is left to ``core.logprobs``: a full
    [B, T, V] array is never made in training."""

    cfg: ModelConfig

    @nn.compact
    def __call__(
        self, token_BT: jax.Array, length_B: jax.Array, start_BT: jax.Array | None = None
    ) -> jax.Array:
        cfg = self.cfg
        init = nn.initializers.normal(cfg.init_scale)
        embed_VD = self.param("embed", init, (cfg.vocab_size, cfg.width), cfg.param_dtype)
        if not cfg.tied_embeddings:
            self.param("unembed", init, (cfg.vocab_size, cfg.width), cfg.param_dtype)
        x_BTD = keep_rows(cfg.mesh, embed_VD[token_BT].astype(cfg.dtype))
        position_BT = jnp.arange(token_BT.shape[1])[None] - (0 if start_BT is None else start_BT)
        angle_BTc = position_BT[:, :, None] * rope_frequencies(cfg)
        stack = nn.scan(
            _rematerialised(cfg.remat),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast, nn.broadcast),
            length=cfg.layers,
        )
        x_BTD, _ = stack(cfg, name="layers")(x_BTD, angle_BTc, length_B, start_BT)
        return RMSNorm(cfg, name="final_norm")(keep_rows(cfg.mesh, x_BTD))


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


def hidden_states(
    cfg: ModelConfig, params, token_BT, length_B, dropout_key=None, start_BT=None
) -> jax.Array:
    """Final hidden states [B, T, D] of right-padded rows; values beyond a length are arbitrary.

    ``start_BT``: see ``types.PolicyBatch``; positions are counted from there.
    ``dropout_key`` turns on the dropout of adapters, ``cfg.lora_dropout``.
    """
    rngs = {"dropout": dropout_key} if cfg.lora_dropout and dropout_key is not None else {}
    return Transformer(cfg).apply({"params": params}, token_BT, length_B, start_BT, rngs=rngs)


def unembedding(params) -> jax.Array:
    """The matrix [V, D] whose product with a hidden state gives the logits."""
    return params["unembed"] if "unembed" in params else params["embed"]
