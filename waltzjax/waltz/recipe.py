"""WaltzRL's part of a stage: who plays, which turns train, and what they earn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from ml_collections import ConfigDict

from waltzjax.stages.recipe import Recipe, learning_fields
from waltzjax.stages.rollout import make_sample
from waltzjax.types import CONVERSATION, FEEDBACK, Episode, Sample
from waltzjax.waltz import episode as protocol
from waltzjax.waltz import reward as waltz_reward
from waltzjax.waltz.rates import summary


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
            earned = waltz_reward.conversation_reward(episode, t_answer)
            if earned is not None:
                rows[CONVERSATION].append(make_sample(episode.answers[t_answer], earned))
        if FEEDBACK in rows and t_review is not None:
            earned = reward(episode, t_review)
            if earned is not None:
                rows[FEEDBACK].append(make_sample(episode.feedbacks[t_review], earned))
    return rows


def waltzrl(config: ConfigDict, *, stage: str, trained: tuple[str, ...], stream: int) -> Recipe:
    """WaltzRL (arXiv 2510.08240): REINFORCE++ with PPO clipping on each trained agent's rows."""
    reward = config.reward
    return Recipe(
        trained=trained,
        stream=stream,
        collect=partial(protocol.play, t_max=config.rollout.t_max * (FEEDBACK in trained)),
        rows=partial(
            waltz_rows,
            trained=trained,
            p_first=config.rollout.p_first,
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
