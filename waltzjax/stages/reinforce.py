"""Stages of reinforcement learning: at each step roll out, score, update each trained agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from waltzjax.data.batching import padding
from waltzjax.data.source import epoch_ends, prompt_batches, steps_per_run
from waltzjax.metrics.clock import part
from waltzjax.model.architecture import ModelConfig
from waltzjax.run.runtime import Runtime, sampling
from waltzjax.run.trainable import merged_params
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.rollout import Roll, Watch
from waltzjax.stages.stage import Stage, StageInputs, StepResult
from waltzjax.stages.step_work import rollout_work
from waltzjax.training.learner import Learner, device_batch
from waltzjax.training.optimizer import make_optimizer
from waltzjax.training.step import Merge
from waltzjax.types import AgentState, Problem, Prompt, Sample


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


def reinforce(
    config: ConfigDict,
    name: str,
    recipe: Recipe,
    runtime: Runtime,
    inputs: StageInputs,
    prompts: Sequence[Prompt | Problem],
    rolls: Callable[[Callable[[], Sequence[Any]]], Roll],
) -> Stage:
    """The stage ``name``. ``rolls(more)`` is its rollout; ``more()`` gives it the next batch's
    prompts.

    The agents it begins at are also the reference the KL is measured from: not the base, which in
    stage 2 would pull the feedback agent back to what stage 1 has mended.
    """
    trainable, base, start = inputs
    batch = config.rollout.batch
    total = stage_steps(config, name, len(prompts))
    updates = total * config.rl.updates_per_rollout
    optimizers = {
        role: agent_optimizer(config, config.optim.lr[role], updates) for role in recipe.trained
    }
    learners = {
        role: agent_learner(config, runtime.cfg, recipe, trainable.merge, optimizers[role])
        for role in optimizers
    }
    reference = merged_params(trainable, base, start)
    stream = config.seed * 10 + recipe.stream
    batches = prompt_batches(prompts, batch_size=batch, seed=stream, epochs=None)
    roll = rolls(lambda: next(batches))

    def step(
        agents: Mapping[str, AgentState], chosen: Sequence[Any], number: int, watch: Watch
    ) -> StepResult:
        started = time.perf_counter()
        now = {**start, **{role: agent.params for role, agent in agents.items()}}
        with part("generate"):
            rolled = roll(merged_params(trainable, base, now), chosen, stream, number, watch)
        rolled_out = time.perf_counter()
        after, metrics = update(
            config, runtime, recipe, learners, agents, base, reference, rolled.rows
        )
        drawn = rolled.stats
        work = rollout_work(
            runtime.cfg,
            rolled.rows,
            drawn,
            adapter=config.lora.rank > 0,
            updates=config.rl.updates_per_rollout,
        )
        figures = {
            "rollout_s": rolled_out - started,
            "rollout_tokens": drawn.tokens,
            "rollout_occupancy": drawn.occupancy,
            "rollout_tokens_per_s": drawn.tokens_per_s,
        }
        texts = {"rollout": rolled.example} if rolled.example else {}
        return StepResult(after, rolled.metrics | metrics | work | figures, texts)

    return Stage(
        name=name,
        total=total,
        epoch_ends=epoch_ends(len(prompts), batch, config.train.epochs),
        batches=batches,
        optimizers=optimizers,
        kl_coef=recipe.kl_coef,
        steps_key=f"config.train.steps.{name}",
        divergence_hint="lower config.optim.lr or raise config.rl.beta",
        step=step,
    )


def update(
    config: ConfigDict,
    runtime: Runtime,
    recipe: Recipe,
    learners: Mapping[str, Learner],
    agents: Mapping[str, AgentState],
    base: Any,
    reference: Mapping[str, Any],
    rows: Mapping[str, Sequence[Sample]],
) -> tuple[dict[str, AgentState], dict[str, float]]:
    """Update each trained role on its rows; the agents after it and the metrics.

    ``reference`` is every role's, for the KL; ``base`` is what adapters are merged with. The next
    rollout needs the agents as they are after this step, so there is nothing to overlap: metrics
    are fetched here.
    """
    metrics: dict[str, Any] = {}
    after = dict(agents)
    for role, samples in rows.items():
        if not samples:  # no text of this role fitted the model, or no group told answers apart
            continue
        batch = device_batch(
            samples,
            runtime.mesh,
            microbatches=config.rl.microbatches,
            multiple=config.rollout.pad_to_multiple_of,
            weights=recipe.weights,
            max_new_tokens=config.rollout.max_new_tokens,
            max_length=runtime.cfg.max_positions,
            # Also where the judge left some open: one program.
            min_rows=config.rollout.batch * config.rollout.group,
            truncated=sampling(config, config.rollout.temperature).truncates,
            token_budget=config.rl.token_budget,
            longest_text=runtime.cfg.longest_text,
        )
        after[role], of_role = learners[role].learn(agents[role], base, reference[role], batch)
        metrics |= {f"{name}/{role}": value for name, value in of_role.items()}
        metrics[f"padding/{role}"] = padding(samples, batch)
    scalars = {name: float(value) for name, value in jax.device_get(metrics).items()}
    jax.block_until_ready(after)
    return after, scalars


def agent_optimizer(config: ConfigDict, lr: float, updates: int):
    o = config.optim
    return make_optimizer(
        lr=lr,
        warmup_steps=o.warmup_steps,
        b1=o.b1,
        b2=o.b2,
        weight_decay=o.weight_decay,
        grad_clip=o.grad_clip,
        decay_steps=updates if o.schedule == "linear" else 0,
        eps=o.eps,
    )


def agent_learner(
    config: ConfigDict, cfg: ModelConfig, recipe: Recipe, merge: Merge, optimizer
) -> Learner:
    return Learner(
        cfg,
        optimizer,
        recipe.loss,
        recipe.compute_advantages,
        temperature=config.rollout.temperature,
        block=config.model.logit_chunk,
        updates=config.rl.updates_per_rollout,
        next_kl_coef=recipe.next_kl_coef,
        merge=merge,
    )
