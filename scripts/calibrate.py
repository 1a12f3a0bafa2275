"""Measure the parts of a training step on this machine, for the plan's predicted times.

    python scripts/calibrate.py [--points=0:12] [--output=FILE]

Each point is a model of a few million random weights and one step of reinforcement with it: texts
are generated from random prompts, none of which ends early; both models' log-probabilities; one
update. Timed are the whole step and its parts. The first repetition compiles and is left out; the
least of the others counts, as what else the machine does only adds to it; where it does much, the
point is not kept.

The file is ``waltzjax/plan/calibration/NAME.json``, of one device kind. A long list may be measured
in pieces, and again: of a point that is there already the least of both counts.
"""

from __future__ import annotations

import datetime
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config import defaults
from waltzjax.core.losses import nll
from waltzjax.engine.requests import Sampling
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_kernel, choose_visit
from waltzjax.model.transformer import init_params
from waltzjax.plan.calibration import POINTS, device_kind, file_name
from waltzjax.plan.machine import multiply
from waltzjax.plan.parts import FEATURES, step_parts
from waltzjax.plan.work import update_shape
from waltzjax.run import cli
from waltzjax.run.runtime import make_engine
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.support.console import phase
from waltzjax.support.files import write_text
from waltzjax.training.learner import abstract_batch, init_state
from waltzjax.training.step import make_logp, make_update, shardings

MOST_LOAD = 0.5  # of other programs
TIMED = ("first token", "all tokens", "log-probs", "update")


class Size(NamedTuple):
    """A model and a step of it."""

    width: int
    layers: int
    vocab: int
    rows: int  # texts of a step
    prompt: int  # tokens
    new: int  # tokens that are drawn
    microbatches: int


SIZES = (
    Size(128, 3, 512, 128, 52, 44, 1), Size(128, 3, 512, 32, 52, 44, 1),
    Size(64, 2, 512, 64, 32, 32, 1), Size(64, 4, 512, 128, 64, 64, 2),
    Size(96, 3, 640, 64, 96, 32, 1), Size(128, 6, 640, 32, 128, 48, 1),
    Size(192, 3, 512, 64, 64, 32, 2), Size(192, 4, 640, 16, 200, 56, 1),
    Size(256, 2, 1024, 48, 48, 48, 1), Size(256, 4, 512, 32, 96, 32, 2),
    Size(384, 3, 512, 16, 64, 32, 1), Size(512, 2, 512, 16, 32, 64, 1),
    Size(96, 2, 512, 32, 40, 24, 1), Size(256, 3, 512, 64, 52, 44, 1),
    Size(320, 3, 640, 32, 48, 48, 2), Size(128, 3, 512, 256, 52, 44, 4),
)  # fmt: skip
# For accelerators; written before any was at hand.
LARGE = (
    Size(1024, 16, 32_000, 64, 512, 128, 2), Size(1024, 24, 32_000, 256, 128, 128, 4),
    Size(2048, 8, 32_000, 64, 512, 128, 2), Size(2048, 16, 128_256, 32, 1024, 128, 4),
    Size(2048, 24, 32_000, 128, 256, 256, 8), Size(4096, 4, 32_000, 64, 512, 128, 4),
    Size(4096, 6, 128_256, 32, 1024, 128, 8), Size(4096, 8, 32_000, 16, 256, 256, 2),
)  # fmt: skip


def sizes() -> tuple[Size, ...]:
    return SIZES if jax.default_backend() == "cpu" else LARGE


def settings(size: Size) -> tuple[ConfigDict, ModelConfig]:
    """The config whose step is measured, and its model: in float32 on a CPU, else in bfloat16."""
    c, platform = defaults.default(), jax.default_backend()
    c.stages, c.mesh = ("rlvr",), (1, 1, 1)
    c.model.dtype = "float32" if platform == "cpu" else "bfloat16"
    c.rollout.batch, c.rollout.max_new_tokens = size.rows, size.new
    c.rollout.max_num_seqs, c.rollout.pad_to_multiple_of = 128, 32
    c.rollout.cache_tokens = 2 * 128 * (size.prompt + size.new + 64)
    c.rl.microbatches = size.microbatches
    head_dim = 32 if size.width < 1024 else 128
    heads, dtype = size.width // head_dim, jnp.dtype(c.model.dtype)
    return c, ModelConfig(
        size.vocab,
        size.width,
        size.width * 5 // 2,
        size.layers,
        heads,
        max(1, heads // 2),
        head_dim,
        max_positions=2048,
        dtype=dtype,
        page_visit=choose_visit(platform),
        attention=choose_kernel("auto", platform, dtype, head_dim),
    )


def random_batch(mesh: Mesh, size: Size, shape: tuple[int, int, int], tokens: Any) -> Any:
    """The update's rows, all of them full, of which the last ``size.new`` are drawn."""
    batch = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), abstract_batch(mesh, *shape))
    action = np.arange(shape[2]) >= size.prompt
    return sharding.place(
        batch._replace(
            token_BT=tokens.integers(3, size.vocab, shape, np.int32),
            length_B=batch.length_B + shape[2],
            action_BT=batch.action_BT | action,
            weight_BT=np.broadcast_to(action, shape).astype(np.float32) / np.prod(shape),
        ),
        sharding.rows_sharding(mesh, leading=1),
    )


