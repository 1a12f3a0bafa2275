"""Preference pairs of what several arms said to a question.

Correctness first: a right answer is preferred to a wrong one. Then coherence: of two right answers
the one with the higher reward (``coherence.scored``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from waltzjax.data.text import has_lone_surrogate
from waltzjax.preference.balance import Pair, in_turn, mixed, thinned
from waltzjax.preference.coherence import answer_value, scored
from waltzjax.types import COHERENCE, CORRECTNESS, Collected, Preference, Trajectory

KINDS = (CORRECTNESS, COHERENCE)
ROUNDING = 1e-9  # rewards that differ by less are equal
NOT_ASKED_FOR = "all its pairs are of a type that config.pairs has 0 of"
AGAIN = "its pairs are those of the same question before"
THINNED = "its pairs were left out for the share of the types, or the number of pairs"
OVER_CAP = "more of a question than config.pairs allows"
OVER_SHARE = {kind: f"of {kind}, for config.pairs.correctness_share" for kind in KINDS}
OVER_MOST = "for config.pairs.max_pairs"


class Paired(NamedTuple):
    """``pairs``: in the questions' order, of each question those of correctness first.
    ``without``: how many questions gave no pair, by why. ``left_out``: how many pairs there could
    have been besides, by why there are not."""

    pairs: list[Preference]
    without: dict[str, int]
    left_out: dict[str, int]


class _Possible(NamedTuple):
    """A question's pairs by type, as places among its trajectories; ``why`` there are none."""

    pairs: dict[str, list[Pair]]
    why: str
    rewards: list[float]


def make_pairs(
    questions: Sequence[Collected],
    *,
    correctness_per_question: int,
    coherence_per_question: int,
    min_reward_gap: float,
    correctness_share: float,
    max_pairs: int,
    seed: int,
) -> Paired:
    """The pairs of all questions; the same for the same ``seed``, in which they are drawn.

    Chosen are only right answers that ended by themselves and can be read, never one of two equal
    texts (but for the spaces around them), never an empty one on either side. The same two answers
    to the same question are one pair at most.

    Args:
      correctness_per_question, coherence_per_question: of each question at most; 0: none of this
        type. A question's answers take turns (``preference.balance.in_turn``).
      min_reward_gap: of two right answers' rewards, >= 0; only more is a pair.
      correctness_share: in [0, 1]; the type that has more than its share is thinned, by the
        questions that have most of it. 0: all stay, as they do where one type stands alone.
      max_pairs: pairs in all, 0: any number.
    """
    caps = dict(zip(KINDS, (correctness_per_question, coherence_per_question), strict=True))
    taken: dict[str, list[list[Preference]]] = {kind: [] for kind in KINDS}  # of each question
    whys, left_out = [], {OVER_CAP: 0}
    seen: set[tuple[str, frozenset[str]]] = set()
    for question in questions:
        rng = np.random.default_rng([seed, 0, question.problem.id])
        possible = _possible(question, min_reward_gap)
        why = possible.why
        for kind, pairs in possible.pairs.items():
            new = [p for p in pairs if _same(question, p) not in seen]
            kept = in_turn(new, caps[kind], rng)
            seen.update(_same(question, p) for p in kept)
            left_out[OVER_CAP] += len(new) - len(kept)
            taken[kind].append([_preference(question, p, kind, possible.rewards) for p in kept])
            why = why or (AGAIN if pairs and not new else "")
        whys.append(why or NOT_ASKED_FOR)
    stay, thinned_out = _thinned(taken, correctness_share, max_pairs, seed)
    had = [any(pairs) for pairs in zip(*taken.values(), strict=True)]
    without = Counter(THINNED if had[i] else whys[i] for i, pairs in enumerate(stay) if not pairs)
    return Paired(
        [pair for pairs in stay for pair in pairs],
        dict(without.most_common()),
        {why: n for why, n in (left_out | thinned_out).items() if n},
    )


