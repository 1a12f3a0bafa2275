"""Low-rank adapters (LoRA, arXiv 2106.09685): trained beside one frozen base, which is held once.

An adapter is a tree of its own: ``{"layers": {"q": {"lora_a": [L, I, R], "lora_b": [L, R, O]}}}``.
``attach`` lays it beside the base's kernels: the tree it returns is what every forward pass takes,
and shares the base's arrays. The base alone is the adapter turned off: the reference policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import ModelConfig
from waltzjax.types import MATRICES


class Lora(NamedTuple):
    """rank r; alpha: the adapter's part is scaled by alpha / r; targets: some of MATRICES."""

    rank: int
    alpha: float
    targets: tuple[str, ...]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def init_adapter(cfg: ModelConfig, lora: Lora, key: jax.Array) -> dict[str, Any]:
    """A fresh adapter, float32: A uniform in ±1/sqrt(in), as PEFT draws it, B zero: no change."""
    attention, kv = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
    sizes = {
        "q": (cfg.width, attention),
        "k": (cfg.width, kv),
        "v": (cfg.width, kv),
        "o": (attention, cfg.width),
        "gate": (cfg.width, cfg.mlp_width),
        "up": (cfg.width, cfg.mlp_width),
        "down": (cfg.mlp_width, cfg.width),
    }
    layers = {}
    for index, name in enumerate(MATRICES):
        if name in lora.targets:
            n_in, n_out = sizes[name]
            shape, bound = (cfg.layers, n_in, lora.rank), n_in**-0.5
            a_LIR = jax.random.uniform(
                jax.random.fold_in(key, index), shape, minval=-bound, maxval=bound
            )
            layers[name] = {"lora_a": a_LIR, "lora_b": jnp.zeros((cfg.layers, lora.rank, n_out))}
    return {"layers": layers}


def attach(base: dict[str, Any], adapter: dict[str, Any], scale: float) -> dict[str, Any]:
    """Parameters with the adapter beside its kernels; the base's arrays are shared, not copied."""
    layers = dict(base["layers"])
    for name, low_rank in adapter["layers"].items():
        scaled = {"lora_a": low_rank["lora_a"], "lora_b": low_rank["lora_b"] * scale}
        layers[name] = {**layers[name], **scaled}
    return {**base, "layers": layers}


def merge(base: dict[str, Any], adapter: dict[str, Any], scale: float) -> dict[str, Any]:
    """Parameters of the base's form whose kernels hold the adapter: W + scale A B, added in
    float32 and kept in the base's type."""
    layers = dict(base["layers"])
    for name, low_rank in adapter["layers"].items():
        kernel = layers[name]["kernel"]
        change = jnp.einsum(
            "lir,lro->lio", low_rank["lora_a"], low_rank["lora_b"], precision="highest"
        )
        merged = (kernel.astype(jnp.float32) + scale * change).astype(kernel.dtype)
        layers[name] = {**layers[name], "kernel": merged}
    return {**base, "layers": layers}
