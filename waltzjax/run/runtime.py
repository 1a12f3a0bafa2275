"""The parts a command needs once a model is chosen: mesh, architecture, tokenizer, chat, engine."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chat import PROMPTS, Chat, stop_ids
from waltzjax.data.template import Template
from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Sampling
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_kernel, choose_queries, choose_visit
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf.tokenizer import read_tokenizer


class Runtime(NamedTuple):
    """The parts that do not change during a run."""

    mesh: Mesh
    cfg: ModelConfig
    chat: Chat
    engine: Engine


def named_prompts(given: str, key: str) -> Path:
    """The file of prompts that ``key`` of a config names: a relative path that exists is the
    user's, any other is looked up among the package's.

    Raises:
      FileNotFoundError: there is none in either place.
    """
    path = Path(given) if Path(given).exists() else PROMPTS / given
    if not path.is_file():
        raise FileNotFoundError(f"{key}: no file {given!r}")
    return path


def prompt_file(config: ConfigDict, name: str) -> Path:
    """``named_prompts`` of ``config.prompts.NAME``, where "" is the package's own."""
    given = config.prompts[name]
    return named_prompts(given, f"config.prompts.{name}") if given else PROMPTS / f"{name}.txt"


def prompt_files(config: ConfigDict) -> tuple[Path, Path]:
    """The two agents' prompt files."""
    return prompt_file(config, "conversation"), prompt_file(config, "feedback")


def load_tokenizer(directory: Path, *, template: bool = True) -> Any:
    """The tokenizer; ValueError where it is unusable, or has no chat template but should."""
    tokenizer = read_tokenizer(directory)
    if template and tokenizer.chat_template is None:
        raise ValueError(f"{directory}: the tokenizer has no chat template")
    return tokenizer


def read_model_config(config: ConfigDict, directory: Path, longest_text: int = 0) -> ModelConfig:
    """The architecture, with the numerics of ``config`` and the kernels of the devices at hand.

    longest_text: tokens of the longest text that a packed row of an update may hold; 0: a text may
      be as long as its row.
    """
    m = config.model
    cfg = hf_config.read_config(directory, dtype=m.dtype, param_dtype=m.param_dtype, remat=m.remat)
    kernel = choose_kernel(m.attention, jax.default_backend(), cfg.dtype, cfg.head_dim)
    return dataclasses.replace(
        cfg,
        attention=kernel,
        lora_dropout=config.lora.dropout,
        longest_text=longest_text,
        query_block=choose_queries(jax.default_backend()),
        page_visit=choose_visit(jax.default_backend()),
    )


def over_mesh(cfg: ModelConfig, mesh: Mesh) -> ModelConfig:
    """The trainer's: rows and weights are placed by hand where there is more than one device."""
    return dataclasses.replace(cfg, mesh=mesh) if mesh.size > 1 else cfg


def make_runtime(
    config: ConfigDict,
    directory: Path,
    mesh: Mesh,
    shown: Callable[[Chat], list[str]],
    longest_text: int = 0,
) -> Runtime:
    """Read a Hugging Face directory's config and tokenizer; no weights are loaded yet.

    shown: chat -> examples of the texts that are generated from: ValueError where the template
      cannot write them, or the model lacks one of their tokens.
    longest_text: see ``read_model_config``.
    """
    cfg = read_model_config(config, directory, longest_text)
    tokenizer = load_tokenizer(directory)
    chat = make_chat(config, tokenizer)
    stops = stop_ids(tokenizer, directory, config.model.template_kwargs.to_dict())
    check_rows(cfg, chat, [*chat.encode(shown(chat)), stops])
    return Runtime(mesh, over_mesh(cfg, mesh), chat, make_engine(config, cfg, mesh, stops, chat))


def make_chat(config: ConfigDict, tokenizer: Any) -> Chat:
    """The chat that agents or policy are shown; ValueError where ``config.model.template_kwargs``
    are none of the template's."""
    m = config.model
    date = datetime.date.fromisoformat(m.template_date) if m.template_date else None
    template = Template(tokenizer, m.template_kwargs.to_dict(), date)
    return Chat.from_files(
        tokenizer, *prompt_files(config), prompt_file(config, "maths"), template=template
    )


def result_settings(config: ConfigDict, keys: Sequence[str]) -> dict[str, Any]:
    """The values of the ``keys`` of ``config`` that an evaluation's result depends on, and of those
    that change the text of prompts, where they are set."""
    m = config.model
    settings = {key: attrgetter(key)(config) for key in keys}
    settings |= {
        f"model.template_kwargs.{name}": value for name, value in m.template_kwargs.items()
    }
    return settings | ({"model.template_date": m.template_date} if m.template_date else {})


def check_rows(cfg: ModelConfig, chat: Chat, texts: Iterable[Sequence[int]]) -> None:
    """Raise ValueError unless the model has a row of embeddings for every token."""
    beyond = {number for text in texts for number in text if number >= cfg.vocab_size}
    if beyond:
        first = min(beyond)
        raise ValueError(
            f"{chat.template.directory}: the token {chat.tokenizer.convert_ids_to_tokens(first)!r} "
            f"has the number {first}, but the model has {cfg.vocab_size} rows of embeddings "
            "(vocab_size in config.json), from 0: take the tokenizer that belongs to the model, or "
            f"leave out the token ({len(beyond)} such tokens are used)"
        )


def make_engine(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, stops: Sequence[int], chat: Chat | None
) -> Engine:
    decode = None
    if chat:
        decode = partial(chat.tokenizer.decode, clean_up_tokenization_spaces=False)
    r = config.rollout
    return Engine(
        cfg, mesh, stops, max_num_seqs=r.max_num_seqs, cache_tokens=r.cache_tokens, decode=decode
    )


def check_same_shape(runtime: Runtime, config: ConfigDict, directory: Path) -> None:
    """Raise ValueError unless the model in ``directory`` can stand beside the runtime's: both
    agents share one architecture and one vocabulary."""
    other = read_model_config(config, directory, runtime.cfg.longest_text)
    mine, theirs = (
        dataclasses.asdict(dataclasses.replace(c, mesh=None)) for c in (runtime.cfg, other)
    )
    differing = [
        f"{k}: {theirs[k]!r}, the other has {mine[k]!r}" for k in mine if mine[k] != theirs[k]
    ]
    tokenizer = load_tokenizer(directory)
    if tokenizer.get_vocab() != runtime.chat.tokenizer.get_vocab():
        differing.append("the tokenizer's vocabulary")
    if tokenizer.chat_template != runtime.chat.tokenizer.chat_template:
        differing.append("the chat template")
    stops = stop_ids(tokenizer, directory, config.model.template_kwargs.to_dict())
    if stops != runtime.engine.stop_ids:
        differing.append(
            f"tokens that end a turn: {stops}, the other has {runtime.engine.stop_ids}"
        )
    if differing:
        raise ValueError(
            f"{directory}: differs from the other agent's model: {'; '.join(differing)}"
        )


def sampling(config: ConfigDict, temperature: float) -> Sampling:
    """How every turn is sampled, in rollouts and evaluations."""
    r = config.rollout
    return Sampling(r.max_new_tokens, temperature, r.top_k, r.top_p, r.min_p)


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The host's random choices of one step: a function of seed and step, so nothing to save."""
    return np.random.default_rng([seed, step])


def devices_line() -> str:
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
