"""Plan: what a run needs of each device, from compiling its programs without any weights.

    python -m waltzjax.plan --config=configs/stage2.py --model=configs/models/llama-3.1-8b

The numbers are those of XLA's buffer assignment for emulated CPU devices: what a GPU's kernels need
differs (cuDNN's attention holds no scores), parameters and optimisers are the same bytes.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
from absl import flags
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console
from waltzjax.data.batching import bucket
from waltzjax.iteration import agent_learner, agent_optimizer
from waltzjax.model import hf_config, sharding
from waltzjax.model.lora import init_adapter
from waltzjax.model.transformer import init_params
from waltzjax.recipes import RECIPES
from waltzjax.runtime import make_engine, over_mesh, read_model_config, sampling
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.step import Join, whole
from waltzjax.tuning import adapter_form, adapter_join

GIB = 2**30
MOST_DEVICES = 4096  # emulated
COLLECTIVES = "all-gather|reduce-scatter|all-reduce|all-to-all|collective-permute"

LEGEND = (
    "update, log-probs: a layer's weights are gathered for their use (all-gather), their gradients",
    "summed and split at once (reduce-scatter); embedded tokens go from a split by width to one by",
    "row (all-to-all); gradients of norms and adapters, losses and counts are summed everywhere",
    "(all-reduce).",
    "decode, prefill: every device has its tensor part of all weights, in the compute type, beside",
    "what stays; a group of devices (data, fsdp) generates for its own rows.",
)


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled program; bytes are those of one device."""

    argument_bytes: int
    temporary_bytes: int
    output_bytes: int  # beyond what is written over its arguments
    compile_s: float
    collectives: dict[str, int]  # "kind shape": in how many places of the program


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a stage keeps and what it compiles; bytes are those of one device."""

    resident: dict[str, int]  # what stays all along
    programs: dict[str, Program]
    peak_bytes: int  # all that stays, and the most that a program needs beside it
    checkpoint_bytes: int  # on disk, of all devices together


def measure(lowered: Any) -> Program:
    """Compile, and read off what the compiler says."""
    started = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - started
    memory = compiled.memory_analysis()
    return Program(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        seconds,
        collectives(compiled.as_text()),
    )


def collectives(program: str) -> dict[str, int]:
    """ "kind result": places in an XLA program's text. Those among groups of one device, which move
    nothing and which GPUs' compilers drop, are left out."""
    found: collections.Counter[str] = collections.Counter()
    for line in program.splitlines():
        match = re.search(rf"= (\(.*?\)|\S+) ({COLLECTIVES})(?:-start)?\(", line)
        if match and not _alone(line):
            parts = collections.Counter(re.findall(r"\w+\[[\d,]*\]", match[1]))
            result = ", ".join(f"{n} x {part}" if n > 1 else part for part, n in parts.items())
            found[f"{match[2]} {result}"] += 1
    return dict(found)


def _alone(line: str) -> bool:
    mesh = re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line)
    if mesh:
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        return all(sizes[axis] == "1" for axis in re.findall(r"'(\w+)'", mesh[2]))
    return bool(re.search(r"replica_groups=(\{\{\d+\}[,}]|\[\d+,1\])", line))


