"""RLVR's part of a stage: from scored groups of answers to samples, advantages and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from waltzjax.config.key import RLVR
from waltzjax.core import advantages
from waltzjax.rlvr import attempts, rates
from waltzjax.stages.algorithms import ALGORITHMS
from waltzjax.stages.recipe import Recipe, learning_fields
from waltzjax.stages.rollout import make_sample
from waltzjax.types import POLICY, Group, Sample

FRAC_ZERO_STD = "frac_zero_std_groups"  # of a step's groups, as a metric


def signals_of(items: Sequence[Group], names: Iterable[str]) -> np.ndarray:
    """The signals [P, K, R] of groups of one size."""
    return np.array(
        [[[a.signals[name] for name in names] for a in group.attempts] for group in items],
        np.float32,
    )


def group_samples(
    items: Sequence[Group],
    rng: np.random.Generator,
    *,
    weights: Mapping[str, float],
    baseline: str,
    order: str,
    reward_clip: float,
) -> dict[str, list[Sample]]:
    """One sample an answer, with what the answer earned and its advantage within its group."""
    del rng
    if not items:
        return {POLICY: []}
    earned_PK, advantage_PK = rewards_and_advantages(items, weights, baseline, order, reward_clip)
    return {
        POLICY: [
            make_sample(attempt.completion, float(earned), float(advantage))
            for group, earned_K, advantage_K in zip(items, earned_PK, advantage_PK, strict=True)
            for attempt, earned, advantage in zip(
                group.attempts, earned_K, advantage_K, strict=True
            )
        ]
    }


def rewards_and_advantages(
    items: Sequence[Group],
    weights: Mapping[str, float],
    baseline: str,
    order: str,
    reward_clip: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Each answer's reward and its advantage, both [P, K]; see ``core.advantages.combine``."""
    signal_PKR, weight_R = jnp.asarray(signals_of(items, weights)), [*weights.values()]
    advantage_PK = advantages.combine(
        signal_PKR, weight_R, baseline, order, reward_clip=reward_clip
    )
    return np.asarray(advantages.weighted(signal_PKR, weight_R)), np.asarray(advantage_PK)


def group_summary(
    items: Sequence[Group],
    *,
    weights: Mapping[str, float],
    baseline: str,
    order: str,
    reward_clip: float,
) -> dict[str, float]:
    """The mean reward, each signal's mean and spread (standard deviation), and the share of groups
    in which nothing told the answers apart: of their advantages, and of each signal."""
    signal_PKR = signals_of(items, weights)
    earned_PK, advantage_PK = rewards_and_advantages(items, weights, baseline, order, reward_clip)
    metrics = {"reward/policy": earned_PK.mean(), FRAC_ZERO_STD: _same(advantage_PK)}
    for r, name in enumerate(weights):
        metrics[f"signal/{name}"] = signal_PKR[..., r].mean()
        metrics[f"signal_std/{name}"] = signal_PKR[..., r].std()
        metrics[f"{FRAC_ZERO_STD}/{name}"] = _same(signal_PKR[..., r])
    return {**metrics, **rates.summary(items)}


def with_reward_variance(
    items: Sequence[Group],
    weights: Mapping[str, float],
    baseline: str,
    order: str,
    reward_clip: float,
) -> list[Group]:
    """The groups whose answers have different advantages: the others carry no gradient (dynamic
    sampling, DAPO, arXiv 2503.14476, eq. 11, of all that is earned and not of accuracy alone)."""
    _, advantage_PK = rewards_and_advantages(items, weights, baseline, order, reward_clip)
    same_P = np.asarray(advantages.same_reward(jnp.asarray(advantage_PK)))
    return [group for group, same in zip(items, same_P, strict=True) if not same]


def _same(value_PK: np.ndarray) -> float:
    return float(np.asarray(advantages.same_reward(jnp.asarray(value_PK))).mean())


def rlvr(config: ConfigDict) -> Recipe:
    """RL from verifiable rewards: a policy's answers to problems, several to each, paid by what a
    program can check of them."""
    how = group_settings(config)
    return Recipe(
        trained=(POLICY,),
        stream=6,
        collect=partial(attempts.answer, samples=config.rollout.group),
        to_samples=partial(group_samples, **how),
        summary=partial(group_summary, **how),
        **learning_fields(config, RLVR),
    )


def group_settings(config: ConfigDict) -> dict[str, Any]:
    """How the signals of a group's answers become advantages, as ``group_samples`` takes it."""
    return {
        "weights": config.reward.signals.to_dict(),
        "baseline": ALGORITHMS[config.rl.algorithm].baseline,
        "order": config.reward.order,
        "reward_clip": config.rl.reward_clip,
    }
