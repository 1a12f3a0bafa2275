"""From what was rolled out and scored to rows of one agent, one reward each, and to metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from waltzjax.core import groups
from waltzjax.rewards import maths_rates, waltz
from waltzjax.rollout import episodes as protocol
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, Completion, Episode, Group, Sample


def waltz_rows(
    episodes: Sequence[Episode],
    rng: np.random.Generator,
    *,
    trained: Sequence[str],
    p_first: float,
    reward: Callable[[Episode, int], float | None],
) -> dict[str, list[Sample]]:
    """One row an episode for each trained role (arXiv 2510.08240, section 3.3); none where the
    judge left its reward open."""
    rows: dict[str, list[Sample]] = {role: [] for role in trained}
    for episode in episodes:
        # Both draws are made whichever role is trained: a stage changes no random stream.
        t_answer = protocol.pick_answer(episode, rng, p_first)
        t_review = protocol.pick_feedback(episode, rng) if episode.feedbacks else None
        if CONVERSATION in rows:
            earned = waltz.conversation_reward(episode, t_answer)
            if earned is not None:
                rows[CONVERSATION].append(_sample(episode.answers[t_answer], earned))
        if FEEDBACK in rows and t_review is not None:
            earned = reward(episode, t_review)
            if earned is not None:
                rows[FEEDBACK].append(_sample(episode.feedbacks[t_review], earned))
    return rows


def _sample(completion: Completion, reward: float) -> Sample:
    return Sample(
        completion.prompt_ids, completion.token_ids, completion.logprobs, reward, completion.reach
    )


def signals_of(items: Sequence[Group], names: Iterable[str]) -> np.ndarray:
    """The signals [P, K, R] of groups of one size."""
    return np.array(
        [[[a.signals[name] for name in names] for a in group.attempts] for group in items],
        np.float32,
    )


def group_rows(
    items: Sequence[Group], rng: np.random.Generator, *, weights: Mapping[str, float],
    baseline: str, order: str,
) -> dict[str, list[Sample]]:  # fmt: skip
    """One row an answer, whose reward is its advantage within its group."""
    del rng
    if not items:
        return {POLICY: []}
    advantage_PK = _advantages(items, weights, baseline, order)
    return {
        POLICY: [
            _sample(attempt.completion, float(advantage))
            for group, advantage_K in zip(items, advantage_PK, strict=True)
            for attempt, advantage in zip(group.attempts, advantage_K, strict=True)
        ]
    }


def _advantages(
    items: Sequence[Group], weights: Mapping[str, float], baseline: str, order: str
) -> np.ndarray:
    """[P, K]; see ``core.groups.combine``."""
    signal_PKR = jnp.asarray(signals_of(items, weights))
    return np.asarray(groups.combine(signal_PKR, [*weights.values()], baseline, order))


def group_summary(
    items: Sequence[Group], *, weights: Mapping[str, float], baseline: str = "none",
    order: str = "sum",
) -> dict[str, float]:  # fmt: skip
    """What was earned, each signal's mean and spread (standard deviation), and the share of groups
    in which nothing told the answers apart: of their advantages, and of each signal."""
    signal_PKR = signals_of(items, weights)
    earned_PK = np.asarray(groups.weighted(jnp.asarray(signal_PKR), [*weights.values()]))
    advantage_PK = _advantages(items, weights, baseline, order)
    found = {"reward/policy": earned_PK.mean(), "zero_groups": _same(advantage_PK)}
    for r, name in enumerate(weights):
        found[f"signal/{name}"] = signal_PKR[..., r].mean()
        found[f"signal_std/{name}"] = signal_PKR[..., r].std()
        found[f"zero_groups/{name}"] = _same(signal_PKR[..., r])
    return {**found, **maths_rates.summary(items)}


def told_apart(
    items: Sequence[Group], weights: Mapping[str, float], baseline: str = "none",
    order: str = "sum",
) -> list[Group]:  # fmt: skip
    """The groups whose answers have different advantages: the others carry no gradient (dynamic
    sampling, DAPO, arXiv 2503.14476, eq. 11, of all that is earned and not of accuracy alone)."""
    advantage_PK = _advantages(items, weights, baseline, order)
    same_P = np.asarray(groups.same_reward(jnp.asarray(advantage_PK)))
    return [group for group, same in zip(items, same_P, strict=True) if not same]


def _same(value_PK: np.ndarray) -> float:
    return float(np.asarray(groups.same_reward(jnp.asarray(value_PK))).mean())