def _thinned(
    taken: Mapping[str, Sequence[Sequence[Preference]]], share: float, most: int, seed: int
) -> tuple[list[list[Preference]], dict[str, int]]:
    """Each question's pairs of both types that stay, and how many were left out, by why."""
    right, coherent = (sum(map(len, taken[kind])) for kind in KINDS)
    at_share, keep = mixed(right, coherent, share, 0), mixed(right, coherent, share, most)
    rng = np.random.default_rng([seed, 1])
    kept = []
    for kind, number in zip(KINDS, keep, strict=True):
        first = thinned([len(pairs) for pairs in taken[kind]], number, rng)
        kept.append([pairs[:n] for pairs, n in zip(taken[kind], first, strict=True)])
    left_out = {
        OVER_SHARE[CORRECTNESS]: right - at_share[0],
        OVER_SHARE[COHERENCE]: coherent - at_share[1],
        OVER_MOST: sum(at_share) - sum(keep),
    }
    return [[*a, *b] for a, b in zip(*kept, strict=True)], left_out


def _possible(question: Collected, min_reward_gap: float) -> _Possible:
    """All that can be made of one question."""
    trajectories = question.trajectories
    rewards = [q.reward for q in scored(question).trajectories]
    texts = _texts(trajectories)
    right = [i for i in texts if trajectories[i].correct]
    wrong = [i for i in texts if not trajectories[i].correct]
    best = [i for i in right if _whole(trajectories[i])]
    least = min_reward_gap + ROUNDING
    pairs = {
        CORRECTNESS: [(i, j) for i in best for j in wrong],
        COHERENCE: [(i, j) for i in best for j in right if rewards[i] - rewards[j] > least],
    }
    why = (
        "" if any(pairs.values()) else _why_none(trajectories, rewards, right, best, min_reward_gap)
    )
    return _Possible(pairs, why, rewards)


def _why_none(
    trajectories: Sequence[Trajectory],
    rewards: Sequence[float],
    right: Sequence[int],
    best: Sequence[int],
    min_reward_gap: float,
) -> str:
    """``right``: places of right answers with different texts; ``best``: that may be chosen."""
    if not any(t.correct for t in trajectories):
        return "no answer is right"
    if not best:
        return "no right answer is whole: all are cut off, or cannot be read"
    which = (
        "all answers" if all(t.correct for t in trajectories) else "all answers that say anything"
    )
    if len(right) == 1:
        return f"{which} are right, in the same words"
    apart = max(rewards[i] for i in right) - min(rewards[i] for i in right)
    if apart > min_reward_gap + ROUNDING:
        return f"{which} are right, and those with the higher rewards are cut off"
    return f"{which} are right, and their rewards lie within {min_reward_gap:g}"


def _texts(trajectories: Sequence[Trajectory]) -> list[int]:
    """Places of the trajectories with different texts, of equal ones the first that may be chosen:
    only so has every text one reward. Left out is what no dataset can hold."""
    places: dict[str, int] = {}
    for i in sorted(range(len(trajectories)), key=lambda i: not _whole(trajectories[i])):
        if (text := trajectories[i].text.strip()) and not has_lone_surrogate(text):
            places.setdefault(text, i)
    return sorted(places.values())


def _whole(t: Trajectory) -> bool:
    """It ended by itself, and names an answer."""
    return t.finish_reason == "stop" and answer_value(t.answer) is not None


def _same(question: Collected, pair: Pair) -> tuple[str, frozenset[str]]:
    return question.problem.text, frozenset(question.trajectories[i].text.strip() for i in pair)


def _preference(question: Collected, pair: Pair, kind: str, rewards: Sequence[float]) -> Preference:
    chosen, rejected = (question.trajectories[i] for i in pair)
    return Preference(
        question.problem.text,
        chosen.text,
        rejected.text,
        kind,
        rewards[pair[0]],
        rewards[pair[1]],
        chosen.arm,
        rejected.arm,
        rejected.finish_reason == "length",
    )
