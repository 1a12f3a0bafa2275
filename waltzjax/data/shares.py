"""How many groups of each shape to take, so that their members add up to exact numbers."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

Shape = tuple[int, ...]  # members of a group in each category
TRIED = 100_000  # choices looked at before the search gives up


def take_share(
    groups: Mapping[Shape, int], share: float, wanted: Sequence[int]
) -> dict[Shape, int] | None:
    """Of the ``groups`` of each shape about ``share``, of members in all exactly ``wanted``.

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
                    rest = [of - step * members for of, members in zip(left, shape, strict=True)]
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
