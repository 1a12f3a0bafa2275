"""Rollouts of the game: every prompt played, and judged meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from waltzjax.engine.session import Stats
from waltzjax.judge.judge import Judge, Scorer
from waltzjax.metrics.clock import HOST, part
from waltzjax.run.runtime import Runtime, step_rng
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.rollout import Collect, Draw, Rolled, Watch, roll_out, training_draw
from waltzjax.types import Episode, Prompt, Sample
from waltzjax.waltz.transcripts import transcript, transcript_text


def play_scored(
    config: ConfigDict,
    runtime: Runtime,
    judge: Judge,
    params: Mapping[str, Any],
    prompts: Sequence[Prompt],
    collect: Collect,
    draw: Draw,
) -> tuple[list[Episode], Stats]:
    """Play every prompt as ``collect`` does, see ``stages.recipe.Recipe``, and have the judge score
    what was said while the others are played; the episodes in the prompts' order."""
    episodes: dict[int, Episode] = {}
    with (
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
        runtime.engine.session(params) as session,
    ):

        def add(index: int, episode: Episode) -> None:
            scorer.add(episode)  # while the device goes on with the others
            episodes[index] = episode

        drawn = roll_out(runtime.chat, session, collect, prompts, draw, add)
        session.close()  # the judge may be a model that needs the room
        with part("judge"):
            scorer.finish()
    return [episodes[index] for index in range(len(prompts))], drawn


def roll_game(
    config: ConfigDict,
    runtime: Runtime,
    recipe: Recipe,
    judge: Judge,
    params: Mapping[str, Any],
    prompts: Sequence[Prompt],
    stream: int,
    step: int,
    watch: Watch,
) -> Rolled:
    """A training step's rollout."""
    draw = training_draw(config, stream, step, watch)
    episodes, drawn = play_scored(config, runtime, judge, params, prompts, recipe.collect, draw)
    with part(HOST):
        rows = recipe.to_samples(episodes, step_rng(stream, step))
        metrics = {**recipe.summary(episodes), **earned(rows)}
        return Rolled(rows, metrics, drawn, transcript_text(transcript(episodes[0])))


def earned(rows: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """The mean reward of each role that has rows."""
    return {
        f"reward/{role}": float(np.mean([sample.reward for sample in samples]))
        for role, samples in rows.items()
        if samples
    }
