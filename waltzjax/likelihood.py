"""How likely a model finds chats: packed rows of a chat file, and their mean log-likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chats import Messages
from waltzjax.data.packing import ChatTokens, chat_tokens, pack, packed_batch
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.runtime import Runtime
from waltzjax.training.learner import place_batch
from waltzjax.training.step import make_logp
from waltzjax.types import PolicyBatch

Row = tuple[ChatTokens, ...]


def packed_rows(path: Path, chats: Sequence[Messages], runtime: Runtime, length: int) -> list[Row]:
    """The chats of the file ``path`` in rows of ``length`` tokens.

    Raises:
      ValueError: chats that are too long, or a template that cannot be cut into turns.
    """
    try:
        tokens = [chat_tokens(runtime.chat, chat, runtime.engine.stop_ids) for chat in chats]
        return pack(tokens, length)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def place_rows(config: ConfigDict, mesh: Mesh, rows: Sequence[Row]) -> PolicyBatch:
    """At most ``config.sft.batch`` rows as one batch on the devices."""
    micro = config.sft.microbatches
    least = micro * sharding.row_groups(mesh)
    return place_batch(packed_batch(rows, length=config.sft.length, min_rows=least), mesh, micro)


def held_out_nll(config: ConfigDict, runtime: Runtime, policy: Any, rows: Sequence[Row]) -> float:
    """Mean negative log-likelihood of what the assistant says, nats a token."""
    logp = _logp(runtime.cfg, config.model.vocab_block)
    total, tokens = 0.0, 0
    for at in range(0, len(rows), config.sft.batch):
        batch = place_rows(config, runtime.mesh, rows[at : at + config.sft.batch])
        total -= float(jnp.sum(logp(policy, batch)))
        tokens += int(jnp.sum(batch.action_BT))
    return total / tokens


@cache  # every evaluation of a run asks for it
def _logp(cfg: ModelConfig, block: int) -> Callable[..., jax.Array]:
    return make_logp(cfg, temperature=1.0, block=block)
