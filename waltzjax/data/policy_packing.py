"""A policy's texts, several a row of a fixed number of tokens: microbatches by token budget."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from waltzjax.data.batching import bucket, fill_rows, token_weights, tokens_of
from waltzjax.types import PolicyBatch, Sample


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """The numbers, from 0, of texts of these lengths in rows that have ``room``: longest first,
    each where it leaves least. None may be longer than ``room``."""
    rows: list[list[int]] = []
    left: list[tuple[int, int]] = []  # (tokens left, row), ascending
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        at = bisect.bisect_left(left, (lengths[i], -1))
        free, row = left.pop(at) if at < len(left) else (room, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(i)
        bisect.insort(left, (free - lengths[i], row))
    return rows


def microbatch_bucket(count: int) -> int:
    """``count`` rounded up to one of few numbers, each a program that is compiled: all to 8, even
    ones to 16, multiples of 4 to 32, and so on: less than a quarter above it."""
    step = 1
    while count > 8 * step:
        step *= 2
    return bucket(count, step)


def pack_samples(
    samples: Sequence[Sample],
    *,
    budget: int,
    weights: str,
    row_groups: int,
    max_length: int,
    longest_text: int = 0,
    truncated: bool = False,
    max_new_tokens: int = 0,
) -> tuple[PolicyBatch, int]:
    """One update's texts in rows of ``budget`` tokens, and the number of microbatches M.

    A microbatch has one row for each of ``row_groups`` groups of devices: arrays are
    [M * row_groups, budget], M of few values (``microbatch_bucket``). Rows that are left over are
    empty, of weight zero. What a row costs does not depend on what it holds: rows are filled, and
    the last ones hold less.

    Args:
      max_length: the model's positions, tokens.
      longest_text: what attention reaches back, ``ModelConfig.longest_text``; 0: a whole row.
      weights, max_new_tokens: of ``token_weights``; texts are the sequences.
      truncated: see ``pad_rows``.

    Raises:
      ValueError: a text is longer than ``budget``, ``max_length`` or ``longest_text`` tokens.
    """
    lengths = [tokens_of(s) for s in samples]
    longest = max(lengths)
    if longest > max_length:
        raise ValueError(f"a row has {longest} tokens; the model's positions end at {max_length}")
    if longest > budget:
        raise ValueError(
            f"config.rl.token_budget: got {budget}, but a text of {longest} tokens does not fit: "
            "give it at least config.problems.max_tokens + config.rollout.max_new_tokens, or "
            "allow shorter texts"
        )
    if longest_text and longest > longest_text:
        raise ValueError(
            f"a text has {longest} tokens; attention in packed rows reaches back {longest_text}, "
            "config.problems.max_tokens + config.rollout.max_new_tokens: raise these"
        )
    rows = best_fit(lengths, budget)
    count = microbatch_bucket(-(-len(rows) // row_groups))
    weight_N = token_weights(
        np.array([len(s.token_ids) for s in samples]), weights, max_new_tokens=max_new_tokens
    )
    shape = (count * row_groups, budget)
    return fill_rows(samples, rows, weight_N, shape, truncated=truncated), count
