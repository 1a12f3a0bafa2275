"""A training step's rollout of the game: every prompt played, and judged meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from waltzjax.judge.judge import Judge, Scorer
from waltzjax.run.runtime import Runtime, sampling, step_rng
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.rollout import Agents, Rolled, Watch
from waltzjax.types import Episode, Prompt, Sample


def roll_game(
    config: ConfigDict, runtime: Runtime, recipe: Recipe, judge: Judge,
    params: Mapping[str, Any], prompts: Sequence[Prompt], stream: int, step: int, watch: Watch,
) -> Rolled:  # fmt: skip
    """Play every prompt, and have the judge score what was said while the others are played."""
    found: dict[int, Episode] = {}
    with (
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
        runtime.engine.session(params) as session,
    ):
        how = sampling(config, config.rollout.temperature)
        agents = Agents(runtime.chat, session, how, seed=stream, step=step, watch=watch)
        for index, episode in recipe.collect(prompts, runtime.chat, agents):
            scorer.add(episode)  # while the device goes on with the others
            found[index] = episode
        drawn = session.stats()
        session.close()  # the judge may be a model that needs the room
        scorer.finish()
    episodes = [found[index] for index in range(len(prompts))]
    rows = recipe.to_samples(episodes, step_rng(stream, step))
    return Rolled(rows, {**recipe.summary(episodes), **earned(rows)}, drawn)


def earned(rows: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """The mean reward of each role that has rows."""
    return {
        f"reward/{role}": float(np.mean([sample.reward for sample in of]))
        for role, of in rows.items()
        if of
    }
