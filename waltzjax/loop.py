"""The loop of one stage: prompts, episodes, rewards, updates, metrics, checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from waltzjax import console, recipes
from waltzjax.data.source import prompt_batches, steps_per_run
from waltzjax.rollout.engine import Sampling
from waltzjax.runtime import Runtime, make_speak, step_rng
from waltzjax.training.checkpoint import Checkpoints
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.metrics import MetricWriter
from waltzjax.training.optim import make_optimizer
from waltzjax.types import Prompt

SHOWN = ("reward/conversation", "reward/feedback", "asr", "orr", "ftr", "label_accuracy")
# Distinguishes the stages' random streams: the same prompts are seen in both.
STREAM = {"stage1": 1, "stage2": 2}


class Stopped(Exception):
    """SIGTERM arrived; the checkpoint is written."""


def stage_steps(config: ConfigDict, stage: str, n_prompts: int) -> int:
    """Optimiser steps of a stage: as configured, or ``epochs`` passes over the prompts."""
    full = steps_per_run(n_prompts, config.rollout.batch, config.train.epochs)
    return config.train.steps[stage] or full


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
    """
    recipe = recipes.build(stage, config)
    total = stage_steps(config, stage, len(prompts))
    learners, agents = {}, {}
    for role in recipe.trained:
        optimizer = _optimizer(config, role, total)
        learners[role] = _learner(config, runtime, recipe, optimizer)
        agents[role] = init_state(params[role], optimizer, runtime.mesh)
    stream = config.seed * 10 + STREAM[stage]
    batches = prompt_batches(prompts, batch_size=config.rollout.batch, seed=stream, epochs=None)
    checkpoints = Checkpoints(
        workdir / "checkpoints" / stage, config.train.keep_checkpoints, console.say
    )
    step, found = 0, checkpoints.restore(agents)
    if found:
        step, agents, host = found
        batches.set_state(host["data"])
        console.say(f"{stage}: resumed after step {step}")
    writer = MetricWriter(workdir, stage, step)
    sampling = Sampling(config.rollout.max_new_tokens, config.rollout.temperature)
    epoch_ends = {
        steps_per_run(len(prompts), config.rollout.batch, e + 1) for e in range(config.train.epochs)
    }
    pending: dict[str, Any] | None = None

    def flush() -> None:
        nonlocal pending
        if pending:
            values = {k: float(v) for k, v in jax.device_get(pending["metrics"]).items()}
            writer.write_scalars(pending["step"], values)
            shown = {k: values[k] for k in SHOWN if np.isfinite(values.get(k, np.nan))}
            bar.update(pending["step"], **shown)
            pending = None

    label = stage.replace("stage", "stage ")
    with _term_flag() as terminated, console.Progress(total, label, initial=step) as bar:
        while step < total:
            started = time.perf_counter()
            current = {**params, **{role: a.params for role, a in agents.items()}}
            speak = make_speak(
                runtime, current, sampling, seed=stream, step=step, rows=config.rollout.batch
            )
            episodes = recipe.collect(next(batches), runtime.chat, speak)
            recipe.score(episodes)
            rows = recipe.rows(episodes, step_rng(stream, step))
            metrics: dict[str, Any] = recipe.summary(episodes)
            rolled_out = time.perf_counter()
            for role, samples in rows.items():
                batch = device_batch(
                    samples,
                    runtime.mesh,
                    microbatches=config.rl.microbatches,
                    multiple=config.rollout.length_multiple,
                    weights=config.rl.weights,
                    max_length=runtime.cfg.max_positions,
                )
                agents[role], of_role = learners[role].learn(agents[role], ref_params[role], batch)
                metrics |= {f"{name}/{role}": value for name, value in of_role.items()}
            flush()  # the previous step's, while this one's update runs
            jax.block_until_ready(agents)
            ended = time.perf_counter()
            step += 1
            metrics |= {"time_s": ended - started, "rollout_s": rolled_out - started}
            pending = {"step": step, "metrics": metrics}
            due = step % config.train.checkpoint_every == 0 or step in epoch_ends or step == total
            if due or terminated():
                flush()
                checkpoints.save(step, agents, {"data": batches.get_state(), "step": step})
            if terminated():
                checkpoints.close()
                writer.close()
                raise Stopped(f"{stage}: stopped by SIGTERM after step {step}; checkpoint written")
            every = config.train.validate_every
            if every and step % every == 0 and step < total:
                flush()
                validate(step, {**params, **{role: a.params for role, a in agents.items()}})
        flush()
    checkpoints.close()
    writer.close()
    return {**params, **{role: agent.params for role, agent in agents.items()}}


def _optimizer(config: ConfigDict, role: str, steps: int):
    o = config.optim
    updates = steps * config.rl.updates_per_rollout
    return make_optimizer(
        lr=o.lr[role], warmup_steps=o.warmup_steps, b1=o.b1, b2=o.b2,
        weight_decay=o.weight_decay, grad_clip=o.grad_clip,
        decay_steps=updates if o.schedule == "linear" else 0,
    )  # fmt: skip


def _learner(config: ConfigDict, runtime: Runtime, recipe: recipes.Recipe, optimizer) -> Learner:
    return Learner(
        runtime.cfg,
        runtime.mesh,
        optimizer,
        recipe.loss,
        recipe.credit,
        temperature=config.rollout.temperature,
        chunk=config.model.logprob_chunk,
        updates=config.rl.updates_per_rollout,
    )


class _term_flag:
    """Within the block SIGTERM only raises a flag, so that a step is never cut in half."""

    def __enter__(self) -> Callable[[], bool]:
        self._seen = False
        try:
            self._before = signal.signal(signal.SIGTERM, self._set)
        except ValueError:  # not the main thread: leave signals to whoever has them
            self._before = None
        return lambda: self._seen

    def _set(self, *_: Any) -> None:
        self._seen = True

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
