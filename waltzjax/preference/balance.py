"""Which of many possible pairs are taken: in turn within a question, spread over all questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

Pair = tuple[int, int]  # of a question's answers: the chosen one, the rejected one


def in_turn(pairs: Sequence[Pair], most: int, rng: np.random.Generator) -> list[Pair]:
    """At most ``most`` of a question's pairs, those of answers that have been in fewest first, so
    that one good or bad answer does not fill them; ``rng`` decides among equals. What is taken with
    a smaller ``most`` is the beginning of what is taken with a larger."""
    left = [pairs[i] for i in rng.permutation(len(pairs))]
    uses: Counter[int] = Counter()
    taken: list[Pair] = []
    while left and len(taken) < most:
        pair = min(left, key=lambda p: (max(uses[i] for i in p), sum(uses[i] for i in p)))
        left.remove(pair)
        uses.update(pair)
        taken.append(pair)
    return taken


def mixed(correctness: int, coherence: int, share: float, most: int) -> tuple[int, int]:
    """How many of so many pairs of each type to keep.

    share: of correctness, in [0, 1]; the type that has more is thinned to it. 0: neither is; nor
    is a type that stands alone, of which nothing would be left.
    most: in all, at that same share; 0: any number.
    """
    both = correctness + coherence
    if share and correctness and coherence:
        if correctness > share * both:
            correctness = round(coherence * share / (1 - share))
        else:
            coherence = round(correctness * (1 - share) / share)
    both = correctness + coherence
    if most and both > most:
        correctness = round(most * correctness / both)
        coherence = most - correctness
    return correctness, coherence


def thinned(counts: Sequence[int], keep: int, rng: np.random.Generator) -> list[int]:
    """How many of each question's ``counts`` to keep, ``keep`` in all. The questions with most give
    up first: none keeps two more than one that gave any up. ``rng`` decides who keeps one more."""
    kept, level = [0] * len(counts), 0
    while sum(kept) < min(keep, sum(counts)):
        level += 1
        more = [i for i in rng.permutation(len(counts)) if counts[i] >= level]
        for i in more[: keep - sum(kept)]:
            kept[i] = level
    return kept
