"""Supervised fine-tuning of one agent on chats: packed rows, loss on what the assistant says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from waltzjax.core.losses import nll
from waltzjax.data.chat_sets import MANIFEST, verify_chats
from waltzjax.data.chats import Messages, read_chats
from waltzjax.data.source import Batches, steps_per_run
from waltzjax.data.splits import SPLITS
from waltzjax.iteration import agent_optimizer
from waltzjax.likelihood import Row, packed_rows, place_rows
from waltzjax.model.architecture import ModelConfig
from waltzjax.rollout.session import Stats
from waltzjax.runtime import Runtime
from waltzjax.stage import Stage
from waltzjax.training.step import Join, make_update, shardings
from waltzjax.tuning import Tuning
from waltzjax.types import AgentState

STREAM = 4  # apart from the random streams of other stages and of evaluation


def sft_chats(config: ConfigDict) -> dict[str, list[Messages]]:
    """The agent's chats by split: of a set with a manifest, or of files of your own without one.

    Raises:
      FileNotFoundError: there is no such file.
      DatasetError: lines that are no chats, or files that are not those of the manifest.
    """
    s, chats = config.sft, {}
    if (Path(s.data) / MANIFEST).exists():
        verify_chats(Path(s.data))
    for split in SPLITS:
        path = _chat_file(config, split)
        if not path.exists():
            raise FileNotFoundError(
                f"config.sft.data: no file {path}; scripts/make_sft_data.py writes such"
            )
        chats[split] = read_chats(path)
    if s.examples:
        everything = chats["train"]
        chosen = np.random.default_rng(config.seed).permutation(len(everything))[: s.examples]
        chats["train"] = [everything[i] for i in sorted(chosen)]
    return chats


def sft_rows(
    config: ConfigDict, runtime: Runtime, split: str, chats: Sequence[Messages]
) -> list[Row]:
    """``sft_chats`` in packed rows; ValueError as of ``packed_rows``."""
    return packed_rows(_chat_file(config, split), chats, runtime, config.sft.length)


def _chat_file(config: ConfigDict, split: str) -> Path:
    return Path(config.sft.data) / f"{config.sft.role}-{split}.jsonl"


def sft_update(
    config: ConfigDict, cfg: ModelConfig, optimizer: Any, join: Join, state: AgentState
) -> Any:
    """The stage's jitted update, for states with the shardings of ``state``."""
    return make_update(
        cfg, nll, optimizer, temperature=1.0, block=config.model.vocab_block,
        state_sharding=shardings(state), join=join, seed=config.seed,
    )  # fmt: skip


def supervise(
    config: ConfigDict, runtime: Runtime, tuning: Tuning, base: Any, rows: Sequence[Row]
) -> Stage:
    """The stage "sft" of ``config.sft.role``."""
    s, mesh = config.sft, runtime.mesh
    full = steps_per_run(len(rows), s.batch, s.epochs)
    if not full:
        raise ValueError(
            f"config.sft.batch: got {s.batch}, allowed is at most rows * epochs = {len(rows)} * "
            f"{s.epochs}; rows of config.sft.length = {s.length} tokens hold several chats"
        )
    optimizer = agent_optimizer(config, s.lr, full)
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
            update = sft_update(config, runtime.cfg, optimizer, tuning.join, agent)
        batch = place_rows(config, mesh, chosen)
        after, metrics = update(agent, batch, base)
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
        beta=0.0,
        step=step,
    )  # fmt: skip
