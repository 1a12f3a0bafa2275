"""Pairs of preferences on the devices, and how likely a policy finds their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from waltzjax.data.batching import bucket
from waltzjax.data.pair_batching import PairTokens, pad_pairs
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.training.learner import place_batch
from waltzjax.training.step import make_logp
from waltzjax.types import PairBatch


def device_pairs(
    pairs: Sequence[PairTokens], mesh: Mesh, *, microbatches: int, multiple: int, max_length: int,
    min_pairs: int = 1,
) -> PairBatch:  # fmt: skip
    """At least ``min_pairs`` pairs as sharded arrays [M, B, ...], M = ``microbatches``; B is split
    over the mesh's data and fsdp axes, the rows of a pair always together: there are as many pairs
    on each device and in each microbatch. See ``data.pair_batching.pad_pairs``."""
    parts = microbatches * sharding.row_groups(mesh)
    batch = pad_pairs(
        pairs, multiple=multiple, max_length=max_length,
        min_pairs=bucket(max(min_pairs, len(pairs)), parts),
    )  # fmt: skip
    return place_batch(batch, mesh, microbatches)


def make_answer_logp(cfg: ModelConfig, *, block: int):
    """``answer_logp(params, batch) -> logp_MB``: of each row's whole answer, nats, 0 for rows of
    padding. Of the reference's parameters they are the batch's ``ref_logp_B``."""
    logp = make_logp(cfg, temperature=1.0, block=block)

    def answer_logp(params: Any, batch_MBT: PairBatch) -> jax.Array:
        return logp(params, batch_MBT).sum(-1)

    return jax.jit(answer_logp)
