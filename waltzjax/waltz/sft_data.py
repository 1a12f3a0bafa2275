"""Supervised fine-tuning of one agent on chats: packed rows, loss on what the assistant says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.data.chats import Messages, read_chats
from waltzjax.data.shown import Shown
from waltzjax.data.source import drawn
from waltzjax.data.text import normalised
from waltzjax.dataset.manifest import MANIFEST
from waltzjax.dataset.splits import SPLITS
from waltzjax.evaluation.likelihood import Row, packed_rows
from waltzjax.run.runtime import Runtime, prompt_files
from waltzjax.support import console
from waltzjax.support.errors import DatasetError
from waltzjax.types import CONVERSATION, FEEDBACK, Prompt
from waltzjax.waltz.chat_examples import shown_prompts
from waltzjax.waltz.chat_set import verify_chats


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
