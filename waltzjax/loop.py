"""The loop of one stage: prompts, episodes, rewards, updates, metrics, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.data.source import prompt_batches, steps_per_run
from waltzjax.interrupts import StopSignals
from waltzjax.recipes import RECIPES, Recipe
from waltzjax.rollout.engine import Sampling
from waltzjax.runtime import Runtime, make_speak, step_rng
from waltzjax.training.checkpoint import Checkpoints
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.metrics import MetricWriter
from waltzjax.training.optim import make_optimizer
from waltzjax.types import AgentState, Prompt

SHOWN = ("reward/conversation", "reward/feedback", "asr", "orr", "ftr", "label_accuracy")
MUST_BE_FINITE = ("loss/", "grad_norm/")  # others are NaN when nothing was counted


def stage_steps(config: ConfigDict, stage: str, n_prompts: int) -> int:
    """Optimiser steps of a stage: as configured, or ``epochs`` passes over the prompts."""
    full = steps_per_run(n_prompts, config.rollout.batch, config.train.epochs)
    steps = config.train.steps[stage] or full
    if not steps:
        raise ValueError(
            f"config.rollout.batch: got {config.rollout.batch}, allowed is at most prompts * "
            f"epochs = {n_prompts} * {config.train.epochs}, or {stage} has no step"
        )
    return steps


def run_stage(
    config: ConfigDict,
    stage: str,
    runtime: Runtime,
    params: Mapping[str, Any],
    ref_params: Mapping[str, Any],
    prompts: Sequence[Prompt],
    workdir: Path,
    validate: Callable[[int, Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Train one stage from its newest checkpoint, or from ``params``; the final parameters.

    ``validate(step, params)`` is called every ``config.train.validate_every`` steps. After a kill
    the same call continues: bit for bit on the same devices, and nothing is recorded twice.

    Raises:
      Stopped: SIGTERM or Ctrl-C; a checkpoint of the last whole step is written.
      FloatingPointError: a loss or gradient is not finite; nothing of that step is saved.
    """
    recipe = RECIPES[stage](config)
    total = stage_steps(config, stage, len(prompts))
    optimizers = {role: _optimizer(config, role, total) for role in recipe.trained}
    learners = {role: _learner(config, runtime, recipe, optimizers[role]) for role in optimizers}
    agents = {role: init_state(params[role], o, runtime.mesh) for role, o in optimizers.items()}
    stream = config.seed * 10 + recipe.stream
    batches = prompt_batches(prompts, batch_size=config.rollout.batch, seed=stream, epochs=None)
    epoch_ends = {
        steps_per_run(len(prompts), config.rollout.batch, e + 1) for e in range(config.train.epochs)
    }
    checkpoints = Checkpoints(
        workdir / "checkpoints" / stage, config.train.keep_checkpoints, console.say
    )
    step, found = 0, checkpoints.restore(agents)
    if found:
        step, agents, host = found
        batches.set_state(host["data"])
        console.say(f"{stage}: resumed after step {step}")
    begun, every = step, config.train.validate_every
    label = stage.replace("stage", "stage ")

    def saved() -> str:
        return f"{stage} stands saved after step {step}; the same command goes on from there"

    def validate_if_due() -> None:
        if every and step % every == 0 and 0 < step < total:
            with stop.at_once(saved()):
                validate(step, _merged(params, agents))

    with (
        closing(checkpoints),
        closing(MetricWriter(workdir, stage, step)) as writer,
        StopSignals() as stop,
        console.Progress(total, label, initial=step) as bar,
    ):
        validate_if_due()  # a resumed run may have been stopped during this one
        while step < total:
            first = f"{label}: first step, compiling"
            with console.phase(first) if step == begun else nullcontext():
                agents, metrics = _one_step(
                    config, runtime, recipe, learners, agents, params, ref_params,
                    next(batches), stream, step,
                )  # fmt: skip
            step += 1
            _check_finite(stage, step, metrics)
            writer.write_scalars(step, metrics)
            counted = {k: v for k, v in metrics.items() if k in SHOWN and math.isfinite(v)}
            bar.update(step, **counted)
            due = step % config.train.checkpoint_every == 0 or step in epoch_ends or step == total
            validates = every and step % every == 0
            if due or validates or stop.received is not None:
                host = {"data": batches.get_state(), "config": config.to_dict()}
                checkpoints.save(step, agents, host)
                stop.check(saved())
            validate_if_due()
    return _merged(params, agents)


def _one_step(
    config: ConfigDict, runtime: Runtime, recipe: Recipe, learners: Mapping[str, Learner],
    agents: Mapping[str, AgentState], params: Mapping[str, Any], ref_params: Mapping[str, Any],
    prompts: Sequence[Prompt], stream: int, step: int,
) -> tuple[dict[str, AgentState], dict[str, float]]:  # fmt: skip
    """Roll out, score, update each trained role; the agents after it and the step's metrics.

    The next rollout needs these very parameters, so there is nothing to overlap: metrics are
    fetched here.
    """
    started = time.perf_counter()
    sampling = Sampling(config.rollout.max_new_tokens, config.rollout.temperature)
    speak = make_speak(
        runtime, _merged(params, agents), sampling, seed=stream, step=step,
        rows=config.rollout.batch,
    )  # fmt: skip
    episodes = recipe.collect(prompts, runtime.chat, speak)
    recipe.score(episodes)
    rows = recipe.rows(episodes, step_rng(stream, step))
    metrics: dict[str, Any] = dict(recipe.summary(episodes))
    rolled_out = time.perf_counter()
    after = dict(agents)
    for role, samples in rows.items():
        if not samples:  # no text of this role fitted the model
            continue
        batch = device_batch(
            samples,
            runtime.mesh,
            microbatches=config.rl.microbatches,
            multiple=config.rollout.length_multiple,
            weights=config.rl.weights,
            max_length=runtime.cfg.max_positions,
        )
        after[role], of_role = learners[role].learn(agents[role], ref_params[role], batch)
        metrics |= {f"{name}/{role}": value for name, value in of_role.items()}
    metrics = {name: float(value) for name, value in jax.device_get(metrics).items()}
    jax.block_until_ready(after)
    ended = time.perf_counter()
    return after, metrics | {"time_s": ended - started, "rollout_s": rolled_out - started}


def _merged(params: Mapping[str, Any], agents: Mapping[str, AgentState]) -> dict[str, Any]:
    return {**params, **{role: agent.params for role, agent in agents.items()}}


def _check_finite(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    bad = [k for k, v in metrics.items() if k.startswith(MUST_BE_FINITE) and not math.isfinite(v)]
    if bad:
        raise FloatingPointError(
            f"{stage}, step {step}: {', '.join(bad)} not finite; nothing of this step is saved, "
            "earlier checkpoints stay; lower config.optim.lr or raise config.rl.beta"
        )


def _optimizer(config: ConfigDict, role: str, steps: int):
    o = config.optim
    updates = steps * config.rl.updates_per_rollout
    return make_optimizer(
        lr=o.lr[role], warmup_steps=o.warmup_steps, b1=o.b1, b2=o.b2,
        weight_decay=o.weight_decay, grad_clip=o.grad_clip,
        decay_steps=updates if o.schedule == "linear" else 0,
    )  # fmt: skip


def _learner(config: ConfigDict, runtime: Runtime, recipe: Recipe, optimizer) -> Learner:
    return Learner(
        runtime.cfg,
        optimizer,
        recipe.loss,
        recipe.credit,
        temperature=config.rollout.temperature,
        chunk=config.model.logprob_chunk,
        updates=config.rl.updates_per_rollout,
    )
