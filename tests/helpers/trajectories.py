"""Questions with what several arms said to them, for tests of scores and preferences."""

from __future__ import annotations

from waltzjax.types import VARIANCE, Collected, Problem, Trajectory


def said(
    text: str, answer: str | None = "8", correct: bool = True, *, arm: str = "a",
    role: str = VARIANCE, tokens: int = 4, ended: str = "stop",
) -> Trajectory:  # fmt: skip
    """By default the right answer of a variance arm, in four tokens."""
    return Trajectory(arm, role, text, answer, correct, tokens, -1.0, ended)


def question(*trajectories: Trajectory, number: int = 0, text: str = "") -> Collected:
    return Collected(Problem(number, text or f"What is {number}?", "8"), trajectories)
