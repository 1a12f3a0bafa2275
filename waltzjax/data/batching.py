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


def blank_batch(shape: tuple[int, int], *, truncated: bool = False) -> PolicyBatch:
    """Arrays [B, T] of ``shape`` for packed rows, all of them padding: to be filled in. What the
    trainer fills in is one array of zeros."""
    rows, zero = shape[0], np.zeros(shape, np.float32)
    return PolicyBatch(
        token_BT=np.zeros(shape, np.int32),
        length_B=np.ones(rows, np.int32),
        action_BT=np.zeros(shape, bool),
        weight_BT=np.zeros(shape, np.float32),
        text_advantage_BT=np.zeros(shape, np.float32),
        sampler_logp_BT=np.zeros(shape, np.float32),
        old_logp_BT=zero,
        ref_logp_BT=zero,
        advantage_BT=zero,
        is_weight_BT=np.ones(shape, np.float32),
        beta_B=np.zeros(rows, np.float32),
        cutoff_gap_BT=np.full(shape, np.inf, np.float32) if truncated else None,
        start_BT=np.zeros(shape, np.int32),
    )


def fill_rows(
    samples: Sequence[Sample],
    rows: Sequence[Sequence[int]],
    weight_N: np.ndarray,
    shape: tuple[int, int],
    *,
    truncated: bool,
) -> PolicyBatch:
    """Arrays [B, T] of ``shape`` whose row b holds the samples numbered ``rows[b]``, one after the
    other; rows beyond those are empty. ``weight_N``: of each sample's trained tokens."""
    batch = blank_batch(shape, truncated=truncated)
    for b, row in enumerate(rows):
        end = 0
        for i in row:
            s, begin = samples[i], end
            first, end = begin + len(s.prompt_ids), begin + tokens_of(s)
            text, own = (b, slice(begin, end)), (b, slice(first, end))
            batch.token_BT[text] = s.prompt_ids + s.token_ids
            batch.start_BT[text], batch.action_BT[own] = begin, True
            batch.text_advantage_BT[own], batch.weight_BT[own] = s.advantage, weight_N[i]
            if s.sampler_logprobs:
                batch.sampler_logp_BT[own] = s.sampler_logprobs
            if s.cutoff_gap and truncated:
                batch.cutoff_gap_BT[own] = s.cutoff_gap
        batch.length_B[b] = max(end, 1)
    return batch


def tokens_of(sample: Sample) -> int:
    return len(sample.prompt_ids) + len(sample.token_ids)


def padding(samples: Sequence[Sample], batch: PolicyBatch) -> float:
    """The share, in [0, 1), of the batch's token slots that hold none of the samples' tokens."""
    return 1 - sum(map(tokens_of, samples)) / batch.token_BT.size
