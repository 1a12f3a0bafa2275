"""Stages that learn from a fixed set of items, chats or pairs: a step is one update on a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from waltzjax.data.source import Batches, epoch_ends, steps_per_run
from waltzjax.model.architecture import ModelConfig
from waltzjax.run.runtime import Runtime
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.stages.rollout import Watch
from waltzjax.stages.stage import Stage, StageInputs
from waltzjax.training.step import LossFn, Merge, make_update, shardings
from waltzjax.types import AgentState

Metrics = dict[str, float]
Measure = Callable[[int, Sequence[Any], Metrics], Metrics]


def data_update(
    config: ConfigDict,
    cfg: ModelConfig,
    loss: LossFn,
    optimizer: Any,
    merge: Merge,
    state: AgentState,
) -> Any:
    """A stage's jitted update, for states with the shardings of ``state``."""
    return make_update(
        cfg,
        loss,
        optimizer,
        temperature=1.0,
        block=config.model.logit_chunk,
        state_sharding=shardings(state),
        merge=merge,
        seed=config.seed,
    )


def data_stage(
    config: ConfigDict,
    runtime: Runtime,
    inputs: StageInputs,
    *,
    name: str,
    role: str,
    items: Sequence[Any],
    names: Sequence[str],
    stream: int,
    loss: LossFn,
    place: Callable[[Sequence[Any]], Any],
    measure: Measure,
    divergence_hint: str,
) -> Stage:
    """The stage ``name`` of ``role``, whose section of the config says ``batch`` and ``epochs``.
    The items give it at least one step.

    Args:
      names: of the items, which tell them from others.
      stream: tells its random stream from other stages'.
      place: at most a batch of items -> the batch on the devices.
      measure: (number of the step from 1, its items, the update's metrics) -> metrics beside them;
        it raises where the run is not to go on.
      divergence_hint: see ``Stage``.
    """
    s = config[name]
    total = steps_per_run(len(items), s.batch, s.epochs)
    optimizer, update = agent_optimizer(config, config.optim.lr[role], total), None

    def step(
        agents: Mapping[str, AgentState], chosen: Sequence[Any], number: int, watch: Watch
    ) -> tuple[dict[str, AgentState], Metrics]:
        del watch
        nonlocal update
        started, agent = time.perf_counter(), agents[role]
        if update is None:
            merge = inputs.trainable.merge
            update = data_update(config, runtime.cfg, loss, optimizer, merge, agent)
        after, metrics = update(agent, place(chosen), inputs.base)
        scalars = {key: float(value) for key, value in jax.device_get(metrics).items()}
        scalars |= measure(number + 1, chosen, scalars)
        return {role: after}, {f"{key}/{role}": value for key, value in scalars.items()} | {
            "time_s": time.perf_counter() - started
        }

    return Stage(
        name=name,
        total=total,
        epoch_ends=epoch_ends(len(items), s.batch, s.epochs),
        batches=Batches(
            items, names, batch_size=s.batch, seed=config.seed * 10 + stream, epochs=None
        ),
        optimizers={role: optimizer},
        kl_coef=0.0,
        steps_key=f"config.{name}.epochs",
        divergence_hint=divergence_hint,
        step=step,
    )
