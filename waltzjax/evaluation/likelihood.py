"""How likely a model finds chats: packed rows of a chat file, and their mean log-likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chats import Messages
from waltzjax.data.packing import ChatTokens, chat_tokens, pack, packed_batch, packed_numbers
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.run.runtime import Runtime, check_rows
from waltzjax.training.learner import place_batch
from waltzjax.training.step import make_logp
from waltzjax.types import PolicyBatch

Row = tuple[ChatTokens, ...]


def packed_rows(path: Path, chats: Sequence[Messages], runtime: Runtime, length: int) -> list[Row]:
    """``tokenised`` chats in rows of ``length`` tokens."""
    return pack(tokenised(path, chats, runtime, length), length)


def tokenised(
    path: Path, chats: Sequence[Messages], runtime: Runtime, length: int
) -> list[ChatTokens]:
    """The chats of the file ``path``, each of at most ``length`` tokens.

    Raises:
      ValueError: chats that are too long, or in which the assistant says nothing that is trained;
        tokens that the model has no row for; a template that cannot be cut into turns.
    """
    try:
        tokens = [chat_tokens(runtime.chat, chat, runtime.engine.stop_ids) for chat in chats]
        check_rows(runtime.cfg, runtime.chat, (chat.token_ids for chat in tokens))
        packed_numbers(tokens, length)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    trained_ids = [[t for t, on in zip(c.token_ids, c.trained, strict=True) if on] for c in tokens]
    if empty := [n for n, ids in enumerate(trained_ids, start=1) if not runtime.chat.decode(ids)]:
        raise ValueError(
            f"{path}: in {len(empty)} of the {len(tokens)} chats no text of the assistant's is "
            f"left without the model's control tokens, the first ones {empty[:5]} (line): remove "
            "them"
        )
    longest, room = max(len(chat.token_ids) for chat in tokens), runtime.cfg.max_positions
    if longest > room:
        raise ValueError(f"{path}: a chat of {longest} tokens; the model has {room} positions")
    return tokens


def place_rows(
    config: ConfigDict, mesh: Mesh, rows: Sequence[Row], length: int | None = None
) -> PolicyBatch:
    """At most ``config.sft.batch`` rows of ``length`` (None: ``config.sft.length``) as one batch on
    the devices."""
    micro = config.sft.microbatches
    least, length = micro * sharding.row_groups(mesh), length or config.sft.length
    return place_batch(packed_batch(rows, length=length, min_rows=least), mesh, micro)


def chat_nll(
    config: ConfigDict, runtime: Runtime, policy: Any, chats: Sequence[ChatTokens]
) -> tuple[np.ndarray, np.ndarray]:
    """(negative log-likelihood of what the assistant says, nats; its tokens), of each chat."""
    tokens = np.array([sum(chat.trained) for chat in chats])
    summed = _summed(runtime.cfg, runtime.mesh, config.model.logit_chunk, len(chats))
    length = max(config.sft.length, *(len(chat.token_ids) for chat in chats))
    rows, total = packed_numbers(chats, length), np.zeros(len(chats))
    for at in range(0, len(rows), config.sft.batch):
        chunk = rows[at : at + config.sft.batch]
        texts = [tuple(chats[i] for i in row) for row in chunk]
        batch = place_rows(config, runtime.mesh, texts, length)
        # Which chat a token is of; the padding is of the first, and counts nothing.
        chat_BT = np.zeros(batch.token_BT.shape, np.int32).reshape(-1, length)
        for b, row in enumerate(chunk):
            chat_T = np.repeat(row, [len(chats[i].token_ids) for i in row])
            chat_BT[b, : len(chat_T)] = chat_T
        placed = sharding.place(
            chat_BT.reshape(batch.token_BT.shape), sharding.rows_sharding(runtime.mesh, leading=1)
        )
        total = total - np.asarray(summed(policy, batch, placed))
    return total, tokens


def held_out_nll(config: ConfigDict, runtime: Runtime, policy: Any, rows: Sequence[Row]) -> float:
    """Mean negative log-likelihood of what the assistant says, nats a token."""
    nll, tokens = chat_nll(config, runtime, policy, [chat for row in rows for chat in row])
    return float(nll.sum() / tokens.sum())


@cache  # every evaluation of a run asks for it
def _summed(cfg: ModelConfig, mesh: Mesh, block: int, chats: int) -> Callable[..., jax.Array]:
    logp = make_logp(cfg, temperature=1.0, block=block)

    def of_chats(policy: Any, batch: PolicyBatch, chat_MBT: jax.Array) -> jax.Array:
        values = logp(policy, batch)
        return jax.ops.segment_sum(values.ravel(), chat_MBT.ravel(), num_segments=chats)

    return jax.jit(of_chats, out_shardings=sharding.replicated(mesh))
