"""Decode against the memory bandwidth it cannot beat, with random weights on random prompts.

    python scripts/bench_decode.py --model=configs/models/llama-3.1-8b --slots=64,256

A decode step reads every weight that it multiplies (all but the embedding table; the unembedding
once) and the keys and values of every token so far: bytes of the weights + sum over rows of tokens
x 2 L J C x bytes of a number, for L layers of J key/value heads of C channels. Those bytes over the
bandwidth are the least time of a step; ``roofline`` is that time over the measured one. All slots
are filled at once and end at once; prefill and the first call of decode are not timed. Prints one
JSON line a number of slots.

The bandwidth is the data sheet's where it is known, else ``--bandwidth``; ``copy_gb_per_s`` is what
a large copy reaches in the same process. One device.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Request, Sampling
from waltzjax.engine.shape import PAGE_SIZE, STEPS
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_visit
from waltzjax.model.decode import generation_params
from waltzjax.model.flops import decode_bytes
from waltzjax.model.hf import config
from waltzjax.model.transformer import init_params
from waltzjax.run import cli
from waltzjax.run.devices import known_device
from waltzjax.support.console import phase

flags.DEFINE_string("model", None, "Directory with a config.json.", required=True)
flags.DEFINE_integer("layers", 0, "Only so many layers; 0: all.", lower_bound=0)
flags.DEFINE_list("slots", ["64", "256"], "Rows decoded together; one measurement each.")
flags.DEFINE_integer("prompt", 1024, "Tokens of a prompt.", lower_bound=1)
flags.DEFINE_integer("new", 512, "Tokens of an answer.", lower_bound=2 * STEPS)
flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "Of weights and cache.")
flags.DEFINE_float("bandwidth", 0.0, "GB/s of the device; 0: known for A100, H100, H200, B200.")
flags.register_validator("bandwidth", lambda value: 0 <= value < math.inf, "a number, 0 or more")
flags.register_validator(
    "slots", lambda given: given and all(s.isdigit() and int(s) for s in given), "numbers, >= 1"
)


def read_model(f) -> ModelConfig:
    cfg = config.read_config(Path(f.model), dtype=f.dtype, param_dtype=f.dtype)
    if f.layers > cfg.layers:
        raise ValueError(f"--layers: got {f.layers}, allowed are 0 to {cfg.layers}")
    if f.prompt + f.new > cfg.max_positions:
        raise ValueError(
            f"--prompt and --new: got {f.prompt + f.new} together, allowed is <= "
            f"{cfg.max_positions}"
        )
    visit = choose_visit(jax.default_backend())
    return dataclasses.replace(cfg, layers=f.layers or cfg.layers, page_visit=visit)


def decode_seconds(engine: Engine, params, prompts: list[tuple[int, ...]], new: int):
    """(seconds, steps, tokens a row at the first of them), the first call of decode left out."""
    with engine.session({"model": params}) as session:
        for i, prompt in enumerate(prompts):
            session.submit(Request(i, "model", prompt, Sampling(new), seed=i))
        events, start, first = session.stream(), 0.0, 0
        for event in events:
            if not start and event.id == len(prompts) - 1:
                start, first = time.perf_counter(), len(event.token_ids)
        seconds = time.perf_counter() - start
    return seconds, new - first, len(prompts[0]) + first


def copy_gb_per_s() -> float:
    """Read and written, by the addition of one to an array of 1 GiB."""
    x = jnp.zeros(2**28, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = add(x)
    x.block_until_ready()
    start = time.perf_counter()
    for _ in range(10):
        x = add(x)
    x.block_until_ready()
    return 10 * 2 * x.nbytes / (time.perf_counter() - start) / 1e9


def measure(cfg: ModelConfig, params, mesh, slots: int, f, bandwidth: float) -> dict:
    rows = -(-(f.prompt + f.new) // PAGE_SIZE) * PAGE_SIZE
    engine = Engine(cfg, mesh, (), max_num_seqs=slots, cache_tokens=slots * rows)
    rng = np.random.default_rng(0)
    prompts = [tuple(rng.integers(3, cfg.vocab_size, f.prompt).tolist()) for _ in range(slots)]
    with phase(f"{slots} slots: once for the compiler"):
        decode_seconds(engine, params, prompts, 2 * STEPS)
    with phase(f"{slots} slots: {f.prompt} + {f.new} tokens"):
        seconds, steps, first = decode_seconds(engine, params, prompts, f.new)
    read = decode_bytes(cfg, slots, first, steps)
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "layers": cfg.layers,
        "slots": slots,
        "prompt": f.prompt,
        "new": f.new,
        "dtype": f.dtype,
        "step_ms": 1e3 * seconds / steps,
        "tokens_per_s": slots * steps / seconds,
        "gb_per_step": read / steps / 1e9,
        "gb_per_s": read / seconds / 1e9,
        "bandwidth_gb_per_s": bandwidth or None,
        "roofline": read / seconds / 1e9 / bandwidth if bandwidth else None,
    }


def main() -> None:
    f = flags.FLAGS
    cfg = read_model(f)
    kind = jax.devices()[0].device_kind
    device = known_device(kind)
    known = device.gb_per_s if device else 0.0
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    copied = copy_gb_per_s()

    @jax.jit
    def weights(key):
        return generation_params(cfg, mesh, {"model": init_params(cfg, key)})["model"]

    params = weights(jax.random.key(0))  # held once, as generation reads them
    for slots in map(int, f.slots):
        result = measure(cfg, params, mesh, slots, f, f.bandwidth or known)
        print(json.dumps(result | {"copy_gb_per_s": copied}), flush=True)


if __name__ == "__main__":
    cli.run(main)
