"""Plan: what a run needs of each device, from compiling its programs without any weights, and how
long it is predicted to take.

    python -m waltzjax.plan --config=configs/stage2.py --model=configs/models/llama-3.1-8b

The numbers are those of XLA's buffer assignment for emulated CPU devices: what a GPU's kernels need
differs (cuDNN's attention, which packed rows do without, holds no scores), parameters and
optimisers are the same bytes. CPUs multiply half precision as float32: generation's programs, where
they would copy all weights for that, are compiled in float32 from the start, so that their
arguments are twice a GPU's.
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
from waltzjax.compiled import device_bytes, measure
from waltzjax.config import ALONE, DPO, SFT
from waltzjax.cost import update_shape
from waltzjax.dpo import dpo_update
from waltzjax.finetune import sft_update
from waltzjax.forecast import H100, PROMPTS, Device, predict
from waltzjax.iteration import agent_learner, agent_optimizer
from waltzjax.model import hf_config, sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_visit
from waltzjax.model.lora import init_adapter
from waltzjax.model.packed_attention import choose_queries
from waltzjax.model.transformer import init_params
from waltzjax.plan_tables import Plan, show
from waltzjax.recipes import RECIPES, trained_roles
from waltzjax.rollout.engine import Engine
from waltzjax.runtime import make_engine, over_mesh, read_model_config, sampling
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.pairs import make_answer_logp
from waltzjax.training.step import Join, whole
from waltzjax.tuning import adapter_form, adapter_join
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, PairBatch

MOST_DEVICES = 4096  # emulated


def make_plan(
    config: ConfigDict, directory: Path, mesh: Mesh, prompt_tokens: int, device: Device = H100,
    prompts: int = PROMPTS,
) -> Plan:  # fmt: skip
    """The last stage of ``config`` for the architecture in ``directory``; no weights are read.
    ``device``, ``prompts``: see ``forecast.predict``."""
    plain, stage = generator_config(config, directory), config.stages[-1]
    cfg, roles = over_mesh(plain, mesh), trained_roles(config, stage)
    forecast = predict(config, plain, mesh, prompt_tokens, device, prompts)
    judge, left_out = judge_config(config)
    engine_of = partial(make_engine, config, mesh=mesh, stops=(0,), chat=None)
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
    before = {role for earlier in config.stages[:-1] for role in trained_roles(config, earlier)}
    alone = stage in ALONE
    for role in (POLICY,) if alone else (FEEDBACK, CONVERSATION):
        if not alone and (config.model[role] or role in before):
            resident[f"{role} agent's start and reference"] = device_bytes(trained)
        elif config.lora.rank:
            resident[f"{role} agent's first adapter"] = device_bytes(trained)
    for role in roles:
        resident[f"{role} agent: what is trained"] = device_bytes(state.params)
        resident[f"{role} agent: its optimiser"] = device_bytes(state.opt_state)

    microbatches, rows, tokens = update_shape(config, mesh, prompt_tokens)
    if stage == DPO:
        pairs = abstract_batch(mesh, microbatches, rows, tokens, record=PairBatch)
        update = dpo_update(config, cfg, optimizer, join, state)
        lowered = {"update": update.lower(state, pairs, frozen)}
        if config.dpo.reference != "none":
            logp = make_answer_logp(cfg, block=config.model.vocab_block)
            lowered["log-probs"] = logp.lower(policy, pairs)
    elif stage != SFT:
        recipe = RECIPES[stage](config)
        truncated = sampling(config, config.rollout.temperature).truncates
        batch = abstract_batch(
            mesh, microbatches, rows, tokens, truncated=truncated,
            packed=config.rl.token_budget > 0,
        )  # fmt: skip
        learner = agent_learner(config, cfg, recipe, join, optimizer)
        lowered = learner.lower(state, frozen, policy, batch)
    else:
        batch = abstract_batch(mesh, microbatches, rows, tokens, packed=True)
        update = sft_update(config, cfg, optimizer, join, state)
        lowered = {"update": update.lower(state, batch, frozen)}
    # One agent of the form ``policy``, and of the other one what it does not share.
    models = ("the policy's", policy) if alone else ("both agents'", policy, trained)
    generating = generation_bytes(engine_of(plain), *models)
    drawing = engine_of(in_float32(plain)).lower(policy)
    session = dict.fromkeys(drawing, sum(generating.values()))
    judging: dict[str, int] = {}
    if judge:
        weights = placed(jax.eval_shape(partial(init_params, judge), key))
        resident[f"judge {config.judge.model}"] = device_bytes(weights)
        judging = generation_bytes(engine_of(judge), "the judge's", weights)
        for name, program in engine_of(in_float32(judge)).lower(weights).items():
            drawing[f"judge's {name}"] = program
            session[f"judge's {name}"] = sum(judging.values())
    lowered |= drawing

    kept = {"log-probs": device_bytes(policy), "update": device_bytes((state, frozen))}
    programs, beside = {}, [0]
    for name, program in lowered.items():
        with console.phase(f"compiling {name}"):
            programs[name] = p = measure(program)
        if name in session:
            arguments = session[name]
        else:
            arguments = p.argument_bytes - kept[name] + p.output_bytes
        beside.append(arguments + p.temporary_bytes)
    kept_bytes = len(roles) * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    peak = sum(resident.values()) + max(beside)
    return Plan(resident, generating, judging, programs, peak, left_out, kept_bytes, forecast)


def generator_config(config: ConfigDict, directory: Path) -> ModelConfig:
    return dataclasses.replace(
        read_model_config(config, directory), page_visit=choose_visit("gpu"),
        query_block=choose_queries("gpu"),
    )  # fmt: skip


def in_float32(cfg: ModelConfig) -> ModelConfig:
    return dataclasses.replace(cfg, dtype=jnp.dtype("float32"))


def judge_config(config: ConfigDict) -> tuple[ModelConfig | None, str]:
    """The architecture of a judge on the run's own devices (see ``judging.local_wildguard``), or
    what is left out because it is not at hand."""
    j = config.judge
    if j.name != "wildguard" or j.url:
        return None, ""
    try:
        return generator_config(config, hf_config.resolve(j.model)), ""
    except hf_config.ModelNotFound:
        return None, (
            f"the judge {j.model}, whose weights stay on the devices too: it is not at hand; "
            "config.judge.model may be a directory with its config.json"
        )


def generation_bytes(engine: Engine, whose: str, *models: Any) -> dict[str, int]:
    """What a session of the engine holds on each device."""
    weights = sum(device_bytes(engine.generation_shapes(model)) for model in models)
    return {
        f"{whose} weights as generation reads them": weights,
        "keys and values": device_bytes(jax.eval_shape(engine.programs.new_cache)),
    }


def main() -> None:
    f, config = flags.FLAGS, flags.FLAGS.config
    config_check.validate(config, training=True)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", f.devices)
    device = Device(f.peak_tflops, f.bandwidth_gbs, f.mfu, f.bandwidth_share, f.price)
    directory = Path(f.model) if f.model else hf_config.resolve(config.model.base)
    mesh = sharding.make_mesh(config.mesh)
    plan = make_plan(config, directory, mesh, f.prompt_tokens, device, f.prompts)
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
    flags.DEFINE_integer("prompts", PROMPTS, "What the stage trains on; chats, or pairs.", 1)
    flags.DEFINE_float(
        "peak_tflops", H100.peak_tflops, "TFLOP/s of one device in config.model.dtype, dense. "
        "Default: an H100's."
    )  # fmt: skip
    flags.DEFINE_float("bandwidth_gbs", H100.bandwidth_gbs, "GB/s of one device's memory.")
    flags.DEFINE_float(
        "mfu", H100.mfu, "Share of the peak that is reached, of all FLOPs that are executed: "
        "config.model.remat's too."
    )  # fmt: skip
    flags.DEFINE_float("bandwidth_share", H100.bandwidth_share, "Share of the bandwidth.")
    flags.DEFINE_float("price", H100.price, "Dollars an hour and device.")
    flags.DEFINE_bool("json", False, "Also print the plan as one line of JSON, in bytes.")
    flags.mark_flags_as_required(["config"])
    commands.run(main)
