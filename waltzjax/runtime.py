"""What every command needs once a model is chosen: mesh, architecture, tokenizer, chat, engine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from transformers import AutoTokenizer

from waltzjax.data.chat import PROMPTS, Chat, stop_ids
from waltzjax.model import hf_config
from waltzjax.model.transformer import ModelConfig
from waltzjax.rollout.engine import Engine, Sampling
from waltzjax.rollout.episodes import Speak, request_seed
from waltzjax.types import Completion


class Runtime(NamedTuple):
    """The parts that do not change during a run."""

    mesh: Mesh
    cfg: ModelConfig
    chat: Chat
    engine: Engine


def prompt_files(config: ConfigDict) -> tuple[Path, Path]:
    """The two agents' prompt files: "" is the package's, a relative path that exists is the
    user's, any other is looked up among the package's."""
    chosen = []
    for role, given in config.prompts.items():
        path = Path(given) if given else PROMPTS / f"{role}.txt"
        path = path if path.exists() else PROMPTS / given
        if not path.is_file():
            raise FileNotFoundError(f"config.prompts.{role}: no file {given!r}")
        chosen.append((role, path))
    return dict(chosen)["conversation"], dict(chosen)["feedback"]


def load_tokenizer(directory: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(directory))
    except (OSError, ValueError) as error:
        raise ValueError(f"{directory}: no usable tokenizer ({error})") from error
    if tokenizer.chat_template is None:
        raise ValueError(f"{directory}: the tokenizer has no chat template")
    return tokenizer


def make_runtime(config: ConfigDict, directory: Path, mesh: Mesh) -> Runtime:
    """Read a Hugging Face directory's config and tokenizer; no weights are loaded yet."""
    cfg = hf_config.read_config(
        directory,
        dtype=config.model.dtype,
        param_dtype=config.model.param_dtype,
        remat=config.model.remat,
    )
    tokenizer = load_tokenizer(directory)
    chat = Chat.from_files(tokenizer, *prompt_files(config))
    stops = stop_ids(tokenizer, directory)
    engine = Engine(cfg, mesh, stops, config.rollout.length_multiple)
    return Runtime(mesh, cfg, chat, engine)


def make_speak(
    runtime: Runtime,
    params: Mapping[str, Any],
    sampling: Sampling,
    *,
    seed: int,
    step: int,
    rows: int,
) -> Speak:
    """A ``speak`` for ``rollout.episodes.play``: each role answers with its own parameters."""

    def speak(
        role: str, turn: int, prompts: Sequence[tuple[int, ...]], indices: Sequence[int]
    ) -> list[Completion]:
        seeds = [request_seed(seed, step, role, turn, i) for i in indices]
        done = runtime.engine.generate(params[role], prompts, sampling, seeds, rows=rows)
        return [
            Completion(
                p, t.token_ids, t.logprobs, runtime.chat.decode(t.token_ids), t.finish_reason
            )
            for p, t in zip(prompts, done, strict=True)
        ]

    return speak


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The host's random choices of one step: a function of seed and step, so nothing to save."""
    return np.random.default_rng([seed, step])


@contextlib.contextmanager
def quiet_libraries():
    """Keep libraries' routine chatter off the screen; their warnings stay."""
    names = ("absl", "orbax", "jax", "transformers")
    levels = [(logging.getLogger(n), logging.getLogger(n).level) for n in names]
    for logger, _ in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


def devices_line() -> str:
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
