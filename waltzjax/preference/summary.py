"""Figures of what was made of collected answers: scores, pairs, arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from waltzjax.preference.coherence import QUALITY, Scored, answer_value
from waltzjax.preference.pairing import KINDS, Paired
from waltzjax.types import CORRECTNESS, Collected, Preference, Trajectory

TOP = {"s_end": 1.0, "s_path": 1.0, "s_cf": 1.0, "quality": 1.0, "reward": 1.0 + QUALITY}
OF_A_QUESTION = ("s_end", "s_path", "s_cf")  # the other scores are of a trajectory
BIN = 0.05  # width of a histogram's bins, of scores
BINS = 20  # of words
SIDES = ("chosen", "rejected")
ALL_RIGHT, MIXED, NONE_RIGHT = "all right", "right and wrong", "none right"


def summary(
    questions: Sequence[Collected],
    scores: Sequence[Scored],
    paired: Paired,
    *,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The figures as plain JSON values; null: nothing was counted.

    questions, trajectories, pairs, pair_types: numbers of them. correctness_share: in [0, 1].
    answered: how many questions have right answers alone, right and wrong ones, or none right.
    without, left_out: see ``Paired``. settings: what the pairs were made with, as given.
    scores: of each score a ``distribution``, over questions or over trajectories.
    words: by type, distributions of the words of chosen and rejected answers, and the median of
    chosen / rejected over the pairs.
    arms: by name its role; accuracy, format_rate (an answer can be read) and cut_off in per cent;
    tokens, their mean; in how many pairs it is chosen, and rejected.
    """
    by_type = {kind: [p for p in paired.pairs if p.pair_type == kind] for kind in KINDS}
    qualities = [(s, q) for s in scores for q in s.trajectories]
    values: dict[str, list[float]] = {
        "s_end": [s.s_end for s in scores],
        "s_path": [s.s_path for s in scores],
        "s_cf": [s.s_cf for s in scores if s.s_cf is not None],
        "quality": [q.quality for _, q in qualities],
        "reward": [q.reward for _, q in qualities],
    }
    answered = Counter(_answered(q) for q in questions)
    return {
        "questions": len(questions),
        "trajectories": len(qualities),
        "answered": {what: answered[what] for what in (ALL_RIGHT, MIXED, NONE_RIGHT)},
        "pairs": len(paired.pairs),
        "pair_types": {kind: len(pairs) for kind, pairs in by_type.items()},
        "correctness_share": len(by_type[CORRECTNESS]) / len(paired.pairs)
        if paired.pairs
        else None,
        "without": dict(paired.without),
        "left_out": dict(paired.left_out),
        "settings": dict(settings),
        "scores": {
            name: distribution(numbers, TOP[name], round(TOP[name] / BIN))
            for name, numbers in values.items()
        },
        "words": {kind: _words(pairs) for kind, pairs in by_type.items() if pairs},
        "arms": _arms(questions, paired.pairs),
    }


def distribution(values: Sequence[float], top: float, bins: int) -> dict[str, Any] | None:
    """Mean, standard deviation (of the population), quartiles, and a histogram of so many bins from
    0 to ``top``, whose last one includes it. None: no values."""
    if not values:
        return None
    counts, edges = np.histogram(np.clip(values, 0, top), bins=bins, range=(0, top))
    names = ("min", "q1", "median", "q3", "max")
    quartiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    return {
        "n": len(values),
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        **{name: float(value) for name, value in zip(names, quartiles, strict=True)},
        "histogram": {"edges": [round(float(e), 6) for e in edges], "counts": counts.tolist()},
    }


def examples(pairs: Sequence[Preference], each: int = 3) -> dict[str, list[Preference]]:
    """The first pairs of each type, of ``each`` different questions."""
    by_type: dict[str, dict[str, Preference]] = {}
    for pair in pairs:
        by_type.setdefault(pair.pair_type, {}).setdefault(pair.question, pair)
    return {kind: [*by_question.values()][:each] for kind, by_question in by_type.items()}


def _answered(question: Collected) -> str:
    right = {t.correct for t in question.trajectories}
    return MIXED if len(right) == 2 else ALL_RIGHT if True in right else NONE_RIGHT


def _words(pairs: Sequence[Preference]) -> dict[str, Any]:
    chosen, rejected = ([len(getattr(p, side).split()) for p in pairs] for side in SIDES)
    top = max(*chosen, *rejected)
    return {
        "chosen": distribution(chosen, top, BINS),
        "rejected": distribution(rejected, top, BINS),
        "ratio": float(np.median(np.divide(chosen, rejected))),
    }


def _arms(questions: Sequence[Collected], pairs: Sequence[Preference]) -> dict[str, dict[str, Any]]:
    paired = {side: Counter(getattr(p, f"{side}_arm") for p in pairs) for side in SIDES}
    by_arm: dict[str, list[Trajectory]] = {}
    for question in questions:
        for t in question.trajectories:
            by_arm.setdefault(t.arm, []).append(t)
    return {
        arm: {
            "role": trajectories[0].role,
            "trajectories": len(trajectories),
            "accuracy": 100 * float(np.mean([t.correct for t in trajectories])),
            "format_rate": 100
            * float(np.mean([answer_value(t.answer) is not None for t in trajectories])),
            "cut_off": 100 * float(np.mean([t.finish_reason == "length" for t in trajectories])),
            "tokens": float(np.mean([t.tokens for t in trajectories])),
            **{side: counts[arm] for side, counts in paired.items()},
        }
        for arm, trajectories in by_arm.items()
    }
