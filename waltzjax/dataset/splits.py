"""How a prompt dataset is divided into train and validation: 75/25, in each category.

Groups of each shape are chosen so that their members add up to exact numbers.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from waltzjax.dataset.checks import CATEGORIES, flat_counts
from waltzjax.types import Prompt

Shape = tuple[int, ...]  # members of a group in each category
TRIED = 100_000  # choices looked at before the search gives up


def take_share(
    groups: Mapping[Shape, int], share: float, wanted: Sequence[int]
) -> dict[Shape, int] | None:
    """How many ``groups`` of each shape to take: about ``share``, with exactly ``wanted`` members.

    Starts from that share, then takes one group more or one less, always going on from the choice
    that has come closest to ``wanted``: groups of one member fill what the larger ones leave.
    None: there is no such choice, or none was found.
    """
    shapes = sorted(groups, key=lambda shape: (sum(shape), shape))
    choice = _about(groups, shapes[::-1], share)[::-1]
    left = [
        w - sum(n * shape[c] for n, shape in zip(choice, shapes, strict=True))
        for c, w in enumerate(wanted)
    ]
    seen = {tuple(choice)}
    queue = [(_size(left), 0, tuple(choice), left)]
    while queue and len(seen) < TRIED:
        distance, _, taken, left = heapq.heappop(queue)
        if not distance:
            return dict(zip(shapes, taken, strict=True))
        for i, shape in enumerate(shapes):
            for step in (1, -1):
                n = taken[i] + step
                near = (*taken[:i], n, *taken[i + 1 :])
                if 0 <= n <= groups[shape] and near not in seen:
                    seen.add(near)
                    rest = [
                        count - step * members for count, members in zip(left, shape, strict=True)
                    ]
                    heapq.heappush(queue, (_size(rest), len(seen), near, rest))
    return None


def _about(groups: Mapping[Shape, int], shapes: Sequence[Shape], share: float) -> list[int]:
    """For each shape the share of its groups, rounded to where the members taken so far, of all
    shapes, are closest to the share of all members."""
    choice, beyond = [], [0.0] * len(shapes[0]) if shapes else []
    for shape in shapes:
        exact = share * groups[shape]
        rounded = {
            n: [b + (n - exact) * members for b, members in zip(beyond, shape, strict=True)]
            for n in (math.floor(exact), math.ceil(exact))
        }
        choice.append(min(rounded, key=lambda n: _size(rounded[n])))
        beyond = rounded[choice[-1]]
    return choice


def _size(numbers: Sequence[float]) -> float:
    return sum(map(abs, numbers))


TRAIN_FRACTION = 0.75  # of the whole dataset; split_counts says how many of each category
SPLITS = ("train", "validation")

T = TypeVar("T")


def stratified(items: Sequence[T], n: int, part: Callable[[T], str]) -> list[T]:
    """The first n / parts items of each ``part`` (all of them for n = 0), in order."""
    if not n:
        return list(items)
    parts = sorted({part(item) for item in items})
    left = {p: n // len(parts) + (i < n % len(parts)) for i, p in enumerate(parts)}
    chosen = []
    for item in items:
        if left[part(item)]:
            left[part(item)] -= 1
            chosen.append(item)
    return chosen


def of_each_category(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """``stratified`` by the prompts' category."""
    return stratified(prompts, n, lambda prompt: prompt.category)


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

    Prompts of one frame fall on one side. Which one depends on ``seed``, the texts and what shares
    a frame only, not on the order of ``prompts``, which both sides keep. Raises ValueError where
    the frames leave no such split.
    """
    groups: dict[tuple[str, int], list[int]] = {}  # a prompt without a frame is one of its own
    for index, prompt in enumerate(prompts):
        groups.setdefault((prompt.frame, 0 if prompt.frame else index), []).append(index)
    # A hash orders alike on every machine and Python version.
    rank = [
        hashlib.sha256(f"{seed}:{p.text}".encode("utf-8", "surrogatepass")).digest()
        for p in prompts
    ]
    alike: dict[Shape, list[list[int]]] = {}
    for group in sorted(groups.values(), key=lambda group: min(rank[i] for i in group)):
        by_category = Counter(prompts[i].category for i in group)
        alike.setdefault(tuple(by_category[name] for name in CATEGORIES), []).append(group)
    counts = Counter(prompt.category for prompt in prompts)
    sizes = split_counts({name: counts[name] for name in CATEGORIES})
    wanted = [size for size, _ in sizes.values()]
    taken = take_share(
        {s: len(candidates) for s, candidates in alike.items()}, TRAIN_FRACTION, wanted
    )
    if taken is None:
        largest = sorted(groups.values(), key=len)[:-4:-1]
        raise ValueError(
            _no_split(sizes, [(len(group), prompts[group[0]].text) for group in largest])
        )
    train = {
        i
        for shape, candidates in alike.items()
        for group in candidates[: taken[shape]]
        for i in group
    }
    split: tuple[list[Prompt], list[Prompt]] = ([], [])
    for index, prompt in enumerate(prompts):
        split[index not in train].append(prompt)
    return split


def _no_split(sizes: Mapping[str, tuple[int, int]], largest: Sequence[tuple[int, str]]) -> str:
    wanted = ", ".join(f"{name} {train} and {other}" for name, (train, other) in sizes.items())
    shown = "; ".join(f"{count} of {text!r:.60}" for count, text in largest)
    return (
        "prompts: no split keeps the prompts of each frame on one side and has for train and "
        f"validation {wanted}; the largest frames: {shown}; leave out some of these prompts, or "
        "add others of the same categories"
    )
