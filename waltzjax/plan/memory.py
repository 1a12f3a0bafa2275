"""The memory of a stage by arithmetic: to choose what to compile, and where that takes too long.

Parameters, optimisers and the cache are counted; what an update has besides is estimated:
gradients, a gathered layer and the unembedding in float32, as CPUs compile them, kept activations
and scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.sharding import row_groups
from waltzjax.plan.flops import head_weights, layer_weights, token_bytes
from waltzjax.plan.forecast import Load
from waltzjax.plan.traffic import axes
from waltzjax.plan.work import adapter_size, update_shape
from waltzjax.recipes import STAGES
from waltzjax.stages.stage import REINFORCE, SUPERVISE
from waltzjax.types import POLICY

GIB = 2**30
PROGRAM_BYTES = 1.5 * GIB  # of decoding; what compiled plans of 7B and 8B have


def estimate(config: ConfigDict, cfg: ModelConfig, mesh: Mesh, load: Load) -> int:
    """The peak of a device, bytes, by arithmetic."""
    sizes = parts(config, cfg, mesh, load)
    return int(sizes["stays"] + max(sizes["generation"], sizes["update"]))


def parts(config: ConfigDict, cfg: ModelConfig, mesh: Mesh, load: Load) -> Mapping[str, float]:
    """Bytes of a device: what stays all along, and beside it in a rollout and in an update."""
    stage, shape = STAGES[config.stages[-1]], axes(mesh.shape)
    split, roles = shape.fsdp * shape.tensor, stage.roles(config)
    tables = 1 if cfg.tied_embeddings else 2
    whole, adapter = layer_weights(cfg) + tables * head_weights(cfg), adapter_size(config, cfg)
    kept, size = jnp.dtype(cfg.param_dtype).itemsize, jnp.dtype(cfg.dtype).itemsize
    alone = roles == (POLICY,)
    starts = 0 if alone else sum(bool(config.model[role]) for role in ("conversation", "feedback"))
    starts = (1 if alone else 2) if adapter else starts
    trained = 4 * (adapter or whole) / split
    stays = whole * kept / split + trained * (starts + 3 * len(roles))
    if load.collects:
        stays = whole * kept / split
    models = 1 if alone or adapter or load.collects else 2
    cached = config.rollout.cache_tokens / row_groups(mesh) * token_bytes(cfg)
    cached /= shape.tensor if cfg.kv_heads % shape.tensor == 0 else 1
    generation = models * (whole + 2 * adapter) * size / shape.tensor + cached + PROGRAM_BYTES
    update = 0.0 if load.collects else _update_bytes(config, cfg, mesh, load, trained)
    generates = stage.kind == REINFORCE or load.collects
    return {"stays": stays, "generation": generation * generates, "update": update}


def _update_bytes(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, load: Load, trained: float
) -> float:
    shape, stage = axes(mesh.shape), STAGES[config.stages[-1]]
    _, rows, tokens = update_shape(config, mesh, load.prompt_tokens)
    rows, size = rows // row_groups(mesh), jnp.dtype(cfg.dtype).itemsize
    each, heads = rows * tokens, cfg.heads * cfg.head_dim
    products = (2 * cfg.kv_heads * cfg.head_dim + heads + 2 * cfg.mlp_width) / shape.tensor
    # Over tensor CPUs sum in float32: products that are summed are kept, and worked on, as that.
    summed = shape.tensor > 1
    kept = {"full": cfg.width, "dots": (3 + 2 * summed) * cfg.width + products}
    kept["none"] = 2 * kept["dots"]
    activations = cfg.layers * each * kept[cfg.remat] * size + 96 * each * cfg.width * summed
    layer = 8 * layer_weights(cfg) / cfg.layers / shape.tensor
    head = 8 * head_weights(cfg) / shape.tensor + 4 * each * config.model.logit_chunk
    packed = stage.kind == SUPERVISE or (stage.kind == REINFORCE and config.rl.token_budget > 0)
    scored = cfg.query_block if packed else tokens  # XLA's attention, as CPUs compile it
    scores = 8 * each * scored * cfg.heads / shape.tensor
    return trained * (1 if config.lora.rank else 1.5) + activations + layer + head + scores
