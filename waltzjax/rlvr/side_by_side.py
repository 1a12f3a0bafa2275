"""Two evaluations of the same maths problems, side by side: which of them only one solves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from waltzjax.rlvr.predictions import prediction
from waltzjax.types import Attempt, Group

Pair = tuple[Group, Group]
Names = tuple[str, str]  # of the two


def solved(group: Group) -> bool:
    """At least one sample is right."""
    return any(a.right for a in group.attempts)


def examples(before: Sequence[Group], after: Sequence[Group]) -> dict[str, Pair]:
    """One pair each, by what it is an example of: a mended answer, a still wrong one, and a right
    one that was checked (the highest "reflect" above 0); those that there are."""
    pairs = [*zip(before, after, strict=True)]
    chosen = {
        "A mended answer": next((p for p in pairs if not solved(p[0]) and solved(p[1])), None),
        "A still wrong answer": next((p for p in pairs if not solved(p[1])), None),
    }
    taken = [p for p in chosen.values() if p]
    others = [p for p in pairs if p not in taken and solved(p[1]) and _reflects(p[1]) > 0]
    chosen["A checked answer"] = max(others, key=lambda p: _reflects(p[1]), default=None)
    return {name: pair for name, pair in chosen.items() if pair}


def side_by_side(pair: Pair, names: Names) -> dict[str, Any]:
    """A pair as the reports take it: the problem, and by name the sample that stands for each: the
    first right one, else the first."""
    problem = prediction(pair[0])
    del problem["samples"]
    samples = (prediction(g)["samples"][g.attempts.index(_shown(g))] for g in pair)
    return {**problem, "said": dict(zip(names, samples, strict=True))}


def _shown(group: Group) -> Attempt:
    return next((a for a in group.attempts if a.right), group.attempts[0])


def _reflects(group: Group) -> float:
    return _shown(group).signals.get("reflect", 0.0)
