"""One step's rollout: what is asked, scored and turned into rows; of the game and of maths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from waltzjax.attempts import Attempts
from waltzjax.recipes import Recipe, group_settings
from waltzjax.rewards.judges import Judge, Scorer
from waltzjax.rewards.verifier import Verifier
from waltzjax.rollout.agents import Agents
from waltzjax.rollout.session import Stats
from waltzjax.rows import told_apart
from waltzjax.runtime import Runtime, sampling, step_rng
from waltzjax.types import Episode, Group, Problem, Prompt, Sample

Watch = Callable[[Stats], None]


class Rolled(NamedTuple):
    """What a rollout came to: the rows of each role that is trained, and the step's metrics."""

    rows: dict[str, list[Sample]]
    metrics: dict[str, float]
    stats: Stats


# (parameters by role, prompts, random stream, step, watch) -> what it came to
Roll = Callable[[Mapping[str, Any], Sequence[Any], int, int, Watch], Rolled]


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
    rows = recipe.rows(episodes, step_rng(stream, step))
    return Rolled(rows, {**recipe.summary(episodes), **earned(rows)}, drawn)


def earned(rows: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """The mean reward of each role that has rows."""
    return {
        f"reward/{role}": float(np.mean([sample.reward for sample in of]))
        for role, of in rows.items()
        if of
    }


def roll_maths(
    config: ConfigDict, runtime: Runtime, recipe: Recipe, verifier: Verifier,
    more: Callable[[], Sequence[Problem]], params: Mapping[str, Any],
    problems: Sequence[Problem], stream: int, step: int, watch: Watch,
) -> Rolled:  # fmt: skip
    """Answer every problem ``config.rollout.group`` times, and verify what ends while the others
    are written. Dynamic sampling (DAPO, arXiv 2503.14476): with ``config.rl.refills``, groups
    whose answers all have the same advantage are replaced by those of ``more()`` problems."""
    rl, wanted, how_paid = config.rl, len(problems), group_settings(config)
    rolled: list[Group] = []
    kept: list[Group] = []
    refills = 0
    with runtime.engine.session(params) as session:
        how = sampling(config, config.rollout.temperature)
        while True:
            agents = Agents(runtime.chat, session, how, seed=stream, step=step, watch=watch)
            attempts = Attempts(config, verifier, problems, config.rollout.group)
            for index, answer in recipe.collect(problems, runtime.chat, agents, turn=refills):
                attempts.add(index, answer)
            groups = attempts.finish()
            rolled += groups
            kept += told_apart(groups, **how_paid) if rl.refills else groups
            if len(kept) >= wanted or refills == rl.refills:
                break
            problems, refills = more(), refills + 1
        drawn = session.stats()
    metrics = dict(recipe.summary(rolled))
    if rl.refills:
        metrics |= {"refills": float(refills), "groups": float(min(len(kept), wanted))}
    return Rolled(recipe.rows(kept[:wanted], step_rng(stream, step)), metrics, drawn)
