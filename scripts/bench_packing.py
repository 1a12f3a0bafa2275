"""Packed updates against padded ones: tokens a second of a role's whole learning step.

    python scripts/bench_packing.py --mix=maths [--longest=2560] [--budget=20000] [--texts=32]
    python scripts/bench_packing.py --mix=waltz --longest=812 --budget=4096

Of a random model on random texts whose lengths are of a mix: prompts uniform, answers lognormal,
cut off where the longest text ends. One step is texts to arrays, the policy's and the reference's
log-probs, advantages, and one update. Padded is as the trainer does it: every text in a row of the
longest one's length, up to a multiple of config.rollout.pad_to_multiple_of, and as many rows a
microbatch as make at most --budget token slots, so that both hold about the same in memory. Counted
are the texts' own tokens. Rounds of both alternate in one process, after one of each that compiles.
On CPUs the ratio of processor time is given too, which other processes disturb less.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from waltzjax.config import defaults
from waltzjax.data.batching import bucket, padding, tokens_of
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_queries
from waltzjax.model.transformer import init_params
from waltzjax.run import cli
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.types import Sample


class Mix(NamedTuple):
    """Lengths of a task's texts, tokens; ``spread`` is the standard deviation of the logarithm."""

    shortest_prompt: int
    longest_prompt: int
    median_answer: int
    spread: float


# Assumed of a 1.5 B model's worked solutions, and of WaltzRL's answers.
MIXES = {"maths": Mix(100, 250, 400, 0.7), "waltz": Mix(40, 300, 80, 0.8)}

flags.DEFINE_enum("mix", "maths", sorted(MIXES), "Whose lengths.")
flags.DEFINE_integer("longest", 1024, "The longest text, tokens: prompt and answer.", lower_bound=2)
flags.DEFINE_integer("budget", 8192, "Token slots of a device's microbatch.", lower_bound=2)
flags.DEFINE_integer("texts", 32, "Texts of an update.", lower_bound=1)
flags.DEFINE_integer("layers", 2, "Layers of the model.", lower_bound=1)
flags.DEFINE_integer("width", 128, "Its width, a multiple of 32: heads are of 32.", lower_bound=32)
flags.register_validator("width", lambda value: value % 32 == 0, "a multiple of 32")
flags.DEFINE_integer("rounds", 5, "Timed rounds of each.", lower_bound=1)
flags.DEFINE_bool("json", False, "One JSON line instead of the table.")

VOCABULARY = 1024


def draw(mix: Mix, longest: int, count: int, rng: np.random.Generator) -> list[Sample]:
    """Texts of at most ``longest`` tokens, one of them that long: some answer is always cut off."""
    room = longest - mix.longest_prompt
    if room < 1:
        raise ValueError(f"--longest: got {longest}, allowed is > {mix.longest_prompt}, a prompt's")
    prompts = rng.integers(mix.shortest_prompt, mix.longest_prompt + 1, count)
    answers = np.clip(rng.lognormal(np.log(mix.median_answer), mix.spread, count), 1, room)
    prompts[0], answers[0] = mix.longest_prompt, room
    texts = []
    for prompt, answer in zip(prompts, answers.astype(int), strict=True):
        ids = tuple(rng.integers(1, VOCABULARY, prompt + answer).tolist())
        logp = (-float(np.log(VOCABULARY)),) * int(answer)
        texts.append(Sample(ids[:prompt], ids[prompt:], logp, float(rng.random())))
    return texts


def make_learner(cfg: ModelConfig) -> Learner:
    c = defaults.default()
    return Learner(
        cfg,
        agent_optimizer(c, 1e-6, updates=1),
        partial(
            policy_loss, clip_low=0.2, clip_high=0.2, dual_clip=None, kl_in="reward", estimator="k1"
        ),
        partial(compute_advantages, kl_in="reward", estimator="k1", normalise=True, tis_cap=0.0),
        temperature=1.0,
        block=c.model.logit_chunk,
        updates=1,
    )


