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
from waltzjax.stages.recipe import ALGORITHMS, Recipe, learning_fields
from waltzjax.stages.rollout import make_sample
from waltzjax.types import POLICY, Group, Sample


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
            make_sample(attempt.completion, float(advantage))
            for group, advantage_K in zip(items, advantage_PK, strict=True)
            for attempt, advantage in zip(group.attempts, advantage_K, strict=True)
        ]
    }


def _advantages(
    items: Sequence[Group], weights: Mapping[str, float], baseline: str, order: str
) -> np.ndarray:
    """[P, K]; see ``core.advantages.combine``."""
    signal_PKR = jnp.asarray(signals_of(items, weights))
    return np.asarray(advantages.combine(signal_PKR, [*weights.values()], baseline, order))


def group_summary(
    items: Sequence[Group], *, weights: Mapping[str, float], baseline: str = "none",
    order: str = "sum",
) -> dict[str, float]:  # fmt: skip
    """What was earned, each signal's mean and spread (standard deviation), and the share of groups
    in which nothing told the answers apart: of their advantages, and of each signal."""
    signal_PKR = signals_of(items, weights)
    earned_PK = np.asarray(advantages.weighted(jnp.asarray(signal_PKR), [*weights.values()]))
    advantage_PK = _advantages(items, weights, baseline, order)
    found = {"reward/policy": earned_PK.mean(), "zero_groups": _same(advantage_PK)}
    for r, name in enumerate(weights):
        found[f"signal/{name}"] = signal_PKR[..., r].mean()
        found[f"signal_std/{name}"] = signal_PKR[..., r].std()
        found[f"zero_groups/{name}"] = _same(signal_PKR[..., r])
    return {**found, **rates.summary(items)}


def with_reward_variance(
    items: Sequence[Group], weights: Mapping[str, float], baseline: str = "none",
    order: str = "sum",
) -> list[Group]:  # fmt: skip
    """The groups whose answers have different advantages: the others carry no gradient (dynamic
    sampling, DAPO, arXiv 2503.14476, eq. 11, of all that is earned and not of accuracy alone)."""
    advantage_PK = _advantages(items, weights, baseline, order)
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
        rows=partial(group_rows, **how),
        summary=partial(group_summary, **how),
        **learning_fields(config, RLVR),
    )


def group_settings(config: ConfigDict) -> dict[str, Any]:
    """How the signals of a group's answers become advantages, as functions of ``rows`` take it."""
    return {
        "weights": config.reward.signals.to_dict(),
        "baseline": ALGORITHMS[config.rl.algorithm].baseline,
        "order": config.reward.order,
    }
