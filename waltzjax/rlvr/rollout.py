"""Rollouts on maths: several answers to each problem, verified meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from waltzjax.engine.session import Session
from waltzjax.rlvr.attempts import Attempts
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.recipe import group_settings, with_reward_variance
from waltzjax.run.runtime import Runtime, step_rng
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.rollout import Agents, Draw, Rolled, Watch, training_draw
from waltzjax.types import Completion, Group, Problem


def answer_verified(
    config: ConfigDict, runtime: Runtime, verifier: Verifier, session: Session,
    problems: Sequence[Problem], collect: Callable[..., Iterable[tuple[int, Completion]]],
    draw: Draw, *, samples: int,
) -> list[Group]:  # fmt: skip
    """``samples`` answers to every problem, as ``collect`` asks for them, see
    ``stages.recipe.Recipe``, and each verified while the others are written."""
    attempts, ended = Attempts(config, verifier, problems, samples), 0
    agents = Agents(
        runtime.chat, session, draw.how, seed=draw.seed, step=draw.step,
        watch=lambda stats: draw.watch(ended, stats),
    )  # fmt: skip
    for index, said in collect(problems, runtime.chat, agents):
        attempts.add(index, said)
        ended += 1
    draw.watch(ended, session.stats())
    return attempts.finish()


def roll_maths(
    config: ConfigDict, runtime: Runtime, recipe: Recipe, verifier: Verifier,
    more: Callable[[], Sequence[Problem]], params: Mapping[str, Any],
    problems: Sequence[Problem], stream: int, step: int, watch: Watch,
) -> Rolled:  # fmt: skip
    """A training step's rollout of ``config.rollout.group`` answers to every problem.

    Dynamic sampling (DAPO, arXiv 2503.14476): with ``config.rl.refills``, groups whose answers all
    have the same advantage are replaced by those of ``more()`` problems.
    """
    rl, wanted, how_paid = config.rl, len(problems), group_settings(config)
    draw = training_draw(config, stream, step, watch)
    rolled: list[Group] = []
    kept: list[Group] = []
    refills = 0
    with runtime.engine.session(params) as session:
        while True:
            groups = answer_verified(
                config, runtime, verifier, session, problems,
                partial(recipe.collect, turn=refills), draw, samples=config.rollout.group,
            )  # fmt: skip
            rolled += groups
            kept += with_reward_variance(groups, **how_paid) if rl.refills else groups
            if len(kept) >= wanted or refills == rl.refills:
                break
            problems, refills = more(), refills + 1
        drawn = session.stats()
    metrics = dict(recipe.summary(rolled))
    if rl.refills:
        metrics |= {"refills": float(refills), "groups": float(min(len(kept), wanted))}
    return Rolled(recipe.rows(kept[:wanted], step_rng(stream, step)), metrics, drawn)
