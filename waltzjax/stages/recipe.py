"""An algorithm as the reinforcement stage takes it: how rewards become advantages, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from waltzjax.core import advantages, losses
from waltzjax.core.losses import adaptive_coefficient, full_support, kl_estimate
from waltzjax.stages.algorithms import ALGORITHMS
from waltzjax.types import PolicyBatch, Sample


class Recipe(NamedTuple):
    """One stage's algorithm. Items are what is rolled out and scored: episodes of the game, groups
    of answers to a problem.

    trained: roles that are updated; the others stay frozen.
    stream: tells the stages' random streams apart: the same prompts are seen in each.
    collect: how items come about, see ``stages.rollout.roll_out``.
    to_samples: (scored items, rng) -> the samples of each role that is trained.
    compute_advantages: (batch with old and reference log-probs) -> batch with advantages; jittable.
    loss: (logp_BT, batch) -> (loss, metrics); jittable.
    summary: (scored items) -> metrics.
    weights: how tokens are averaged, see ``data.batching``.
    kl_coef: the KL coefficient a role begins with.
    next_kl_coef: (coefficient, KL of the batch) -> the next coefficient; None: it stays.
    """

    trained: tuple[str, ...]
    stream: int
    collect: Callable[..., Iterable[tuple[int, Any]]]
    to_samples: Callable[[Sequence[Any], np.random.Generator], dict[str, list[Sample]]]
    compute_advantages: Callable[[PolicyBatch], PolicyBatch]
    loss: Callable
    summary: Callable[[Sequence[Any]], dict[str, float]]
    weights: str
    kl_coef: float
    next_kl_coef: Callable[[jax.Array, jax.Array], jax.Array] | None


def learning_fields(config: ConfigDict, stage: str) -> dict[str, Any]:
    """The fields of a recipe that do not depend on where its samples are from."""
    rl, algorithm = config.rl, ALGORITHMS[config.rl.algorithm]
    kl = {"kl_in": rl.kl_in, "estimator": rl.kl_estimator}
    follow = partial(adaptive_coefficient, target=rl.kl_target, gain=rl.kl_gain)
    return {
        "compute_advantages": partial(
            compute_advantages, **kl, normalise=algorithm.normalise, tis_cap=rl.tis_cap
        ),
        "loss": partial(
            policy_loss,
            **kl,
            clip_low=rl.clip_low,
            clip_high=rl.clip_high,
            dual_clip=rl.dual_clip or None,
            entropy_bonus=rl.entropy_bonus,
        ),
        "weights": algorithm.weights if rl.weights == "auto" else rl.weights,
        "kl_coef": rl.beta[stage],
        "next_kl_coef": follow if rl.kl_target else None,
    }


def compute_advantages(
    batch: PolicyBatch, *, kl_in: str, estimator: str, normalise: bool, tis_cap: float
) -> PolicyBatch:
    """Fill in advantages and importance weights of one role's batch; any leading axes."""
    shape = batch.action_BT.shape
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[batch.beta_B.ndim :]), batch)
    old_BT = full_support(flat.old_logp_BT, flat.old_full_logp_BT)
    kl_BT = kl_estimate(old_BT, flat.ref_logp_BT, estimator)
    beta_B = flat.beta_B if kl_in == "reward" else jnp.zeros_like(flat.beta_B)
    advantage_BT = advantages.token_advantages(
        flat.text_advantage_BT,
        kl_BT,
        flat.action_BT,
        flat.start_BT,
        beta=beta_B[:, None],
        normalise=normalise,
    )
    is_weight_BT = jnp.ones_like(flat.weight_BT)
    if tis_cap:
        is_weight_BT = losses.truncated_importance(flat.old_logp_BT, flat.sampler_logp_BT, tis_cap)
    return batch._replace(
        advantage_BT=advantage_BT.reshape(shape), is_weight_BT=is_weight_BT.reshape(shape)
    )


def policy_loss(
    logp_BT, batch, *, clip_low, clip_high, dual_clip, kl_in, estimator, entropy_bonus=0.0
):
    """Clipped policy gradient, plus beta times a KL estimate where that is in the loss, less the
    entropy's bonus."""
    loss, metrics = losses.clipped_pg(
        logp_BT, batch, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    )
    if kl_in == "loss":
        full_BT = full_support(logp_BT, batch.full_logp_BT)
        kl_BT = jnp.where(batch.action_BT, kl_estimate(full_BT, batch.ref_logp_BT, estimator), 0)
        loss += jnp.sum(batch.weight_BT * batch.beta_B[:, None] * kl_BT)
    if entropy_bonus:
        loss += losses.entropy_bonus(batch, entropy_bonus)
    return loss, metrics