def main() -> None:
    f = flags.FLAGS
    mesh = sharding.make_mesh((1, 1, 1))
    texts = draw(MIXES[f.mix], f.longest, f.texts, np.random.default_rng(0))
    cfg = ModelConfig(
        vocab_size=VOCABULARY,
        width=f.width,
        mlp_width=4 * f.width,
        layers=f.layers,
        heads=f.width // 32,
        kv_heads=1,
        head_dim=32,
        max_positions=f.longest,
        remat="full",
        query_block=choose_queries(jax.default_backend()),
    )
    multiple = defaults.default().rollout.pad_to_multiple_of
    rows = max(f.budget // bucket(f.longest, multiple), 1)
    micro = -(-f.texts // rows)
    batch_of = partial(
        device_batch,
        texts,
        mesh,
        microbatches=micro,
        multiple=multiple,
        weights="sequence",
        max_length=f.longest,
    )
    packed_cfg = dataclasses.replace(cfg, longest_text=f.longest)
    forms: dict[str, tuple[Learner, Any]] = {
        "padded": (make_learner(cfg), batch_of),
        "packed": (
            make_learner(packed_cfg),
            partial(batch_of, token_budget=f.budget, longest_text=f.longest),
        ),
    }
    params = jax.jit(partial(init_params, cfg))(jax.random.key(0))
    optimizer = agent_optimizer(defaults.default(), 1e-6, updates=1)
    states = {name: init_state(params, optimizer, mesh) for name in forms}
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in forms}
    losses, shapes, waste = {}, {}, {}
    for _ in range(1 + f.rounds):
        for name, (learner, make_batch) in forms.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            batch = make_batch()
            states[name], metrics = learner.learn(states[name], None, params, batch)
            losses[name] = float(metrics["loss"])  # waits for the update
            seconds[name].append(time.perf_counter() - started)
            cpu_seconds[name].append(time.process_time() - cpu_started)
            shapes[name], waste[name] = batch.token_BT.shape, padding(texts, batch)
    tokens = sum(map(tokens_of, texts))
    figures: dict[str, Any] = {"mix": f.mix, "texts": f.texts, "tokens": tokens}
    for name in forms:
        rates = sorted(tokens / s for s in seconds[name][1:])
        figures[name] = {
            "tokens_per_s": round(statistics.median(rates), 1),
            "range": [round(rates[0], 1), round(rates[-1], 1)],
            "padding": round(waste[name], 4),
            "shape": list(shapes[name]),
            "loss": round(losses[name], 6),
        }
    pairs = sorted(a / b for a, b in zip(*(seconds[n][1:] for n in forms), strict=True))
    figures["ratio"] = round(statistics.median(pairs), 3)
    figures["ratio_range"] = [round(pairs[0], 3), round(pairs[-1], 3)]
    if jax.default_backend() == "cpu":
        padded, packed = (statistics.median(cpu_seconds[name][1:]) for name in forms)
        figures["cpu_ratio"] = round(padded / packed, 3)
    figures |= {name: f[name].value for name in ("longest", "budget", "layers", "width", "rounds")}
    figures |= {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    if f.json:
        print(json.dumps(figures))
        return
    print(f"{f.mix}: {f.texts} texts, {tokens} tokens, the longest {f.longest}")
    for name in forms:
        result = figures[name]
        low, high = result["range"]
        print(
            f"{name}: {result['tokens_per_s']} tokens/s ({low} to {high}), "
            f"{result['padding']:.1%} padding, microbatches x rows x tokens {result['shape']}"
        )
    low, high = figures["ratio_range"]
    print(f"packed / padded: {figures['ratio']} ({low} to {high}), round by round")
    if "cpu_ratio" in figures:
        print(f"of processor time: {figures['cpu_ratio']}")


if __name__ == "__main__":
    cli.run(main)