def make_step(c: ConfigDict, cfg: ModelConfig, mesh: Mesh, size: Size) -> Callable[[], list[float]]:
    """A function that runs one step; seconds of: one token, all tokens, log-probs, update."""
    draw = np.random.default_rng(0)
    params = jax.jit(lambda key: init_params(cfg, key))(jax.random.key(0))
    engine = make_engine(c, cfg, mesh, (), None)
    optimizer = agent_optimizer(c, 1e-6, updates=1)
    state = [init_state(params, optimizer, mesh)]
    batch = random_batch(mesh, size, update_shape(c, mesh, size.prompt), draw)
    block = c.model.logit_chunk
    logp = make_logp(cfg, temperature=1.0, block=block)
    update = make_update(
        cfg, nll, optimizer, temperature=1.0, block=block, state_sharding=shardings(state[0])
    )
    seeds = range(size.rows)

    def generate(new: int) -> None:
        prompts = draw.integers(3, size.vocab, (size.rows, size.prompt)).tolist()
        engine.generate(params, prompts, Sampling(new), seeds)

    def score() -> None:
        jax.block_until_ready([logp(params, batch), logp(params, batch)])

    def learn() -> None:
        state[0], _ = jax.block_until_ready(update(state[0], batch, None))

    def step() -> list[float]:
        seconds = []
        for part in (lambda: generate(1), lambda: generate(size.new), score, learn):
            started = time.perf_counter()
            part()
            seconds.append(time.perf_counter() - started)
        return seconds

    return step


def measure(size: Size, repeats: int) -> dict[str, Any]:
    """The point of ``size``: the least and the median seconds of what is timed."""
    c, cfg = settings(size)
    step = make_step(c, cfg, sharding.make_mesh(c.mesh), size)
    step()
    runs = [step() for _ in range(repeats)]
    whole = [sum(run[1:]) for run in runs]
    return {
        "size": size._asdict(),
        "repeats": repeats,
        "step_s": _short(min(whole)),
        "median_step_s": _short(statistics.median(whole)),
        "load": round(os.getloadavg()[0], 2),
        "least_s": dict(
            zip(TIMED, (_short(min(times)) for times in zip(*runs, strict=True)), strict=True)
        ),
    }


def disturbed(load: float) -> bool:
    """The machine did other work too while a point was measured on CPUs: the point itself makes a
    load of one a core."""
    return jax.default_backend() == "cpu" and load > len(os.sched_getaffinity(0)) + MOST_LOAD


def merged(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """A point that was measured before and again: the least of both."""
    if before is None:
        return now
    return {
        **now,
        "repeats": before["repeats"] + now["repeats"],
        "step_s": min(before["step_s"], now["step_s"]),
        "least_s": {name: min(s, before["least_s"][name]) for name, s in now["least_s"].items()},
    }


def with_parts(point: dict[str, Any]) -> dict[str, Any]:
    """The point with what is counted of each phase, and its seconds."""
    size = Size(**point["size"])
    c, cfg = settings(size)
    seconds = seconds_by_phase(list(point["least_s"].values()), size.new)
    parts = {
        part.phase: {
            **{name: _short(getattr(part, name), 6) for name in FEATURES},
            "seconds": _short(seconds[part.phase]),
        }
        for part in step_parts(c, cfg, sharding.make_mesh(c.mesh), size.prompt)
    }
    return {**point, "parts": parts}


def _short(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def seconds_by_phase(timed: list[float], new: int) -> dict[str, float]:
    """The seconds of each phase of a step, of which were timed: a generation of one token, one of
    ``new``, log-probs, update. A token after the first takes the difference of both generations
    over the tokens between."""
    one, all_tokens, score, learn = timed
    decode = (all_tokens - one) * new / (new - 1)
    return {"prefill": all_tokens - decode, "decode": decode, "log-probs": score, "update": learn}


def record(path: Path, point: dict[str, Any]) -> None:
    """Write the file with ``point`` among those there."""
    dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    before = json.loads(path.read_text()) if path.exists() else {"points": []}
    points = {Size(**p["size"]): p for p in before["points"]}
    size = Size(**point["size"])
    points[size] = with_parts(merged(points.get(size), point))
    order = {size: number for number, size in enumerate(sizes())}
    together = sorted(points, key=lambda size: order.get(size, len(order)))
    value = {
        "device": device_kind(),
        "platform": jax.default_backend(),
        "devices": 1,
        "matmul_flop_per_s": max(
            _short(multiply(jax.devices()[0], dtype, 1.0)[0]),
            before.get("matmul_flop_per_s", 0.0),
        ),
        "date": datetime.date.today().isoformat(),
        "command": "python scripts/calibrate.py",
        "versions": {name: version(name) for name in ("jax", "jaxlib", "flax", "numpy")}
        | {"python": sys.version.split()[0]},
        "points": [points[size] for size in together],
    }
    write_text(path, json.dumps(value, indent=1) + "\n")


def main() -> None:
    f = flags.FLAGS
    first, _, end = f.points.partition(":")
    path = Path(f.output) if f.output else POINTS / file_name(device_kind())
    for size in sizes()[int(first or 0) : int(end) if end else None]:
        with phase(f"width {size.width}, {size.layers} layers, {size.rows} rows"):
            point = measure(size, f.repeats)
        if disturbed(point["load"]):
            print(f"not kept: a load of {point['load']} says that other programs run beside it")
            continue
        record(path, point)
        print(json.dumps({"step_s": point["step_s"], **point["least_s"]}), flush=True)


if __name__ == "__main__":
    flags.DEFINE_string("points", ":", "Which of the list, FIRST:END, from 0.")
    flags.DEFINE_integer("repeats", 9, "Timed repetitions of a point.", lower_bound=1)
    flags.DEFINE_string("output", "", "The file; default: that of this device kind in the package.")
    cli.run(main)
