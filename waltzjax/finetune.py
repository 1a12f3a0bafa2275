"""Supervised fine-tuning of one agent on chats: packed rows, loss on what the assistant says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.config import EMBEDDED
from waltzjax.core.losses import nll
from waltzjax.data.chat_examples import Shown, shown_prompts
from waltzjax.data.chat_sets import MANIFEST, verify_chats
from waltzjax.data.chats import Messages, read_chats
from waltzjax.data.dataset_check import DatasetError
from waltzjax.data.source import Batches, drawn, steps_per_run
from waltzjax.data.splits import SPLITS
from waltzjax.data.text import normalised
from waltzjax.iteration import agent_optimizer
from waltzjax.likelihood import Row, packed_rows, place_rows
from waltzjax.model.architecture import ModelConfig
from waltzjax.rollout.session import Stats
from waltzjax.runtime import Runtime, prompt_files
from waltzjax.stage import Stage
from waltzjax.training.step import Join, make_update, shardings
from waltzjax.tuning import Tuning
from waltzjax.types import CONVERSATION, FEEDBACK, AgentState, Prompt

STREAM = 4  # apart from the random streams of other stages and of evaluation


def sft_chats(config: ConfigDict) -> dict[str, list[Messages]]:
    """The agent's chats by split: of a set with a manifest, or of files of your own without one.

    Raises:
      FileNotFoundError: there is no such file.
      DatasetError: lines that are no chats, or files that are not those of the manifest.
      ValueError: chats of another embedded world than the run's.
    """
    s, chats = config.sft, {}
    if (Path(s.data) / MANIFEST).exists():
        _check_world(config, verify_chats(Path(s.data))["source"])
    for split in SPLITS:
        path = _chat_file(config, split)
        if not path.exists():
            raise FileNotFoundError(
                f"config.sft.data: no file {path}; scripts/make_sft_data.py writes such"
            )
        chats[split] = read_chats(path)
    return chats | {"train": drawn(chats["train"], s.examples, config.seed)}


def _check_world(config: ConfigDict, source: Mapping[str, Any]) -> None:
    mine = {name: config.embedded.get(name) for name in source}
    if config.data.directory == EMBEDDED and mine != source:
        flags = " ".join(f"--{name}={value}" for name, value in mine.items())
        raise ValueError(
            f"config.sft.data: {config.sft.data} has chats of the embedded world {dict(source)}; "
            f"config.embedded's is {mine}, which holds out other prompts: make them with "
            f"scripts/make_sft_data.py --embedded {flags}"
        )


def check_unseen(config: ConfigDict, chats: Sequence[Messages], held_out: Sequence[Prompt]) -> None:
    """Raise DatasetError where training chats show the agent held-out prompts as a run does; say
    how many have another system prompt, which may show them in another way."""
    role, path = config.sft.role, _chat_file(config, "train")
    agents = dict(zip((CONVERSATION, FEEDBACK), Shown.read(*prompt_files(config)), strict=True))
    template = agents[FEEDBACK].message if role == FEEDBACK else "{prompt}"
    prompts = {normalised(prompt.text): prompt.text for prompt in held_out}

    def held(chat: Messages) -> Iterator[str]:
        for message in chat:
            if message["role"] == "user":
                shown = map(normalised, shown_prompts(template, message["content"]))
                yield from (prompts[text] for text in shown if text in prompts)

    if seen := [text for chat in chats if (text := next(held(chat), ""))]:
        raise DatasetError(
            f"config.sft.data: {len(seen)} of the {len(chats)} chats of {path} ask held-out "
            f"prompts, the first {seen[0]!r:.80}; rates on what was trained on say nothing: make "
            "chats of transcripts of training prompts (python -m waltzjax.evaluate --split=train)"
        )
    systems = (chat[0]["content"] if chat[0]["role"] == "system" else "" for chat in chats)
    if others := sum(system != agents[role].system for system in systems):
        console.say(
            f"note: {others} of the {len(chats)} chats of {path} have another system prompt than "
            f"config.prompts.{role}, which the agent has in a run"
        )


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
        steps_key="config.sft.epochs",
        calmer="lower config.sft.lr",
        step=step,
    )  # fmt: skip
