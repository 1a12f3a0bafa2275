"""Two evaluations of the same maths problems, side by side: which of them only one solves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from waltzjax.rlvr.predictions import prediction
from waltzjax.rlvr.rates import asked
from waltzjax.types import Attempt, Group

Pair = tuple[Group, Group]
Names = tuple[str, str]  # of the two


def paired(a: Sequence[Group], b: Sequence[Group], names: Names) -> list[Group]:
    """``b`` in the order of ``a``.

    Raises:
      ValueError: they are not of the same problems, each of them once, with the same labels.
    """
    of_a, of_b = ({asked(g): g for g in groups} for groups in (a, b))
    for name, found, groups in zip(names, (of_a, of_b), (a, b), strict=True):
        if len(found) < len(groups):
            raise ValueError(
                f"{name}: {len(groups) - len(found)} problems occur again; each must be there once"
            )
    said = []
    for name, ours, theirs in ((names[0], of_a, of_b), (names[1], of_b, of_a)):
        alone = [g.problem for key, g in ours.items() if key not in theirs]
        if alone:
            said.append(
                f"{len(alone)} of {len(ours)} in {name} are not in the other (first: problem "
                f"{alone[0].id}, {alone[0].text!r:.60}, answer {alone[0].answer!r:.30})"
            )
    if said:
        raise ValueError(f"the problems differ: {'; '.join(said)}; evaluate both on the same file")
    return [of_b[asked(g)] for g in a]


def solved(group: Group) -> bool:
    """At least one sample is right."""
    return any(a.right for a in group.attempts)


def only_one(a: Sequence[Group], b: Sequence[Group]) -> tuple[list[Pair], list[Pair]]:
    """The pairs that only the second solves, and those that only the first does."""
    pairs = [p for p in zip(a, b, strict=True) if solved(p[0]) != solved(p[1])]
    return [p for p in pairs if solved(p[1])], [p for p in pairs if solved(p[0])]


def examples(before: Sequence[Group], after: Sequence[Group]) -> dict[str, Pair]:
    """One pair each, by what it is an example of: a mended answer, a still wrong one, and a right
    one that was checked (the highest "reflect" above 0); those that there are."""
    pairs = [*zip(before, after, strict=True)]
    found = {
        "A mended answer": next((p for p in pairs if not solved(p[0]) and solved(p[1])), None),
        "A still wrong answer": next((p for p in pairs if not solved(p[1])), None),
    }
    taken = [p for p in found.values() if p]
    others = [p for p in pairs if p not in taken and solved(p[1]) and _reflects(p[1]) > 0]
    found["A checked answer"] = max(others, key=lambda p: _reflects(p[1]), default=None)
    return {name: pair for name, pair in found.items() if pair}


def side_by_side(pair: Pair, names: Names) -> dict[str, Any]:
    """A pair as the reports take it: the problem, and by name the sample that stands for each: the
    first right one, else the first."""
    found = prediction(pair[0])
    del found["samples"]
    said = (prediction(g)["samples"][g.attempts.index(_shown(g))] for g in pair)
    return {**found, "said": dict(zip(names, said, strict=True))}


def _shown(group: Group) -> Attempt:
    return next((a for a in group.attempts if a.right), group.attempts[0])


def _reflects(group: Group) -> float:
    return _shown(group).signals.get("reflect", 0.0)
