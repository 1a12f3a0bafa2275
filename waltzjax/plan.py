"""Plan: what a run needs of each device, from compiling its programs without any weights.

    python -m waltzjax.plan --config=configs/stage2.py --model=configs/models/llama-3.1-8b

The numbers are those of XLA's buffer assignment for emulated CPU devices: what a GPU's kernels need
differs (cuDNN's attention holds no scores), parameters and optimisers are the same bytes. CPUs
multiply half precision as float32: generation's programs, where they would copy all weights for
that, are compiled in float32 from the start, so that their arguments are twice a GPU's.
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console
from waltzjax.compiled import Program, device_bytes, measure
from waltzjax.config import SFT
from waltzjax.data.batching import bucket
from waltzjax.finetune import sft_update
from waltzjax.iteration import agent_learner, agent_optimizer
from waltzjax.model import hf_config, sharding
from waltzjax.model.attention import choose_visit
from waltzjax.model.lora import init_adapter
from waltzjax.model.transformer import init_params
from waltzjax.recipes import RECIPES
from waltzjax.rollout.engine import Engine
from waltzjax.runtime import make_engine, over_mesh, read_model_config, sampling
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.step import Join, whole
from waltzjax.tuning import adapter_form, adapter_join

GIB = 2**30
MOST_DEVICES = 4096  # emulated

LEGEND = (
    "update, log-probs: a layer's weights are gathered for their use (all-gather), their gradients",
    "summed and split at once (reduce-scatter); embedded tokens go from a split by width to one by",
    "row (all-to-all); gradients of norms and adapters, losses and counts are summed everywhere",
    "(all-reduce).",
    "decode, prefill: every device has its tensor part of all weights; a group of devices (data,",
    "fsdp) generates for its own rows. Compiled in float32: in bfloat16 they move half of that.",
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a stage keeps and what it compiles; bytes are those of one device."""

    resident: dict[str, int]  # what stays all along
    generating: dict[str, int]  # what a rollout has beside that, until it ends; as on a GPU
    programs: dict[str, Program]
    peak_bytes: int  # all that stays, and the most that a rollout or an update needs beside it
    checkpoint_bytes: int  # on disk, of all devices together


def make_plan(config: ConfigDict, directory: Path, mesh: Mesh, prompt_tokens: int) -> Plan:
    """The last stage of ``config`` for the architecture in ``directory``; no weights are read."""
    plain = read_model_config(config, directory)
    plain = dataclasses.replace(plain, page_visit=choose_visit("gpu"))
    cfg, roll, sft = over_mesh(plain, mesh), config.rollout, config.stages[-1] == SFT
    room = cfg.max_positions - roll.max_new_tokens
    if not 1 <= prompt_tokens <= room:
        raise ValueError(
            f"--prompt_tokens: got {prompt_tokens}, allowed are 1 to {room}: the model's "
            f"{cfg.max_positions} positions less config.rollout.max_new_tokens"
        )
    recipe = None if sft else RECIPES[config.stages[-1]](config)
    roles = recipe.trained if recipe else (config.sft.role,)
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

    optimizer = agent_optimizer(config, config.optim.lr[roles[0]], updates=1)
    state = abstract_state(trained, optimizer, mesh)
    resident = {"base and reference": device_bytes(base)}
    if config.model.feedback:
        resident["feedback agent's start and reference"] = device_bytes(trained)
    elif config.lora.rank:
        resident["feedback agent's first adapter"] = device_bytes(trained)
    if config.lora.rank:
        resident["conversation agent's first adapter"] = device_bytes(trained)
    for role in roles:
        resident[f"{role} agent: what is trained"] = device_bytes(state.params)
        resident[f"{role} agent: its optimiser"] = device_bytes(state.opt_state)

    of = config.sft if sft else config.rl
    rows = config.sft.batch if sft else roll.batch
    rows = bucket(rows, of.microbatches * sharding.row_groups(mesh)) // of.microbatches
    if recipe:
        tokens = bucket(prompt_tokens + roll.max_new_tokens, roll.length_multiple)
        truncated = sampling(config, roll.temperature).truncates
        batch = abstract_batch(mesh, of.microbatches, rows, tokens, truncated=truncated)
        learner = agent_learner(config, cfg, recipe, join, optimizer)
        lowered = learner.lower(state, frozen, policy, batch)
    else:
        batch = abstract_batch(mesh, of.microbatches, rows, config.sft.length, packed=True)
        update = sft_update(config, cfg, optimizer, join, state)
        lowered = {"update": update.lower(state, batch, frozen)}
    generating = generation_bytes(make_engine(config, plain, mesh, (0,), None), policy, trained)
    exact = dataclasses.replace(plain, dtype=jnp.dtype("float32"))
    lowered |= make_engine(config, exact, mesh, (0,), None).lower(policy)

    kept = {"log-probs": device_bytes(policy), "update": device_bytes((state, frozen))}
    programs, beside = {}, [0]
    for name, program in lowered.items():
        with console.phase(f"compiling {name}"):
            programs[name] = p = measure(program)
        if name in kept:
            arguments = p.argument_bytes - kept[name] + p.output_bytes
        else:
            arguments = sum(generating.values())
        beside.append(arguments + p.temporary_bytes)
    kept_bytes = len(roles) * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    peak = sum(resident.values()) + max(beside)
    return Plan(resident, generating, programs, peak, kept_bytes)


def generation_bytes(engine: Engine, policy: Any, trained: Any) -> dict[str, int]:
    """What a rollout holds on each device: one agent of the form ``policy``, and of the other one
    what it does not share, which is what is trained."""
    weights = sum(device_bytes(engine.generation_shapes(x)) for x in (policy, trained))
    return {
        "both agents' weights as generation reads them": weights,
        "keys and values": device_bytes(jax.eval_shape(engine.programs.new_cache)),
    }


def show(plan: Plan) -> None:
    """The plan as tables, in GiB a device."""
    for title, sizes in (
        ("stays on each device", plan.resident), ("beside it during a rollout", plan.generating)
    ):  # fmt: skip
        rows = [[name, size / GIB] for name, size in sizes.items()]
        console.say(console.table(title, ["what", "GiB"], rows) + "\n")
    rows = [
        [name, p.temporary_bytes / GIB, p.compile_s, sum(p.collectives.values())]
        for name, p in plan.programs.items()
    ]
    header = ["program", "temporary GiB", "compile s", "collectives"]
    console.say(console.table("programs of a step", header, rows))
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