def device_bytes(tree: Any) -> int:
    """Bytes of an abstract tree on each device."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)


def make_plan(config: ConfigDict, directory: Path, mesh: Mesh, prompt_tokens: int) -> Plan:
    """The last stage of ``config`` for the architecture in ``directory``; no weights are read."""
    plain = read_model_config(config, directory)
    cfg, roll, micro = over_mesh(plain, mesh), config.rollout, config.rl.microbatches
    room = cfg.max_positions - roll.max_new_tokens
    if not 1 <= prompt_tokens <= room:
        raise ValueError(
            f"--prompt_tokens: got {prompt_tokens}, allowed are 1 to {room}: the model's "
            f"{cfg.max_positions} positions less config.rollout.max_new_tokens"
        )
    recipe = RECIPES[config.stages[-1]](config)
    key = jax.random.key(0)

    def placed(shapes: Any) -> Any:
        return abstract(shapes, sharding.params_sharding(mesh, shapes))

    base = placed(jax.eval_shape(partial(init_params, cfg), key))
    join: Join = whole
    trained, frozen = base, None
    if config.lora.rank:
        form = adapter_form(config)
        trained = placed(jax.eval_shape(partial(init_adapter, cfg, form), key))
        join, frozen = adapter_join(form), base
    policy = placed(jax.eval_shape(join, frozen, trained))

    optimizer = agent_optimizer(config, recipe.trained[0], steps=1)
    state = abstract_state(trained, optimizer, mesh)
    resident = {"base and reference": device_bytes(base)}
    if config.model.feedback:
        resident["feedback agent's start and reference"] = device_bytes(trained)
    elif config.lora.rank:
        resident["feedback agent's first adapter"] = device_bytes(trained)
    if config.lora.rank:
        resident["conversation agent's first adapter"] = device_bytes(trained)
    for role in recipe.trained:
        resident[f"{role} agent: what is trained"] = device_bytes(state.params)
        resident[f"{role} agent: its optimiser"] = device_bytes(state.opt_state)

    groups = sharding.row_groups(mesh)
    rows = bucket(roll.batch, micro * groups) // micro
    tokens = bucket(prompt_tokens + roll.max_new_tokens, roll.length_multiple)
    learner = agent_learner(config, cfg, recipe, join, optimizer)
    truncated = sampling(config, roll.temperature).truncates
    batch = abstract_batch(mesh, micro, rows, tokens, truncated=truncated)
    lowered = learner.lower(state, frozen, policy, batch)
    engine = make_engine(config, plain, mesh, (0,), None)
    lowered |= engine.lower(policy)
    # Of adapters' base there is one; of whole models, one for each agent.
    more = 0 if config.lora.rank else device_bytes(engine.generation_shapes(policy))
    kept = {"log-probs": policy, "update": (state, frozen)}
    programs, beside = {}, [0]
    for name, program in lowered.items():
        with console.phase(f"compiling {name}"):
            programs[name] = p = measure(program)
        arguments = p.argument_bytes - (device_bytes(kept[name]) if name in kept else -more)
        beside.append(arguments + p.temporary_bytes + p.output_bytes)
    kept_bytes = len(recipe.trained) * sum(
        x.size * x.dtype.itemsize for x in jax.tree.leaves(state)
    )
    return Plan(resident, programs, sum(resident.values()) + max(beside), kept_bytes)


def show(plan: Plan) -> None:
    """The plan as tables, in GiB a device."""
    rows = [[name, size / GIB] for name, size in plan.resident.items()]
    console.say(console.table("stays on each device", ["what", "GiB"], rows))
    rows = [
        [name, p.temporary_bytes / GIB, p.compile_s, sum(p.collectives.values())]
        for name, p in plan.programs.items()
    ]
    header = ["program", "temporary GiB", "compile s", "collectives"]
    console.say("\n" + console.table("programs of a step", header, rows))
    rows = [
        [name, *text.split(" ", 1), count]
        for name, p in plan.programs.items()
        for text, count in sorted(p.collectives.items())
    ]
    console.say("\n" + console.table("", ["program", "collective", "result", "places"], rows))
    console.say("\n".join(["", *LEGEND]))
    console.say(
        f"\npeak {plan.peak_bytes / GIB:.1f} GiB a device; {plan.checkpoint_bytes / GIB:.1f} GiB "
        "of disk a checkpoint, of which there are config.train.keep_checkpoints and one more"
    )


def main() -> None:
    f, config = flags.FLAGS, flags.FLAGS.config
    config_check.validate(config, training=True)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", f.devices)
    directory = Path(f.model) if f.model else hf_config.resolve(config.model.base)
    plan = make_plan(config, directory, sharding.make_mesh(config.mesh), f.prompt_tokens)
    show(plan)
    if f.json:
        console.say(json.dumps(dataclasses.asdict(plan)))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with overrides.")
    flags.DEFINE_string(
        "model", "", "Directory with the model's config.json; weights are not needed. Default: "
        "config.model.base."
    )  # fmt: skip
    flags.DEFINE_integer("devices", 8, "How many devices to compile for.", 1, MOST_DEVICES)
    flags.DEFINE_integer(
        "prompt_tokens", 1024, "Tokens of the longest prompt an agent reads; the feedback agent's "
        "holds the user's and an answer, a revision's the feedback too."
    )  # fmt: skip
    flags.DEFINE_bool("json", False, "Also print the plan as one line of JSON, in bytes.")
    flags.mark_flags_as_required(["config"])
    commands.run(main)
