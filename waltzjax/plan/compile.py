"""The resources that a stage needs of each device; its programs are compiled without any weights.

The numbers are those of XLA's buffer assignment for emulated CPU devices: what a GPU's kernels need
differs (cuDNN's attention, which packed rows do without, holds no scores), parameters and
optimisers are the same bytes. CPUs multiply half precision as float32: generation's programs, where
they would copy all weights for that, are compiled in float32 from the start, so that their
arguments are twice a GPU's.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.core.losses import nll
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.lora import init_adapter
from waltzjax.model.transformer import init_params
from waltzjax.plan.devices import Device
from waltzjax.plan.forecast import Forecast, Load, predict
from waltzjax.plan.generator import (
    generation_bytes,
    generator_config,
    in_float32,
    judge_config,
)
from waltzjax.plan.tables import Plan
from waltzjax.plan.work import update_shape
from waltzjax.plan.xla_report import Program, device_bytes, measure
from waltzjax.preference.batch import make_answer_logp
from waltzjax.preference.dpo import dpo_loss
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import make_engine, over_mesh, sampling
from waltzjax.run.trainable import adapter_form, adapter_merge
from waltzjax.stages.data_stage import data_update
from waltzjax.stages.reinforce import agent_learner, agent_optimizer
from waltzjax.stages.stage import SUPERVISE
from waltzjax.support import console
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.step import Merge, full_params
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, AgentState, PairBatch


class _Trained(NamedTuple):
    """An agent that is trained, as shapes and shardings (``training.learner`` has its steps).

    frozen: what its forward pass takes besides ``state.params``; None: nothing.
    params: those of a forward pass.
    """

    optimizer: Any
    merge: Merge
    state: AgentState
    frozen: Any
    params: Any


def make_plan(
    config: ConfigDict,
    directory: Path,
    mesh: Mesh,
    load: Load,
    device: Device,
    update: Program | None = None,
) -> Plan:
    """The last stage of ``config``, or collecting, for the architecture in ``directory``; no
    weights are read. ``update``: that program, where it was compiled before."""
    plain = generator_config(config, directory)
    cfg, roles = over_mesh(plain, mesh), STAGES[config.stages[-1]].roles(config)
    forecast = predict(config, plain, mesh, load, device)
    engine_of = partial(make_engine, config, mesh=mesh, stops=(0,), chat=None)
    base = _weights(cfg, mesh)
    if load.collects:
        return _collecting_plan(plain, engine_of, base, forecast)
    judge, left_out = judge_config(config)
    agent = _trained(config, cfg, mesh, base, roles[0])
    resident = {"base and reference": device_bytes(base), **_agents_bytes(config, roles, agent)}
    lowered = _learning_programs(config, cfg, mesh, agent, load.prompt_tokens)

    # One agent of the form ``agent.params``, and of the other one what it does not share.
    models = (
        ("the policy's", agent.params)
        if roles == (POLICY,)
        else ("both agents'", agent.params, agent.state.params)
    )
    generating = generation_bytes(engine_of(plain), *models)
    drawing = engine_of(in_float32(plain)).lower(agent.params)
    session = dict.fromkeys(drawing, sum(generating.values()))
    judging: dict[str, int] = {}
    if judge:
        judges = _weights(judge, mesh)
        resident[f"judge {config.judge.model}"] = device_bytes(judges)
        judging = generation_bytes(engine_of(judge), "the judge's", judges)
        for name, program in engine_of(in_float32(judge)).lower(judges).items():
            drawing[f"judge's {name}"] = program
            session[f"judge's {name}"] = sum(judging.values())
    known = {"update": update} if update else {}
    programs = known | _compiled({n: p for n, p in (lowered | drawing).items() if n not in known})
    kept = _kept_bytes(agent)
    beside = [0]
    for name, p in programs.items():
        if name in session:
            arguments = session[name]
        else:
            arguments = p.argument_bytes - kept[name] + p.output_bytes
        beside.append(arguments + p.temporary_bytes)
    stored = len(roles) * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(agent.state))
    peak = sum(resident.values()) + max(beside)
    return Plan(resident, generating, judging, programs, peak, left_out, stored, forecast)


def _collecting_plan(plain: ModelConfig, engine_of: Any, base: Any, forecast: Forecast) -> Plan:
    """A plan in which nothing is trained."""
    resident = {"base": device_bytes(base)}
    generating = generation_bytes(engine_of(plain), "the policy's", base)
    programs = _compiled(engine_of(in_float32(plain)).lower(base))
    drawing = sum(generating.values()) + max(p.temporary_bytes for p in programs.values())
    peak = sum(resident.values()) + drawing
    return Plan(resident, generating, {}, programs, peak, "", 0, forecast)


def learning_peak(
    config: ConfigDict, directory: Path, mesh: Mesh, prompt_tokens: int
) -> tuple[int, Program]:
    """(bytes of a device while it learns, the update), of which the update alone is compiled."""
    cfg = over_mesh(generator_config(config, directory), mesh)
    base, roles = _weights(cfg, mesh), STAGES[config.stages[-1]].roles(config)
    agent = _trained(config, cfg, mesh, base, roles[0])
    resident = device_bytes(base) + sum(_agents_bytes(config, roles, agent).values())
    lowered = _learning_programs(config, cfg, mesh, agent, prompt_tokens)
    with console.phase(f"compiling update for {mesh.size} devices"):
        update = measure(lowered["update"])
    beside = update.argument_bytes - _kept_bytes(agent)["update"] + update.output_bytes
    return resident + beside + update.temporary_bytes, update


def _kept_bytes(agent: _Trained) -> dict[str, int]:
    """What a program's arguments hold of what stays all along."""
    return {
        "log-probs": device_bytes(agent.params),
        "update": device_bytes((agent.state, agent.frozen)),
    }


