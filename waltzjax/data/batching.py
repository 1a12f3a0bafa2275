"""Ragged texts to arrays: padded to a row each, and the weights that make aggregation data instead
of a flag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from waltzjax.types import PolicyBatch, Sample

WEIGHTS = ("sequence", "token", "constant")


def bucket(length: int, multiple: int) -> int:
    """``length`` rounded up: few distinct shapes mean few compilations."""
    return -(-length // multiple) * multiple


def token_weights(trained_N: np.ndarray, kind: str, *, max_new_tokens: int = 0) -> np.ndarray:
    """The weight [N] float64 of each of a text's trained tokens, by how many of them it has.

    kind "sequence": every text with such a token counts the same (the WaltzRL loss);
    kind "token": every token counts the same (OpenRLHF's default);
    kind "constant": likewise, 1 / (texts * max_new_tokens), however many there are (Dr. GRPO, arXiv
    2503.20783). Summed over the whole update's tokens that is 1, with "constant" at most 1.

    Raises:
      ValueError: another kind, or "constant" without ``max_new_tokens``.
    """
    trained_N = np.asarray(trained_N, np.float64)
    texts = max(int(np.count_nonzero(trained_N)), 1)
    if kind == "sequence":
        return 1 / np.maximum(trained_N, 1) / texts
    if kind == "token":
        return np.full(trained_N.shape, 1 / max(trained_N.sum(), 1))
    if kind == "constant":
        if max_new_tokens < 1:
            raise ValueError(
                f"token weights 'constant': got max_new_tokens {max_new_tokens}, allowed is >= 1: "
                "the most tokens that a text may have been given"
            )
        return np.full(trained_N.shape, 1 / (texts * max_new_tokens))
    raise ValueError(f"token weights: got {kind!r}, allowed are {WEIGHTS}")


def pad_rows(
    samples: Sequence[Sample],
    *,
    multiple: int,
    weights: str,
    max_length: int | None = None,
    min_rows: int = 1,
    truncated: bool = False,
    max_new_tokens: int = 0,
) -> PolicyBatch:
    """One update's rows, right-padded to a common length that is a multiple of ``multiple``.

    Rows are padded to a multiple of ``min_rows`` with empty ones of weight zero. ``truncated``: the
    samples were drawn with top-k, top-p or min-p, and carry their cutoff gaps. ``weights`` and
    ``max_new_tokens`` are of ``token_weights``.

    Raises:
      ValueError: a row is longer than ``max_length`` tokens.
    """
    longest = max(map(tokens_of, samples))
    if max_length is not None and longest > max_length:
        raise ValueError(f"a row has {longest} tokens; the model's positions end at {max_length}")
    shape = (bucket(len(samples), min_rows), bucket(longest, multiple))
    weight_N = token_weights(
        np.array([len(s.token_ids) for s in samples]), weights, max_new_tokens=max_new_tokens
    )
    rows = [[i] for i in range(len(samples))]
    batch = fill_rows(samples, rows, weight_N, shape, truncated=truncated)
    return batch._replace(start_BT=None)


def fill_rows(
    samples: Sequence[Sample], rows: Sequence[Sequence[int]], weight_N: np.ndarray,
    shape: tuple[int, int], *, truncated: bool,
) -> PolicyBatch:  # fmt: skip
    """Arrays [B, T] of ``shape`` whose row b holds the samples numbered ``rows[b]``, one after the
    other; rows beyond those are empty. ``weight_N``: of each sample's trained tokens."""
    token, start = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    length = np.ones(shape[0], np.int32)
    action = np.zeros(shape, bool)
    sampler_logp, advantage, weight = (np.zeros(shape, np.float32) for _ in range(3))
    cutoff_gap = np.full(shape, np.inf, np.float32)
    for b, row in enumerate(rows):
        end = 0
        for i in row:
            s, begin = samples[i], end
            first, end = begin + len(s.prompt_ids), begin + tokens_of(s)
            token[b, begin:first], token[b, first:end] = s.prompt_ids, s.token_ids
            start[b, begin:end], action[b, first:end] = begin, True
            advantage[b, first:end], weight[b, first:end] = s.advantage, weight_N[i]
            if s.sampler_logprobs:
                sampler_logp[b, first:end] = s.sampler_logprobs
            if s.cutoff_gap:
                cutoff_gap[b, first:end] = s.cutoff_gap
        length[b] = max(end, 1)
    zero = np.zeros(shape, np.float32)
    return PolicyBatch(
        token_BT=token,
        length_B=length,
        action_BT=action,
        weight_BT=weight,
        text_advantage_BT=advantage,
        sampler_logp_BT=sampler_logp,
        old_logp_BT=zero,
        ref_logp_BT=zero,
        advantage_BT=zero,
        is_weight_BT=np.ones(shape, np.float32),
        beta_B=np.zeros(shape[0], np.float32),
        cutoff_gap_BT=cutoff_gap if truncated else None,
        start_BT=start,
    )


def tokens_of(sample: Sample) -> int:
    return len(sample.prompt_ids) + len(sample.token_ids)


def padding(samples: Sequence[Sample], batch: PolicyBatch) -> float:
    """The share, in [0, 1), of the batch's token slots that hold none of the samples' tokens."""
    return 1 - sum(map(tokens_of, samples)) / batch.token_BT.size
