"""The work of a model, by arithmetic: FLOPs and bytes, of a token.

Counted are products with weights, scores and mixtures of attention; not norms, softmax, sampling.
Tokens see all before them: a window (Mistral's) is not taken off. ``adapter`` is the size of one
that is trained beside a frozen base, 0: there is none. ``square``: attention is XLA's, which scores
every token of a row against all of it and masks; else only against what it sees. ``packed``: rows
hold several texts, and the backward pass scores anew, whatever else is kept (packed_attention).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.lora import Lora, init_adapter


def layer_weights(cfg: ModelConfig) -> int:
    """Weights of all layers that are multiplied: no norms, no biases."""
    heads = (2 * cfg.heads + 2 * cfg.kv_heads) * cfg.head_dim
    return cfg.layers * (cfg.width * heads + 3 * cfg.width * cfg.mlp_width)


def head_weights(cfg: ModelConfig) -> int:
    """Weights of the unembedding, or of the embedding table, which is looked up, not multiplied."""
    return cfg.vocab_size * cfg.width


def adapter_weights(cfg: ModelConfig, form: Lora) -> int:
    made = jax.eval_shape(lambda: init_adapter(cfg, form, jax.random.key(0)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(made))


def attention_flops(cfg: ModelConfig, seen: int) -> int:
    """Forward, of tokens that see ``seen`` tokens, added up over them."""
    return 4 * cfg.layers * cfg.heads * cfg.head_dim * seen


def row_attention_flops(cfg: ModelConfig, tokens: int, square: bool) -> int:
    """Forward, of one token in a row of ``tokens``, half of which it sees on average."""
    return attention_flops(cfg, tokens) // (1 if square else 2)


def forward_flops(cfg: ModelConfig, tokens: int, adapter: int = 0, *, square: bool = False) -> int:
    """Forward, of one token in a row of ``tokens``: with N weights that are multiplied, L layers of
    H heads of C channels, 2 N + 2 L H C T, and twice the latter where ``square``."""
    multiplied = layer_weights(cfg) + head_weights(cfg) + adapter
    return 2 * multiplied + row_attention_flops(cfg, tokens, square)


def training_flops(cfg: ModelConfig, tokens: int) -> int:
    """Forward and backward, of one token in a row of ``tokens``; nothing computed anew, every
    weight trained: 6 N + 6 L H C T (PaLM, arXiv 2204.02311, appendix B, but attention causal)."""
    return 3 * forward_flops(cfg, tokens)


def update_flops(
    cfg: ModelConfig, tokens: int, adapter: int = 0, *, square: bool = False, packed: bool = False
) -> int:
    """The FLOPs that the update executes for one token in a row of ``tokens``: forward and
    backward, without the gradients of a frozen base's weights; and anew the logits, with
    ``cfg.remat`` "dots" also attention, with "full" all of a forward pass but each layer's last
    product, which no gradient needs."""
    forward, head = forward_flops(cfg, tokens, adapter, square=square), 2 * head_weights(cfg)
    frozen = 2 * layer_weights(cfg) + head if adapter else 0
    attention = row_attention_flops(cfg, tokens, square)
    last = 2 * cfg.layers * cfg.mlp_width * cfg.width
    anew = {"none": head, "dots": head + attention, "full": forward - last}[cfg.remat]
    return 3 * forward - frozen + anew + (attention // 2 if packed else 0)


def weight_bytes(cfg: ModelConfig, adapter: int = 0) -> int:
    """The bytes of all weights that are multiplied, in the compute type."""
    numbers = layer_weights(cfg) + head_weights(cfg) + adapter
    return numbers * jnp.dtype(cfg.dtype).itemsize


def token_bytes(cfg: ModelConfig) -> int:
    """Bytes of the keys and values of one token."""
    return 2 * cfg.layers * cfg.kv_heads * cfg.head_dim * jnp.dtype(cfg.dtype).itemsize


def seen_tokens(first: int, steps: int) -> int:
    """By a row that draws ``steps`` tokens and has ``first`` at the first of them, itself too."""
    return sum(range(first, first + steps))


def decode_bytes(cfg: ModelConfig, rows: int, first: int, steps: int, adapter: int = 0) -> int:
    """Read for ``steps`` tokens of each of ``rows`` rows: every step all weights, and the keys and
    values of all that the rows see."""
    cached = rows * token_bytes(cfg) * seen_tokens(first, steps)
    return steps * weight_bytes(cfg, adapter) + cached
