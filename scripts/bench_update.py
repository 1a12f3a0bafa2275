"""Model FLOPs utilisation (MFU) of the training step, with random weights on random tokens.

    python scripts/bench_update.py --model=configs/models/qwen2.5-1.5b --remat=dots
    python scripts/bench_update.py --model=configs/models/llama-3.1-8b --layers=8 --remat=dots

The whole update is timed: forward, backward, accumulation over microbatches, clipping, AdamW, with
float32 master weights. Counted is what the model needs, not what is computed anew (PaLM, arXiv
2204.02311, appendix B, but attention causal): a token costs 6 N + 6 L H C T FLOPs, N being the
weights that are multiplied (all but the embedding table, the unembedding once), L layers of H heads
of C channels, T tokens a row. Prints one JSON line.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from absl import flags

from waltzjax.config import defaults
from waltzjax.core.losses import nll
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import KERNELS, choose_kernel
from waltzjax.model.flops import training_flops
from waltzjax.model.hf import config as hf_config
from waltzjax.model.transformer import init_params
from waltzjax.run import cli
from waltzjax.run.devices import known_device
from waltzjax.run.runtime import over_mesh
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.support.console import phase
from waltzjax.training.learner import abstract_batch, init_state
from waltzjax.training.step import make_update, shardings
from waltzjax.types import AgentState, PolicyBatch

flags.DEFINE_string("model", None, "Directory with a config.json.", required=True)
flags.DEFINE_integer("layers", 0, "Only so many layers; 0: all.")
flags.DEFINE_integer("tokens", 4096, "Tokens of a row.", lower_bound=1)
flags.DEFINE_integer("rows", 4, "Rows of a microbatch, on all devices together.", lower_bound=1)
flags.DEFINE_integer("microbatches", 4, "Microbatches of an update.", lower_bound=1)
flags.DEFINE_integer(
    "logit_chunk", defaults.default().model.logit_chunk, "config.model.logit_chunk.", lower_bound=1
)
flags.DEFINE_enum("remat", "full", ["none", "full", "dots"], "config.model.remat.")
flags.DEFINE_enum("attention", "auto", KERNELS, "config.model.attention.")
flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "What is multiplied.")
flags.DEFINE_string("mesh", "1x-1x1", "data x fsdp x tensor; -1: all the rest.")
flags.register_validator(
    "mesh", lambda text: re.fullmatch(r"-?\d+x-?\d+x-?\d+", text), "three sizes, such as 1x8x1"
)
flags.DEFINE_integer("steps", 5, "Timed updates, after two that are not.", lower_bound=1)
flags.DEFINE_float("peak_tflops", 0.0, "Of one device; 0: that of waltzjax/plan/devices.toml.")
flags.register_validator("peak_tflops", lambda value: 0 <= value < math.inf, "a number, 0 or more")


def read_model(f) -> ModelConfig:
    cfg = hf_config.read_config(Path(f.model), dtype=f.dtype, remat=f.remat)
    if not 0 <= f.layers <= cfg.layers:
        raise ValueError(f"--layers: got {f.layers}, allowed are 0 to {cfg.layers}")
    if f.tokens > cfg.max_positions:
        raise ValueError(f"--tokens: got {f.tokens}, allowed is <= {cfg.max_positions}")
    kernel = choose_kernel(f.attention, jax.default_backend(), cfg.dtype, cfg.head_dim)
    return dataclasses.replace(cfg, layers=f.layers or cfg.layers, attention=kernel)


def random_state(cfg: ModelConfig, optimizer, mesh) -> AgentState:
    init = partial(init_params, cfg)
    key = jax.random.key(0)
    where = sharding.params_sharding(mesh, jax.eval_shape(init, key))
    return init_state(jax.jit(init, out_shardings=where)(key), optimizer, mesh)


def random_batch(cfg: ModelConfig, mesh, f) -> PolicyBatch:
    """Full rows, every token but the first an action."""
    token = np.random.default_rng(0).integers(
        0, cfg.vocab_size, (f.microbatches, f.rows, f.tokens), dtype=np.int32
    )
    shapes = abstract_batch(mesh, f.microbatches, f.rows, f.tokens, truncated=False)
    batch = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    weight = np.full(token.shape, 1 / token.size, np.float32)
    batch = batch._replace(
        token_BT=token,
        length_B=batch.length_B + f.tokens,
        action_BT=~batch.action_BT,
        weight_BT=weight,
    )
    return sharding.place(batch, sharding.rows_sharding(mesh, leading=1))


def main() -> None:
    f = flags.FLAGS
    mesh = sharding.make_mesh([int(n) for n in f.mesh.split("x")])
    if f.rows % sharding.row_groups(mesh):
        raise ValueError(f"--rows: {f.rows} is no multiple of {sharding.row_groups(mesh)}")
    cfg = over_mesh(read_model(f), mesh)
    optimizer = agent_optimizer(defaults.default(), 5e-7, updates=1)
    state, batch = random_state(cfg, optimizer, mesh), random_batch(cfg, mesh, f)
    jitted = make_update(
        cfg, nll, optimizer, temperature=1.0, block=f.logit_chunk, state_sharding=shardings(state)
    )
    with phase("compiling the update"):
        update = jitted.lower(state, batch, None).compile()
    seconds = []
    for _ in range(2 + f.steps):
        started = time.perf_counter()
        state, metrics = update(state, batch, None)
        loss = float(metrics["loss"])  # waits for the update
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds[2:])
    device = jax.devices()[0]
    known = known_device(device.device_kind)
    peak = f.peak_tflops or (known.tflops["bfloat16"] if known else 0)
    tokens = f.microbatches * f.rows * f.tokens
    tflops = tokens * training_flops(cfg, f.tokens) / median / mesh.size / 1e12
    stats = device.memory_stats() or {}
    figures = {
        "mfu": float(f"{tflops / peak:.4g}") if peak else None,
        "tflops_per_device": float(f"{tflops:.4g}"),
        "tokens_per_s": round(tokens / median, 1),
        "update_s": round(median, 4),
        "slowest_s": round(max(seconds[2:]), 4),
        "peak_gib": round(stats.get("peak_bytes_in_use", 0) / 2**30, 2) or None,
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "loss": round(loss, 4),
        "layers": cfg.layers,
        "attention": cfg.attention,
    }
    settings = ("model", "tokens", "rows", "microbatches", "logit_chunk", "remat", "dtype", "mesh")
    versions = {"device": device.device_kind, "devices": mesh.size, "jax": jax.__version__}
    print(json.dumps({**figures, **{name: f[name].value for name in settings}, **versions}))


if __name__ == "__main__":
    cli.run(main)
