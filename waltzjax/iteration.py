"""Stages of reinforcement learning: at each step roll out, score, update each trained agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from waltzjax.data.source import prompt_batches, steps_per_run
from waltzjax.model.architecture import ModelConfig
from waltzjax.recipes import RECIPES, Recipe
from waltzjax.rewards.judges import Judge, Scorer
from waltzjax.rollout.agents import Agents
from waltzjax.rollout.session import Stats
from waltzjax.runtime import Runtime, sampling, step_rng
from waltzjax.stage import Stage
from waltzjax.training.learner import Learner, device_batch
from waltzjax.training.optim import make_optimizer
from waltzjax.training.step import Join
from waltzjax.tuning import Tuning, joined
from waltzjax.types import AgentState, Episode, Prompt


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
    config: ConfigDict, name: str, runtime: Runtime, tuning: Tuning, base: Any,
    start: Mapping[str, Any], prompts: Sequence[Prompt], judge: Judge,
) -> Stage:  # fmt: skip
    """The stage ``name`` of ``recipes``, from ``start``: what is trained of each role, beside the
    parameters of ``base``.

    ``start`` is also the reference the KL is measured from: not the base, which in stage 2 would
    pull the feedback agent back to what stage 1 has mended.
    """
    recipe, batch = RECIPES[name](config), config.rollout.batch
    total = stage_steps(config, name, len(prompts))
    updates = total * config.rl.updates_per_rollout
    optimizers = {
        role: agent_optimizer(config, config.optim.lr[role], updates) for role in recipe.trained
    }
    learners = {
        role: agent_learner(config, runtime.cfg, recipe, tuning.join, optimizers[role])
        for role in optimizers
    }
    reference = joined(tuning, base, start)
    stream = config.seed * 10 + recipe.stream

    def step(
        agents: Mapping[str, AgentState], chosen: Sequence[Prompt], number: int,
        watch: Callable[[Stats], None],
    ) -> tuple[dict[str, AgentState], dict[str, float]]:  # fmt: skip
        now = {**start, **{role: agent.params for role, agent in agents.items()}}
        return one_step(
            config, runtime, recipe, learners, agents, joined(tuning, base, now), base, reference,
            chosen, judge, stream, number, watch,
        )  # fmt: skip

    return Stage(
        name=name,
        total=total,
        epoch_ends={steps_per_run(len(prompts), batch, e + 1) for e in range(config.train.epochs)},
        batches=prompt_batches(prompts, batch_size=batch, seed=stream, epochs=None),
        optimizers=optimizers,
        beta=recipe.beta,
        step=step,
    )


def one_step(
    config: ConfigDict, runtime: Runtime, recipe: Recipe, learners: Mapping[str, Learner],
    agents: Mapping[str, AgentState], params: Mapping[str, Any], base: Any,
    reference: Mapping[str, Any], prompts: Sequence[Prompt], judge: Judge, stream: int, step: int,
    watch: Callable[[Stats], None] = lambda _: None,
) -> tuple[dict[str, AgentState], dict[str, float]]:  # fmt: skip
    """Roll out, score, update each trained role; the agents after it and the step's metrics.

    ``params`` and ``reference`` are every role's, for the rollout and for the KL; ``base`` is what
    adapters are joined with; ``watch`` is told how generation goes. The next rollout needs the
    agents as they are after this step, so there is nothing to overlap: metrics are fetched here.
    """
    started = time.perf_counter()
    found: dict[int, Episode] = {}
    with (
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
        runtime.engine.session(params) as session,
    ):
        how = sampling(config, config.rollout.temperature)
        agents_ = Agents(runtime.chat, session, how, seed=stream, step=step, watch=watch)
        for index, episode in recipe.collect(prompts, runtime.chat, agents_):
            scorer.add(episode)  # while the device goes on with the others
            found[index] = episode
        drawn = session.stats()
        session.close()  # the judge may be a model that needs the room
        scorer.finish()
    episodes = [found[index] for index in range(len(prompts))]
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
            min_rows=config.rollout.batch,  # also where the judge left some open: one program
            truncated=how.truncates,
        )
        after[role], of_role = learners[role].learn(agents[role], base, reference[role], batch)
        metrics |= {f"{name}/{role}": value for name, value in of_role.items()}
    metrics = {name: float(value) for name, value in jax.device_get(metrics).items()}
    jax.block_until_ready(after)
    ended = time.perf_counter()
    return after, metrics | {
        "time_s": ended - started, "rollout_s": rolled_out - started,
        "rollout_tokens": drawn.tokens, "rollout_occupancy": drawn.occupancy,
        "rollout_tokens_per_s": drawn.tokens_per_s,
    }  # fmt: skip


def agent_optimizer(config: ConfigDict, lr: float, updates: int):
    o = config.optim
    return make_optimizer(
        lr=lr, warmup_steps=o.warmup_steps, b1=o.b1, b2=o.b2,
        weight_decay=o.weight_decay, grad_clip=o.grad_clip,
        decay_steps=updates if o.schedule == "linear" else 0, eps=o.eps,
    )  # fmt: skip


def agent_learner(
    config: ConfigDict, cfg: ModelConfig, recipe: Recipe, join: Join, optimizer
) -> Learner:
    return Learner(
        cfg,
        optimizer,
        recipe.loss,
        recipe.credit,
        temperature=config.rollout.temperature,
        block=config.model.vocab_block,
        updates=config.rl.updates_per_rollout,
        adapt=recipe.adapt,
        join=join,
        seed=config.seed,
    )
