"""The work of a step, by arithmetic: FLOPs, bytes and traffic of its parts, on each device.

``square``, ``packed``, ``adapter``: see ``model.flops``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.preferences import read_arms
from waltzjax.data.batching import bucket
from waltzjax.data.policy_packing import microbatch_bucket
from waltzjax.engine.engine import Engine
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_kernel, choose_queries
from waltzjax.model.flops import (
    adapter_weights,
    attention_flops,
    decode_bytes,
    forward_flops,
    head_weights,
    layer_weights,
    seen_tokens,
    update_flops,
    weight_bytes,
)
from waltzjax.model.lora import Lora
from waltzjax.model.sharding import row_groups
from waltzjax.plan.traffic import (
    Traffic,
    axes,
    decode_traffic,
    forward_traffic,
    prefill_traffic,
    update_traffic,
    weights_traffic,
)
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import make_engine
from waltzjax.run.trainable import adapter_form
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE
from waltzjax.types import POLICY


class Work(NamedTuple):
    """A part of a step on one device: all turns of a role, both models' log-probs, all updates."""

    role: str
    phase: str  # weights | prefill | decode | log-probs | update
    flops: float  # executed, with padding and what remat computes anew
    bytes: float  # of the device's memory
    traffic: tuple[Traffic, ...] = ()  # between devices


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
    yield from generation_work(config, cfg, mesh, prompt_tokens)
    yield from learning_work(config, cfg, mesh, prompt_tokens)


def generation_work(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, prompt_tokens: int
) -> Iterator[Work]:
    """The rollout of a step, see ``step_work``; ``mesh`` is the one that generates. Nothing for a
    stage that rolls nothing out, whatever room there is."""
    turns, tensor = STAGES[config.stages[-1]].turns(config), mesh.shape["tensor"]
    if not any(turns.values()):
        return
    engine = make_engine(config, cfg, mesh, (0,), None)
    _check_room(config, engine, prompt_tokens)
    adapter = adapter_size(config, cfg)
    for number, (role, count) in enumerate(turns.items()):
        if not count:
            continue
        if not adapter or not number:  # adapters share their base, which is gathered once
            yield _weights(cfg, mesh, role)
        asked = config.rollout.batch * config.rollout.group
        for name, flops, read, moved in _turn(config, engine, asked, prompt_tokens, adapter):
            traffic = tuple(_times(count, moved))
            yield Work(role, name, count * flops / tensor, count * read / tensor, traffic)


def collecting_work(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, prompt_tokens: int, questions: int
) -> Iterator[Work]:
    """The answers of every arm of ``config.collect.arms`` to ``questions``, see ``step_work``."""
    engine, tensor = make_engine(config, cfg, mesh, (0,), None), mesh.shape["tensor"]
    _check_room(config, engine, prompt_tokens)
    yield _weights(cfg, mesh, POLICY)
    asked = questions * len(read_arms(config.collect.arms))
    for name, flops, read, moved in _turn(config, engine, asked, prompt_tokens, 0):
        yield Work(POLICY, name, flops / tensor, read / tensor, tuple(moved))


def _weights(cfg: ModelConfig, mesh: Mesh, role: str) -> Work:
    """The weights as generation reads them: read from where training has them, and written."""
    tables = 1 if cfg.tied_embeddings else 2
    numbers = layer_weights(cfg) + tables * head_weights(cfg)
    kept = (
        numbers * jnp.dtype(cfg.param_dtype).itemsize / (mesh.shape["fsdp"] * mesh.shape["tensor"])
    )
    made = numbers * jnp.dtype(cfg.dtype).itemsize / mesh.shape["tensor"]
    traffic = tuple(weights_traffic(cfg, axes(mesh.shape), numbers))
    return Work(role, "weights", 0.0, kept + made, traffic)


def adapter_size(config: ConfigDict, cfg: ModelConfig) -> int:
    """Weights of the adapters that ``config`` trains beside a frozen base; 0: there is none."""
    return _form_size(cfg, adapter_form(config)) if config.lora.rank else 0


@cache
def _form_size(cfg: ModelConfig, form: Lora) -> int:
    return adapter_weights(cfg, form)


def learning_work(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, prompt_tokens: int
) -> Iterator[Work]:
    """The log-probs and updates of a step, see ``step_work``."""
    stage, tensor, adapter = (
        STAGES[config.stages[-1]],
        mesh.shape["tensor"],
        adapter_size(config, cfg),
    )
    kernel = choose_kernel(config.model.attention, "gpu", cfg.dtype, cfg.head_dim)
    reinforces = stage.kind == REINFORCE
    packed = stage.kind == SUPERVISE or (reinforces and config.rl.token_budget > 0)
    square = packed or kernel == "xla"
    microbatches, rows, tokens = update_shape(config, mesh, prompt_tokens)
    each = microbatches * rows * tokens / mesh.size  # tokens of a device
    moves = (cfg, axes(mesh.shape), microbatches, rows * tokens // row_groups(mesh), adapter)
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
            traffic = tuple(_times(models, forward_traffic(*moves)))
            yield Work(
                role, "log-probs", models * forward, models * microbatches * weights, traffic
            )
        # Weights are read forward, backward and to compute anew. In float32: each microbatch reads
        # and writes the gradient; AdamW reads it, the weight and two moments, and writes three.
        passes = 3 if cfg.remat == "full" else 2
        moved = microbatches * (passes * weights + 8 * trained) + 28 * trained
        flops = each * update_flops(cfg, tokens, adapter, square=square, packed=packed)
        traffic = tuple(_times(updates, update_traffic(*moves)))
        yield Work(role, "update", updates * flops, updates * moved, traffic)


def _times(count: float, traffic: Sequence[Traffic]) -> Iterator[Traffic]:
    for each in traffic:
        yield each._replace(bytes=count * each.bytes, times=count * each.times)


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
    config: ConfigDict, engine: Engine, asked: int, prompt_tokens: int, adapter: int
) -> Iterator[tuple[str, float, float, list[Traffic]]]:
    """(phase, FLOPs, bytes read, what moves) of ``asked`` turns, in a group of devices: in waves of
    as many rows as it has slots and pages for."""
    cfg, new = engine.cfg, config.rollout.max_new_tokens
    weights = weight_bytes(cfg, adapter)
    rows = -(-asked // engine.groups)
    room = engine.pages // -(-(prompt_tokens + new) // engine.page_size)
    waves = -(-rows // min(engine.slots, room))
    head, prompt = head_weights(cfg), rows * prompt_tokens  # prefill makes no logits
    calls = -(-prompt // (engine.prefill_widths[0] * engine.page_size))
    flops = prompt * (forward_flops(cfg, prompt_tokens, adapter) - 2 * head)
    mesh = axes(engine.mesh.shape)
    moved = prefill_traffic(cfg, mesh, prompt, calls)
    yield "prefill", flops, calls * (weights - head * jnp.dtype(cfg.dtype).itemsize), moved
    multiplied = layer_weights(cfg) + head + adapter
    seen = rows * seen_tokens(prompt_tokens, new)
    read = decode_bytes(cfg, rows, prompt_tokens, new, adapter)
    flops = 2 * multiplied * rows * new + attention_flops(cfg, seen)
    moved = decode_traffic(cfg, mesh, -(-rows // waves), waves * new)
    yield "decode", flops, read + (waves - 1) * new * weights, moved
