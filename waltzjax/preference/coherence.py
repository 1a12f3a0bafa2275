"""How the answers of several arms to one question cohere: s_end, s_path, s_cf, quality, reward.

s_end: do they end alike? s_path: do they go alike? s_cf: does the counterfactual check come to what
the probes say? Weights and definitions are those of Regime W's source; where it is silent, [ours].
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from waltzjax.rlvr.grading.answer import MAX_CHARS
from waltzjax.rlvr.grading.number import read_number, split_name
from waltzjax.rlvr.grading.typeset import tidy
from waltzjax.types import COUNTERFACTUAL, PROBE, Collected, Trajectory

LENGTH, OVERLAP = 0.4, 0.6  # of s_path
CONCISENESS, ALIGNMENT = 0.4, 0.6  # of quality
QUALITY = 0.2  # of a trajectory's quality in its reward [ours]

_WORDS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")  # "1,200.50" is one number, "3x" two of these


class Quality(NamedTuple):
    """Scores of one trajectory, each in [0, 1] but the reward in [0, 1.2]; higher is better.

    conciseness: tokens of the shortest correct answer / its own, at most 1; 0: none is correct.
    alignment: mean overlap with the other trajectories that are probes; None: there are none.
    quality: 0.4 conciseness + 0.6 alignment; without an alignment conciseness alone [ours].
    reward: mean of the question's scores + 0.2 quality [ours].
    """

    conciseness: float
    alignment: float | None
    quality: float
    reward: float


class Scored(NamedTuple):
    """Scores of one question, each in [0, 1]; ``trajectories`` in the arms' order.

    s_end: share of all trajectories that give the answer given most often.
    s_path: 0.4 length coherence + 0.6 mean overlap of two of them.
    s_cf: share of (counterfactual, probe) pairs that give the same answer; None: no such pair.
    """

    s_end: float
    s_path: float
    s_cf: float | None
    trajectories: tuple[Quality, ...]


def scored(question: Collected) -> Scored:
    """The scores of a question and of each of its trajectories.

    Length coherence is 1 - min(1, std / mean) of the numbers of tokens, with the population's
    standard deviation [ours]. The overlap of two texts is the Jaccard index of their sets of words
    and numbers, |A & B| / |A | B|, in which case is folded; two texts without any are alike: 1. A
    trajectory alone is as long as itself and overlaps with itself: s_path is 1 [ours].

    Raises:
      ValueError: the question has no trajectories.
    """
    trajectories = question.trajectories
    if not trajectories:
        raise ValueError(
            f"question {question.problem.id}: got no trajectories, wanted is at least one; "
            "collect its answers anew"
        )
    overlap_NN = _overlaps([t.text for t in trajectories])
    answers = [answer_value(t.answer) for t in trajectories]
    scores = _s_end(answers), _s_path(trajectories, overlap_NN), _s_cf(trajectories, answers)
    coherence = float(np.mean([s for s in scores if s is not None]))
    shortest = min((t.tokens for t in trajectories if t.correct), default=None)
    probes = [i for i, t in enumerate(trajectories) if t.role == PROBE]
    qualities = []
    for i, t in enumerate(trajectories):
        concise = 0.0 if shortest is None else 1.0 if t.tokens <= shortest else shortest / t.tokens
        others = [overlap_NN[i, j] for j in probes if j != i]
        aligned = float(np.mean(others)) if others else None
        quality = concise if aligned is None else CONCISENESS * concise + ALIGNMENT * aligned
        qualities.append(Quality(concise, aligned, quality, coherence + QUALITY * quality))
    return Scored(*scores, tuple(qualities))


def answer_value(answer: str | None) -> Hashable | None:
    """The value that equal answers share: of "8", "8.0", "$8" and "x = 8 apples" the number, so
    that a unit or a per cent sign does not tell answers apart; of what is no number its text
    without the spaces around it. None: there is no answer."""
    if answer is None or not (text := answer.strip()):
        return None
    number = read_number(split_name(tidy(text))[1]) if len(text) <= MAX_CHARS else None
    return (number.value, number.base) if number else text


def _s_end(answers: Sequence[Hashable | None]) -> float:
    counts = Counter(a for a in answers if a is not None)
    return max(counts.values(), default=0) / len(answers)


def _s_path(trajectories: Sequence[Trajectory], overlap_NN: np.ndarray) -> float:
    tokens = np.array([t.tokens for t in trajectories], float)
    spread = tokens.std() / tokens.mean() if tokens.any() else 0.0
    pairs = overlap_NN[np.triu_indices(len(trajectories), 1)]
    overlap = pairs.mean() if len(pairs) else 1.0
    return float(LENGTH * (1 - min(1.0, spread)) + OVERLAP * overlap)


def _s_cf(trajectories: Sequence[Trajectory], answers: Sequence[Hashable | None]) -> float | None:
    checks, probes = (
        [a for t, a in zip(trajectories, answers, strict=True) if t.role == role]
        for role in (COUNTERFACTUAL, PROBE)
    )
    agree = [a is not None and a == b for a in checks for b in probes]
    return float(np.mean(agree)) if agree else None


def _overlaps(texts: Sequence[str]) -> np.ndarray:
    """Jaccard index of each two texts, [N, N]."""
    words = [frozenset(_WORDS.findall(text.casefold())) for text in texts]
    overlap_NN = np.ones((len(texts), len(texts)))
    for i, a in enumerate(words):
        for j, b in enumerate(words[:i]):
            overlap_NN[i, j] = overlap_NN[j, i] = len(a & b) / len(a | b) if a | b else 1.0
    return overlap_NN
