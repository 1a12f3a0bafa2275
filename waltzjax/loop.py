"""The loop of one stage: iterations, metrics, checkpoints, resumption, stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.data.source import prompt_batches, steps_per_run
from waltzjax.interrupts import StopSignals
from waltzjax.iteration import agent_learner, agent_optimizer, one_step
from waltzjax.processes import alone, largest, writing
from waltzjax.recipes import RECIPES
from waltzjax.rewards.judges import Judge
from waltzjax.rewards.patience import JudgeOutage, JudgeStopped
from waltzjax.rollout.session import Stats
from waltzjax.runtime import Runtime
from waltzjax.training.checkpoint import Checkpoints
from waltzjax.training.learner import abstract_state, init_state, shapes_of
from waltzjax.training.metrics import MetricWriter
from waltzjax.tuning import Tuning, joined
from waltzjax.types import Prompt

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
    tuning: Tuning,
    base: Any,
    start: Mapping[str, Any],
    prompts: Sequence[Prompt],
    workdir: Path,
    judge: Judge,
    validate: Callable[[int, Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Train one stage from its newest checkpoint, or from ``start``; what is trained at its end.

    ``start`` is what is trained of each role (see ``tuning``), beside the parameters of ``base``.
    It is also the reference the KL is measured from: not the base, which in stage 2 would pull the
    feedback agent back to what stage 1 has mended.

    ``validate(step, trained)`` is called every ``config.train.validate_every`` steps. After a kill
    the same call continues: bit for bit on the same devices, and nothing is recorded twice.

    Raises:
      Stopped: SIGTERM or Ctrl-C; a checkpoint of the last whole step is written.
      JudgeOutage: the judge cannot be reached any more; a checkpoint of the last step is written.
      FloatingPointError: a loss or gradient is not finite; nothing of that step is saved.
    """
    recipe = RECIPES[stage](config)
    total = stage_steps(config, stage, len(prompts))
    optimizers = {role: agent_optimizer(config, role, total) for role in recipe.trained}
    learners = {
        role: agent_learner(config, runtime.cfg, recipe, tuning.join, optimizers[role])
        for role in optimizers
    }
    reference = joined(tuning, base, start)
    stream = config.seed * 10 + recipe.stream
    batches = prompt_batches(prompts, batch_size=config.rollout.batch, seed=stream, epochs=None)
    epoch_ends = {
        steps_per_run(len(prompts), config.rollout.batch, e + 1) for e in range(config.train.epochs)
    }
    checkpoints = Checkpoints(
        workdir / "checkpoints" / stage, config.train.keep_checkpoints, console.say
    )
    mesh = runtime.mesh
    form = {role: abstract_state(shapes_of(start[role]), o, mesh) for role, o in optimizers.items()}
    step, found = 0, checkpoints.restore(form)
    if found:
        step, agents, host = found
        batches.set_state(host["data"])
        console.say(f"{stage}: resumed after step {step}")
    else:
        agents = {
            role: init_state(start[role], o, mesh, recipe.beta) for role, o in optimizers.items()
        }
    begun, every = step, config.train.validate_every
    label = stage.replace("stage", "stage ")

    def now() -> dict[str, Any]:
        return {**start, **{role: agent.params for role, agent in agents.items()}}

    def saved() -> str:
        return f"{stage} stands saved after step {step}; the same command goes on from there"

    def keep(data: Any) -> None:
        checkpoints.save(step, agents, {"data": data, "config": config.to_dict()})

    def validate_if_due() -> None:
        if every and step % every == 0 and 0 < step < total:
            # Of several processes none may leave the others in the middle of an evaluation.
            with stop.at_once(saved()) if alone() else nullcontext():
                validate(step, now())

    with (
        closing(checkpoints),
        writing(lambda: closing(MetricWriter(workdir, stage, step))) as writer,
        StopSignals(judge.stop) as stop,
        console.Progress(total, label, initial=step) as bar,
    ):
        counted: dict[str, float] = {}
        validate_if_due()  # a resumed run may have been stopped during this one
        while step < total:
            first = f"{label}: first step, compiling"
            with console.phase(first) if step == begun else nullcontext():
                before = batches.get_state()
                try:
                    agents, metrics = one_step(
                        config, runtime, recipe, learners, agents, joined(tuning, base, now()),
                        base, reference, next(batches), judge, stream, step,
                        partial(_watch, bar, step, counted),
                    )  # fmt: skip
                except (JudgeOutage, JudgeStopped) as error:
                    if step > begun:
                        keep(before)
                    stop.check(stop.received, saved())
                    raise JudgeOutage(f"{error}; {saved()}") from error
            step += 1
            _check_finite(stage, step, metrics)
            if writer:
                writer.write_scalars(step, metrics)
            counted = {k: v for k, v in metrics.items() if k in SHOWN and math.isfinite(v)}
            bar.update(step, **counted)
            due = step % config.train.checkpoint_every == 0 or step in epoch_ends or step == total
            validates = every and step % every == 0
            asked = largest(stop.received)  # one process stops when all do
            if due or validates or asked:
                keep(batches.get_state())
                stop.check(asked, saved())
            validate_if_due()
    return now()


def _check_finite(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    bad = [k for k, v in metrics.items() if k.startswith(MUST_BE_FINITE) and not math.isfinite(v)]
    if bad:
        raise FloatingPointError(
            f"{stage}, step {step}: {', '.join(bad)} not finite; nothing of this step is saved, "
            "earlier checkpoints stay; lower config.optim.lr or raise config.rl.beta"
        )


def _watch(bar: console.Progress, step: int, counted: Mapping[str, float], stats: Stats) -> None:
    bar.update(step, **counted, **stats.shown())
