"""FLOPs of a model by arithmetic: of a token, of a text.

Counted are products with weights, scores and mixtures of attention; not norms, softmax, sampling.
Tokens see all before them: a window (Mistral's) is not taken off. ``adapter`` is the size of one
beside a frozen base, 0: there is none. ``square``: attention is XLA's, which scores every token of
a row against all of it and masks; else only against what it sees.
"""

from __future__ import annotations

from collections.abc import Iterable

from waltzjax.model.architecture import ModelConfig


def layer_weights(cfg: ModelConfig) -> int:
    """Weights of all layers that are multiplied: no norms, no biases."""
    heads = (2 * cfg.heads + 2 * cfg.kv_heads) * cfg.head_dim
    return cfg.layers * (cfg.width * heads + 3 * cfg.width * cfg.mlp_width)


def head_weights(cfg: ModelConfig) -> int:
    """Weights of the unembedding, or of the embedding table, which is looked up, not multiplied."""
    return cfg.vocab_size * cfg.width


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


def texts_flops(cfg: ModelConfig, lengths: Iterable[int]) -> int:
    """One forward pass over texts of so many tokens each, no padding."""
    return sum(n * forward_flops(cfg, n) for n in lengths)


# From data sheets: dense bfloat16 TFLOP/s of one device, by a part of the kind that jax calls it
# by; the first that fits.
PEAK_TFLOPS = {
    "A100": 312.0, "H100 PCIe": 756.0, "H100 NVL": 835.0, "H100": 989.4, "H200": 989.4,
    "B200": 2250.0, "TPU v4": 275.0, "TPU v5 lite": 197.0, "TPU v5": 459.0, "TPU v6 lite": 918.0,
}  # fmt: skip


def peak_flops(device_kind: str) -> float | None:
    """FLOP/s that a device can do at most, in bfloat16; None: of its kind that is not known."""
    for name, tflops in PEAK_TFLOPS.items():
        if name in device_kind:
            return tflops * 1e12
    return None
