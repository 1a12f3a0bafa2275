"""How a prompt dataset is divided into train and validation: 75/25, in each category."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from waltzjax.data.dataset_check import CATEGORIES, flat_counts
from waltzjax.types import Prompt

TRAIN_FRACTION = 0.75  # of the whole dataset; split_counts says how many of each category
SPLITS = ("train", "validation")


def split_counts(counts: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(train, validation) prompts of each category for a 75/25 split.

    The largest remainders get the leftover prompts (ties: the earlier category), so that train is
    exactly 3/4 of the total, rounded half up: 15,015 and 5,005 for the full dataset.
    """
    exact = {name: TRAIN_FRACTION * count for name, count in counts.items()}
    train = {name: math.floor(share) for name, share in exact.items()}
    leftover = math.floor(TRAIN_FRACTION * sum(counts.values()) + 0.5) - sum(train.values())
    for name in sorted(exact, key=lambda name: train[name] - exact[name])[:leftover]:
        train[name] += 1
    return {name: (train[name], count - train[name]) for name, count in counts.items()}


def expected_counts() -> dict[str, int]:
    """The counts of the full dataset of 20,020 prompts, with the keys that ``verify`` takes."""
    split = split_counts({name: count for name, (_, count) in CATEGORIES.items()})
    return flat_counts(
        {which: {name: pair[i] for name, pair in split.items()} for i, which in enumerate(SPLITS)}
    )


def stratified_split(prompts: Sequence[Prompt], *, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Splits prompts 75/25 into (train, validation) in each category; see ``split_counts``.

    Which side a prompt falls on depends on ``seed`` and the texts of its category only, not on the
    order of ``prompts``, which both sides keep. Raises ValueError for a prompt with a frame: a
    frame may not be on both sides, so whoever made the frames must split them.
    """
    members: dict[str, list[int]] = {name: [] for name in CATEGORIES}
    for index, prompt in enumerate(prompts):
        if prompt.frame:
            raise ValueError(f"prompts: id {prompt.id} has frame {prompt.frame!r}; split by frame")
        members.setdefault(prompt.category, []).append(index)
    sizes = split_counts({name: len(indices) for name, indices in members.items()})
    # A hash orders alike on every machine and Python version.
    rank = [
        hashlib.sha256(f"{seed}:{p.text}".encode("utf-8", "surrogatepass")).digest()
        for p in prompts
    ]
    train = {
        i
        for name, of in members.items()
        for i in sorted(of, key=rank.__getitem__)[: sizes[name][0]]
    }
    split: tuple[list[Prompt], list[Prompt]] = ([], [])
    for index, prompt in enumerate(prompts):
        split[index not in train].append(prompt)
    return split
