"""The work of a model, by arithmetic: FLOPs and bytes, of a token and of a step.

Counted are products with weights, scores and mixtures of attention; not norms, softmax, sampling.
Tokens see all before them: a window (Mistral's) is not taken off. ``adapter`` is the size of one
that is trained beside a frozen base, 0: there is none. ``square``: attention is XLA's, which scores
every token of a row against all of it and masks; else only against what it sees. ``packed``: rows
hold several texts, and the backward pass scores anew, whatever else is kept (packed_attention).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.batching import bucket
from waltzjax.data.policy_packing import microbatch_bucket
from waltzjax.engine.engine import Engine
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_kernel, choose_queries
from waltzjax.model.flops import (
    attention_flops,
    forward_flops,
    head_weights,
    layer_weights,
    row_attention_flops,
)
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.model.sharding import row_groups
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import make_engine
from waltzjax.run.trainable import adapter_form
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE

# From NVIDIA's data sheets, SXM: dense bfloat16 TFLOP/s; GB/s.
PEAK_TFLOPS = {"A100": 312.0, "H100": 989.4, "H200": 989.4, "B200": 2250.0}
PEAK_GB_PER_S = {"A100": 2039.0, "H100": 3350.0, "H200": 4800.0, "B200": 8000.0}


def adapter_weights(cfg: ModelConfig, form: Lora) -> int:
    made = jax.eval_shape(lambda: init_adapter(cfg, form, jax.random.key(0)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(made))


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


class Work(NamedTuple):
    """A part of a step: all turns of a role, both models' log-probs, all updates."""

    role: str
    phase: str  # prefill | decode | log-probs | update
    flops: float  # executed, with padding and what remat computes anew
    bytes: float


def update_shape(config: ConfigDict, mesh: Mesh, prompt_tokens: int) -> tuple[int, int, int]:
    """(microbatches, rows of each, tokens of a row) of the last stage's update."""
    kind, roll, groups = STAGES[config.stages[-1]].kind, config.rollout, row_groups(mesh)
    sft = kind == SUPERVISE
    if kind == PREFER:
        d = config.dpo
        pairs = bucket(d.batch, d.microbatches * groups) // d.microbatches
        return d.microbatches, 2 * pairs, bucket(d.max_tokens, roll.pad_to_multiple_of)
    section, batch = (config.sft, config.sft.batch) if sft else (config.rl, roll.batch * roll.group)
    longest, budget = prompt_tokens + roll.max_new_tokens, config.rl.token_budget
    if budget and not sft:
        packed = -(-batch // max(budget // longest, 1))
        return microbatch_bucket(-(-packed // groups)), groups, budget
    rows = bucket(batch, section.microbatches * groups) // section.microbatches
    tokens = bucket(longest, roll.pad_to_multiple_of)
    return section.microbatches, rows, config.sft.length if sft else tokens


def step_work(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, prompt_tokens: int
) -> Iterator[Work]:
    """One step of the last stage of ``config``, on each device: one part after the other, in the
    worst case, where every turn has ``prompt_tokens`` of a prompt and nothing ends early.

    Raises:
      ValueError: the engine has no room for such a turn.
    """
    stage, tensor = STAGES[config.stages[-1]], mesh.shape["tensor"]
    engine = make_engine(config, cfg, mesh, (0,), None)
    _check_room(config, engine, prompt_tokens)
    adapter = adapter_weights(cfg, adapter_form(config)) if config.lora.rank else 0
    for role, count in stage.turns(config).items():
        for name, flops, read in _turn(config, engine, prompt_tokens, adapter):
            if count:
                yield Work(role, name, count * flops / tensor, count * read / tensor)

    kernel = choose_kernel(config.model.attention, "gpu", cfg.dtype, cfg.head_dim)
    reinforces = stage.kind == REINFORCE
    packed = stage.kind == SUPERVISE or (reinforces and config.rl.token_budget > 0)
    square = packed or kernel == "xla"
    microbatches, rows, tokens = update_shape(config, mesh, prompt_tokens)
    each = microbatches * rows * tokens / mesh.size  # tokens of a device
    # Rows that hold several texts are scored by blocks: see model.packed_attention.
    reach = cfg.longest_text + choose_queries("gpu") if packed and cfg.longest_text else tokens
    tokens = min(tokens, reach)
    weights = weight_bytes(cfg, adapter) / tensor  # of one device
    tables = 1 if cfg.tied_embeddings else 2
    whole = layer_weights(cfg) + tables * head_weights(cfg)
    trained = (adapter or whole) / (mesh.shape["fsdp"] * tensor)
    for role in stage.roles(config):
        updates, models = 1, 0.0  # whose log-probs a step computes besides its update
        if stage.kind == PREFER:  # the reference's, all along or once for all epochs
            models = {"live": 1, "cached": 1 / config.dpo.epochs, "none": 0}[config.dpo.reference]
        elif reinforces:
            updates, models = config.rl.updates_per_rollout, 2  # the policy's, the reference's
        if models:
            forward = each * forward_flops(cfg, tokens, adapter, square=square)
            yield Work(role, "log-probs", models * forward, models * microbatches * weights)
        # Weights are read forward, backward and to compute anew. In float32: each microbatch reads
        # and writes the gradient; AdamW reads it, the weight and two moments, and writes three.
        passes = 3 if cfg.remat == "full" else 2
        moved = microbatches * (passes * weights + 8 * trained) + 28 * trained
        flops = each * update_flops(cfg, tokens, adapter, square=square, packed=packed)
        yield Work(role, "update", updates * flops, updates * moved)


def _check_room(config: ConfigDict, engine: Engine, prompt_tokens: int) -> None:
    new, longest = config.rollout.max_new_tokens, engine.longest
    if not 1 <= prompt_tokens <= longest - new:
        allowed = f"are 1 to {longest - new}" if new < longest else "is none"
        raise ValueError(
            f"--prompt_tokens: got {prompt_tokens}, allowed {allowed}: {longest} less "
            f"config.rollout.max_new_tokens = {new}; the model has {engine.cfg.max_positions} "
            "positions, a device's part of config.rollout.cache_tokens is "
            f"{engine.pages * engine.page_size}; plan for shorter prompts, allow fewer new tokens "
            "or a larger cache"
        )


def _turn(
    config: ConfigDict, engine: Engine, prompt_tokens: int, adapter: int
) -> Iterator[tuple[str, float, float]]:
    """(phase, FLOPs, bytes read) of one turn of all episodes, in a group of devices: in waves of as
    many rows as it has slots and pages for."""
    cfg, new = engine.cfg, config.rollout.max_new_tokens
    weights, asked = weight_bytes(cfg, adapter), config.rollout.batch * config.rollout.group
    rows = -(-asked // engine.groups)
    room = engine.pages // -(-(prompt_tokens + new) // engine.page_size)
    waves = -(-rows // min(engine.slots, room))
    head, prompt = head_weights(cfg), rows * prompt_tokens  # prefill makes no logits
    calls = -(-prompt // (engine.prefill_widths[0] * engine.page_size))
    flops = prompt * (forward_flops(cfg, prompt_tokens, adapter) - 2 * head)
    yield "prefill", flops, calls * (weights - head * jnp.dtype(cfg.dtype).itemsize)
    multiplied = layer_weights(cfg) + head + adapter
    seen = rows * seen_tokens(prompt_tokens, new)
    read = decode_bytes(cfg, rows, prompt_tokens, new, adapter)
    flops = 2 * multiplied * rows * new + attention_flops(cfg, seen)
    yield "decode", flops, read + (waves - 1) * new * weights
