"""Ragged rows to padded arrays, and the weights that make aggregation data instead of a flag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from waltzjax.types import PolicyBatch, Sample


def bucket(length: int, multiple: int) -> int:
    """``length`` rounded up: few distinct shapes mean few compilations."""
    return -(-length // multiple) * multiple


def token_weights(action_BT: np.ndarray, kind: str) -> np.ndarray:
    """Weights [B, T] float32, zero off the actions, that sum to 1 over the whole update.

    kind "sequence": every row with an action counts the same (the WaltzRL loss);
    kind "token": every action token counts the same (OpenRLHF's default).
    """
    action = action_BT.astype(np.float64)
    per_row = action.sum(axis=1, keepdims=True)
    if kind == "sequence":
        rows = max(np.count_nonzero(per_row), 1)
        weight = action / np.maximum(per_row, 1) / rows
    elif kind == "token":
        weight = action / max(action.sum(), 1)
    else:
        raise ValueError(f"token weights: got {kind!r}, allowed are 'sequence', 'token'")
    return weight.astype(np.float32)


def pad_rows(
    samples: Sequence[Sample],
    *,
    multiple: int,
    weights: str,
    max_length: int | None = None,
    min_rows: int = 1,
    truncated: bool = False,
) -> PolicyBatch:
    """One update's rows, right-padded to a common length that is a multiple of ``multiple``.

    Rows are padded to a multiple of ``min_rows`` with empty ones of weight zero. ``truncated``: the
    samples were drawn with top-k, top-p or min-p, and say how far they reach.

    Raises:
      ValueError: a row is longer than ``max_length`` tokens.
    """
    longest = max(len(s.prompt_ids) + len(s.token_ids) for s in samples)
    if max_length is not None and longest > max_length:
        raise ValueError(f"a row has {longest} tokens; the model's positions end at {max_length}")
    shape = (bucket(len(samples), min_rows), bucket(longest, multiple))
    token, length = np.zeros(shape, np.int32), np.ones(shape[0], np.int32)
    action, sampler_logp = np.zeros(shape, bool), np.zeros(shape, np.float32)
    reach = np.full(shape, np.inf, np.float32)
    reward = np.zeros(shape[0], np.float32)
    for b, s in enumerate(samples):
        start, end = len(s.prompt_ids), len(s.prompt_ids) + len(s.token_ids)
        token[b, :start], token[b, start:end] = s.prompt_ids, s.token_ids
        action[b, start:end], length[b], reward[b] = True, end, s.reward
        if s.sampler_logprobs:
            sampler_logp[b, start:end] = s.sampler_logprobs
        if s.reach:
            reach[b, start:end] = s.reach
    zero = np.zeros(shape, np.float32)
    return PolicyBatch(
        token_BT=token,
        length_B=length,
        action_BT=action,
        weight_BT=token_weights(action, weights),
        reward_B=reward,
        sampler_logp_BT=sampler_logp,
        old_logp_BT=zero,
        ref_logp_BT=zero,
        advantage_BT=zero,
        is_weight_BT=np.ones(shape, np.float32),
        beta_B=np.zeros(shape[0], np.float32),
        reach_BT=reach if truncated else None,
    )
