"""Pairs of answers as arrays, on the devices too: two rows a pair, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from waltzjax.data.batching import bucket, fill_rows, token_weights, tokens_of
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.training.learner import place_batch
from waltzjax.training.step import make_logp
from waltzjax.types import PairBatch, Sample


@dataclasses.dataclass(frozen=True)
class PairTokens:
    """Two answers to a prompt, the first one preferred, each with the token that ends its turn:
    that is trained too. The reference's log-probability of each whole answer, nats; 0: none."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    ref_chosen: float = 0.0
    ref_rejected: float = 0.0


def pad_pairs(
    pairs: Sequence[PairTokens], *, multiple: int, max_length: int, min_pairs: int = 1
) -> PairBatch:
    """One update's pairs as rows [B, T], right-padded to a common length that is a multiple of
    ``multiple``.

    Pairs are padded to a multiple of ``min_pairs`` with empty ones of weight zero. Cut in as many
    equal parts as divide that, over microbatches and devices, no pair is split.

    Raises:
      ValueError: a row is longer than ``max_length`` tokens, a prompt or an answer is empty.
    """
    texts = [(p.prompt_ids, p.chosen_ids, p.rejected_ids) for p in pairs]
    if empty := [n for n, parts in enumerate(texts) if not all(parts)]:
        raise ValueError(
            f"pairs {empty[:5]} (from 0): a prompt or an answer has no tokens, allowed is >= 1; an "
            "answer has at least the token that ends its turn"
        )
    rows = [Sample(prompt, ids, (), 0.0) for prompt, *answers in texts for ids in answers]
    longest = max(map(tokens_of, rows))
    if longest > max_length:
        long = [(b // 2, n) for b, n in enumerate(map(tokens_of, rows)) if n > max_length]
        raise ValueError(
            f"a prompt and an answer may have {max_length} tokens together, {len(long)} rows have "
            f"more, the first ones {long[:5]} (pair from 0, tokens): leave these pairs out, or "
            "allow more"
        )
    shape = (2 * bucket(len(pairs), min_pairs), bucket(longest, multiple))
    weight_N = np.zeros(len(rows))
    weight_N[::2] = token_weights(np.array([len(p.chosen_ids) for p in pairs]), "token")
    filled = fill_rows(rows, [[b] for b in range(len(rows))], weight_N, shape, truncated=False)
    pair, ref_logp = np.zeros(shape[0], np.float32), np.zeros(shape[0], np.float32)
    pair[: len(rows)] = 1 / len(pairs)
    ref_logp[: len(rows)] = [v for p in pairs for v in (p.ref_chosen, p.ref_rejected)]
    return PairBatch(
        token_BT=filled.token_BT,
        length_B=filled.length_B,
        action_BT=filled.action_BT,
        weight_BT=filled.weight_BT,
        pair_B=pair,
        ref_logp_B=ref_logp,
    )


def device_pairs(
    pairs: Sequence[PairTokens],
    mesh: Mesh,
    *,
    microbatches: int,
    multiple: int,
    max_length: int,
    min_pairs: int = 1,
) -> PairBatch:
    """At least ``min_pairs`` pairs as sharded arrays [M, B, ...], M = ``microbatches``; B is split
    over the mesh's data and fsdp axes, the rows of a pair always together: there are as many pairs
    on each device and in each microbatch. See ``preference.batch.pad_pairs``."""
    parts = microbatches * sharding.row_groups(mesh)
    batch = pad_pairs(
        pairs,
        multiple=multiple,
        max_length=max_length,
        min_pairs=bucket(max(min_pairs, len(pairs)), parts),
    )
    return place_batch(batch, mesh, microbatches)


def make_answer_logp(cfg: ModelConfig, *, block: int):
    """``answer_logp(params, batch) -> logp_MB``: of each row's whole answer, nats, 0 for rows of
    padding. Of the reference's parameters they are the batch's ``ref_logp_B``."""
    logp = make_logp(cfg, temperature=1.0, block=block)

    def answer_logp(params: Any, batch_MBT: PairBatch) -> jax.Array:
        return logp(params, batch_MBT).sum(-1)

    return jax.jit(answer_logp)
