"""WaltzRL's part of a stage: who plays, which turns train, and what they earn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from ml_collections import ConfigDict

from waltzjax.stages.recipe import Recipe, learning_fields
from waltzjax.stages.rollout import make_sample
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, Sample
from waltzjax.waltz import episode as protocol
from waltzjax.waltz import reward as waltz_reward
from waltzjax.waltz.rates import summary


def waltz_samples(
    episodes: Sequence[Episode],
    rng: np.random.Generator,
    *,
    trained: Sequence[str],
    p_first: float,
    reward: Callable[[Episode, int], float | None],
    reward_clip: float,
) -> dict[str, list[Sample]]:
    """One sample an episode for each trained role (arXiv 2510.08240, section 3.3); none where the
    judge left its reward open. REINFORCE++ has no baseline but the batch's: the advantage is the
    reward, clipped to ±``reward_clip``."""
    samples: dict[str, list[Sample]] = {role: [] for role in trained}

    def sample(completion: Completion, earned: float) -> Sample:
        return make_sample(completion, earned, max(-reward_clip, min(earned, reward_clip)))

    for episode in episodes:
        # Both draws are made whichever role is trained: a stage changes no random stream.
        t_answer = protocol.pick_answer(episode, rng, p_first)
        t_review = protocol.pick_feedback(episode, rng) if episode.feedbacks else None
        if CONVERSATION in samples:
            earned = waltz_reward.conversation_reward(episode, t_answer)
            if earned is not None:
                samples[CONVERSATION].append(sample(episode.answers[t_answer], earned))
        if FEEDBACK in samples and t_review is not None:
            earned = reward(episode, t_review)
            if earned is not None:
                samples[FEEDBACK].append(sample(episode.feedbacks[t_review], earned))
    return samples


def waltzrl(config: ConfigDict, *, stage: str, trained: tuple[str, ...], stream: int) -> Recipe:
    """WaltzRL (arXiv 2510.08240): REINFORCE++ with PPO clipping on each trained agent's rows."""
    reward = config.reward
    return Recipe(
        trained=trained,
        stream=stream,
        collect=partial(protocol.play, t_max=config.rollout.t_max * (FEEDBACK in trained)),
        to_samples=partial(
            waltz_samples,
            trained=trained,
            p_first=config.rollout.p_first,
            reward_clip=config.rl.reward_clip,
            reward=partial(
                waltz_reward.feedback_reward,
                alpha=reward.alpha,
                lam=reward.lam.get(stage, 0.0),
                gamma=reward.gamma,
                conditioned=reward.conditioned,
            ),
        ),
        summary=summary,
        **learning_fields(config, stage),
    )


def game_turns(config: ConfigDict, *, trained: tuple[str, ...]) -> dict[str, int]:
    """How many turns each role takes in an episode, at most."""
    rounds = config.rollout.t_max * (FEEDBACK in trained)
    return {CONVERSATION: rounds + 1, FEEDBACK: rounds}
