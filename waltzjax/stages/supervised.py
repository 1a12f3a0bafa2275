"""Supervised fine-tuning: packed rows of chats, loss on what the assistant says."""

from __future__ import annotations

from collections.abc import Sequence

from ml_collections import ConfigDict

from waltzjax.config.key import SFT
from waltzjax.core.losses import nll
from waltzjax.data.source import steps_per_run
from waltzjax.evaluation.likelihood import Row, place_rows
from waltzjax.run.runtime import Runtime
from waltzjax.stages.data_stage import data_stage
from waltzjax.stages.stage import Stage, StageInputs

STREAM = 4  # apart from the random streams of other stages and of evaluation


def supervise(
    config: ConfigDict, runtime: Runtime, rows: Sequence[Row], inputs: StageInputs
) -> Stage:
    """The stage "sft" of ``config.sft.role``."""
    s = config.sft
    if not steps_per_run(len(rows), s.batch, s.epochs):
        raise ValueError(
            f"config.sft.batch: got {s.batch}, allowed is at most rows * epochs = {len(rows)} * "
            f"{s.epochs}; rows of config.sft.length = {s.length} tokens hold several chats"
        )
    return data_stage(
        config,
        runtime,
        inputs,
        name=SFT,
        role=s.role,
        items=rows,
        stream=STREAM,
        loss=nll,
        names=[repr(row) for row in rows],
        place=lambda chosen: place_rows(config, runtime.mesh, chosen),
        measure=lambda step, chosen, metrics: {"tokens": trained_tokens(chosen)},
        lengths=lambda rows: [len(chat.token_ids) for row in rows for chat in row],
        divergence_hint=f"lower config.optim.lr.{s.role}",
    )


def trained_tokens(rows: Sequence[Row]) -> float:
    """How many tokens the assistant says in the rows' chats."""
    return float(sum(sum(chat.trained) for row in rows for chat in row))
