"""Supervised fine-tuning: packed rows of chats, loss on what the assistant says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from waltzjax.core.losses import nll
from waltzjax.data.source import Batches, steps_per_run
from waltzjax.engine.session import Stats
from waltzjax.evaluation.likelihood import Row, place_rows
from waltzjax.model.architecture import ModelConfig
from waltzjax.run.runtime import Runtime
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.stages.stage import Stage, StageInputs
from waltzjax.training.step import Merge, make_update, shardings
from waltzjax.types import AgentState

STREAM = 4  # apart from the random streams of other stages and of evaluation


def sft_update(
    config: ConfigDict, cfg: ModelConfig, optimizer: Any, merge: Merge, state: AgentState
) -> Any:
    """The stage's jitted update, for states with the shardings of ``state``."""
    return make_update(
        cfg, nll, optimizer, temperature=1.0, block=config.model.logit_chunk,
        state_sharding=shardings(state), merge=merge, seed=config.seed,
    )  # fmt: skip


def supervise(
    config: ConfigDict, runtime: Runtime, rows: Sequence[Row], inputs: StageInputs
) -> Stage:
    """The stage "sft" of ``config.sft.role``."""
    s, mesh = config.sft, runtime.mesh
    full = steps_per_run(len(rows), s.batch, s.epochs)
    if not full:
        raise ValueError(
            f"config.sft.batch: got {s.batch}, allowed is at most rows * epochs = {len(rows)} * "
            f"{s.epochs}; rows of config.sft.length = {s.length} tokens hold several chats"
        )
    optimizer, merge = (
        agent_optimizer(config, config.optim.lr[s.role], full),
        inputs.trainable.merge,
    )
    update: Any = None

    def step(
        agents: Mapping[str, AgentState], chosen: Sequence[Row], number: int,
        watch: Callable[[Stats], None],
    ) -> tuple[dict[str, AgentState], dict[str, float]]:  # fmt: skip
        del number, watch
        nonlocal update
        started = time.perf_counter()
        agent = agents[s.role]
        if update is None:
            update = sft_update(config, runtime.cfg, optimizer, merge, agent)
        batch = place_rows(config, mesh, chosen)
        after, metrics = update(agent, batch, inputs.base)
        found = {f"{name}/{s.role}": float(v) for name, v in jax.device_get(metrics).items()}
        found[f"tokens/{s.role}"] = float(np.sum([sum(c.trained) for row in chosen for c in row]))
        return {s.role: after}, found | {"time_s": time.perf_counter() - started}

    return Stage(
        name="sft",
        total=full,
        epoch_ends={steps_per_run(len(rows), s.batch, e + 1) for e in range(s.epochs)},
        batches=Batches(
            rows, [repr(row) for row in rows], batch_size=s.batch,
            seed=config.seed * 10 + STREAM, epochs=None,
        ),
        optimizers={s.role: optimizer},
        kl_coef=0.0,
        steps_key="config.sft.epochs",
        divergence_hint=f"lower config.optim.lr.{s.role}",
        step=step,
    )  # fmt: skip
