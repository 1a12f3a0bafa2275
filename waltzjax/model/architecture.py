"""The description of a decoder: its shape, its numerics, and what tells the families apart."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jax.sharding import Mesh

Kernel = Literal["xla", "cudnn"]  # cudnn: flash attention
Remat = Literal["none", "full", "dots"]  # what of a layer the backward pass computes anew


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
    model_type: str = "llama"  # as in config.json: llama | mistral | qwen2 | qwen3
    window: int = 0  # a token sees itself and window - 1 before it; 0: all before it
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: Remat = "none"
    attention: Kernel = "xla"  # chosen by model/attention.py
    init_scale: float = 0.02
    mesh: Mesh | None = None  # train with rows split and weights gathered; None: left to XLA
    longest_text: int = 0  # of those that rows of several hold, tokens; 0: as long as the row
    query_block: int = 128  # queries that attention within such rows scores at a time
    page_visit: int = 32  # pages of the cache that generation's attention reads at a time
    lora_dropout: float = 0.0  # on the input of adapters, in training alone

    @property
    def qkv_bias(self) -> bool:
        """Query, key and value projections have biases."""
        return self.model_type == "qwen2"

    @property
    def qk_norm(self) -> bool:
        """Query and key heads are normalised before their rotation."""
        return self.model_type == "qwen3"