def _compiled(lowered: dict[str, Any]) -> dict[str, Program]:
    """All programs, two at a time: a compilation keeps little more than one core busy."""
    with console.phase(f"compiling {', '.join(lowered)}"), ThreadPoolExecutor(2) as threads:
        return dict(zip(lowered, threads.map(measure, lowered.values()), strict=True))


def _weights(cfg: ModelConfig, mesh: Mesh) -> Any:
    """A whole model's parameters, abstract."""
    return _placed(jax.eval_shape(partial(init_params, cfg), jax.random.key(0)), mesh)


def _placed(shapes: Any, mesh: Mesh) -> Any:
    return abstract(shapes, sharding.params_sharding(mesh, shapes))


def _trained(config: ConfigDict, cfg: ModelConfig, mesh: Mesh, base: Any, role: str) -> _Trained:
    """The agent ``role``, of which all is trained, or adapters beside ``base``."""
    merge: Merge = full_params
    trained, frozen = base, None
    if config.lora.rank:
        form = adapter_form(config)
        shapes = jax.eval_shape(partial(init_adapter, cfg, form), jax.random.key(0))
        trained, merge, frozen = _placed(shapes, mesh), adapter_merge(form), base
    params = _placed(jax.eval_shape(merge, frozen, trained), mesh)
    optimizer = agent_optimizer(config, config.optim.lr[role], updates=1)
    return _Trained(optimizer, merge, abstract_state(trained, optimizer, mesh), frozen, params)


def _agents_bytes(config: ConfigDict, roles: Sequence[str], agent: _Trained) -> dict[str, int]:
    """The bytes that stay of the agents beside the base: where they begin, unless that is the base,
    and what is trained of each of ``roles``."""
    state, alone = agent.state, tuple(roles) == (POLICY,)
    before = {role for earlier in config.stages[:-1] for role in STAGES[earlier].roles(config)}
    sizes = {}
    for role in (POLICY,) if alone else (FEEDBACK, CONVERSATION):
        if not alone and (config.model[role] or role in before):
            sizes[f"{role} agent's start and reference"] = device_bytes(state.params)
        elif config.lora.rank:
            sizes[f"{role} agent's first adapter"] = device_bytes(state.params)
    for role in roles:
        sizes[f"{role} agent: what is trained"] = device_bytes(state.params)
        sizes[f"{role} agent: its optimiser"] = device_bytes(state.opt_state)
    return sizes


def _learning_programs(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, agent: _Trained, prompt_tokens: int
) -> dict[str, Any]:
    """The last stage's programs of an update, lowered."""
    stage, (optimizer, merge, state, frozen, params) = STAGES[config.stages[-1]], agent
    batch_of = partial(abstract_batch, mesh, *update_shape(config, mesh, prompt_tokens))
    if stage.kind == SUPERVISE:
        update = data_update(config, cfg, nll, optimizer, merge, state)
        return {"update": update.lower(state, batch_of(packed=True), frozen)}
    if stage.recipe is None:
        pairs = batch_of(record=PairBatch)
        update = data_update(config, cfg, dpo_loss(config), optimizer, merge, state)
        lowered = {"update": update.lower(state, pairs, frozen)}
        if config.dpo.reference != "none":
            logp = make_answer_logp(cfg, block=config.model.logit_chunk)
            lowered["log-probs"] = logp.lower(params, pairs)
        return lowered
    truncated = sampling(config, config.rollout.temperature).truncates
    batch = batch_of(truncated=truncated, packed=config.rl.token_budget > 0)
    return agent_learner(config, cfg, stage.recipe(config), merge, optimizer).lower(
        state, frozen, params, batch
    )
