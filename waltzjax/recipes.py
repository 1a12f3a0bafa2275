"""Recipes: which algorithm a stage runs, as plain functions.

The loop knows only this record. A new method is a function in ``core/`` and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from waltzjax.config import SFT
from waltzjax.core import advantages, losses
from waltzjax.core.kl import adaptive_coefficient, kl_estimate
from waltzjax.data.chat import Chat
from waltzjax.rewards import waltz
from waltzjax.rewards.rates import summary
from waltzjax.rollout import episodes as protocol
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, PolicyBatch, Prompt, Sample


class Recipe(NamedTuple):
    """One stage's algorithm.

    trained: roles that are updated; the others stay frozen.
    stream: tells the stages' random streams apart: the same prompts are seen in each.
    collect: (prompts, chat, speakers) -> (index, episode), as they end.
    rows: (scored episodes, rng) -> single-agent rows by role.
    credit: (batch with old and reference log-probs) -> batch with advantages; jittable.
    loss: (logp_BT, batch) -> (loss, metrics); jittable.
    summary: (episodes) -> metrics.
    beta: the KL coefficient an agent begins with.
    adapt: (beta, KL of the batch) -> the next beta; None: it stays.
    """

    trained: tuple[str, ...]
    stream: int
    collect: Callable[[Sequence[Prompt], Chat, protocol.Speakers], Iterable[tuple[int, Episode]]]
    rows: Callable[[Sequence[Episode], np.random.Generator], dict[str, list[Sample]]]
    credit: Callable[[PolicyBatch], PolicyBatch]
    loss: Callable
    summary: Callable[[Sequence[Episode]], dict[str, float]]
    beta: float
    adapt: Callable[[jax.Array, jax.Array], jax.Array] | None


def waltzrl(config: ConfigDict, *, stage: str, trained: tuple[str, ...], stream: int) -> Recipe:
    """WaltzRL (arXiv 2510.08240): REINFORCE++ with PPO clipping on each trained agent's rows."""
    rl, reward = config.rl, config.reward
    return Recipe(
        trained=trained,
        stream=stream,
        collect=partial(protocol.play, t_max=config.rollout.t_max * (FEEDBACK in trained)),
        rows=partial(
            waltz_rows,
            trained=trained,
            p_first=config.rollout.p_first,
            reward=partial(
                waltz.feedback_reward,
                alpha=reward.alpha,
                lam=reward.lam.get(stage, 0.0),
                gamma=reward.gamma,
                conditioned=reward.conditioned,
            ),
        ),
        credit=partial(
            reinforce_pp,
            kl_in=rl.kl_in,
            estimator=rl.kl_estimator,
            reward_clip=rl.reward_clip,
            is_cap=rl.is_cap,
        ),
        loss=partial(
            policy_loss,
            clip_low=rl.clip_low,
            clip_high=rl.clip_high,
            dual_clip=rl.dual_clip or None,
            kl_in=rl.kl_in,
            estimator=rl.kl_estimator,
        ),
        summary=summary,
        beta=rl.beta[stage],
        adapt=partial(adaptive_coefficient, target=rl.kl_target, gain=rl.kl_gain)
        if rl.kl_target
        else None,
    )


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


def reinforce_pp(
    batch: PolicyBatch, *, kl_in: str, estimator: str, reward_clip: float, is_cap: float
) -> PolicyBatch:
    """Fill in advantages and importance weights of one role's batch; any leading axes."""
    shape = batch.action_BT.shape
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[batch.beta_B.ndim :]), batch)
    kl_BT = kl_estimate(flat.old_logp_BT, flat.ref_logp_BT, estimator)
    beta_B = flat.beta_B if kl_in == "reward" else jnp.zeros_like(flat.beta_B)
    advantage_BT = advantages.token_advantages(
        flat.reward_BT, kl_BT, flat.action_BT, flat.start_BT,
        beta=beta_B[:, None], reward_clip=reward_clip, normalise=True,
    )  # fmt: skip
    is_weight_BT = jnp.ones_like(flat.weight_BT)
    if is_cap:
        is_weight_BT = losses.truncated_importance(flat.old_logp_BT, flat.sampler_logp_BT, is_cap)
    return batch._replace(
        advantage_BT=advantage_BT.reshape(shape), is_weight_BT=is_weight_BT.reshape(shape)
    )


def policy_loss(logp_BT, batch, *, clip_low, clip_high, dual_clip, kl_in, estimator):
    """Clipped policy gradient, plus beta times a KL estimate where that is in the loss."""
    loss, metrics = losses.clipped_pg(
        logp_BT, batch, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    )
    if kl_in == "loss":
        kl_BT = jnp.where(batch.action_BT, kl_estimate(logp_BT, batch.ref_logp_BT, estimator), 0)
        loss += jnp.sum(batch.weight_BT * batch.beta_B[:, None] * kl_BT)
    return loss, metrics


RECIPES: dict[str, Callable[[ConfigDict], Recipe]] = {
    "stage1": partial(waltzrl, stage="stage1", trained=(FEEDBACK,), stream=1),
    "stage2": partial(waltzrl, stage="stage2", trained=(CONVERSATION, FEEDBACK), stream=2),
    # The baseline without feedback: first answers alone, with the same reward.
    "single": partial(waltzrl, stage="single", trained=(CONVERSATION,), stream=5),
}


def trained_roles(config: ConfigDict, stage: str) -> tuple[str, ...]:
    """Whom a stage of ``config.stages`` trains."""
    return (config.sft.role,) if stage == SFT else RECIPES[stage](config).trained
