"""Stages that learn from a fixed set of items, chats or pairs: a step is one update on a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from waltzjax.data.source import Batches, epoch_ends, steps_per_run
from waltzjax.metrics.clock import program
from waltzjax.model.architecture import ModelConfig
from waltzjax.run.runtime import Runtime
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.stages.rollout import Watch
from waltzjax.stages.stage import Stage, StageInputs, StepResult
from waltzjax.stages.step_work import text_work
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


def _loss_of_update(result: tuple[AgentState, dict[str, jax.Array]]) -> jax.Array:
    return result[1]["loss"]


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
    lengths: Callable[[Sequence[Any]], list[int]],
    forwards: int = 0,
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
      lengths: items -> the tokens of each of their texts.
      forwards: forward passes that ``place`` does, besides the update's.
      divergence_hint: see ``Stage``.
    """
    s = config[name]
    total = steps_per_run(len(items), s.batch, s.epochs)
    optimizer, update = agent_optimizer(config, config.optim.lr[role], total), None

    def step(
        agents: Mapping[str, AgentState], chosen: Sequence[Any], number: int, watch: Watch
    ) -> StepResult:
        del watch
        nonlocal update
        agent = agents[role]
        if update is None:
            merge = inputs.trainable.merge
            update = data_update(config, runtime.cfg, loss, optimizer, merge, agent)
        after, metrics = program(
            "update", update, agent, place(chosen), inputs.base, output=_loss_of_update
        )
        scalars = {key: float(value) for key, value in jax.device_get(metrics).items()}
        scalars |= measure(number + 1, chosen, scalars)
        figures = {f"{key}/{role}": value for key, value in scalars.items()}
        work = text_work(
            runtime.cfg, lengths(chosen), adapter=config.lora.rank > 0, updates=1, forwards=forwards
        )
        return StepResult({role: after}, figures | work)

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
