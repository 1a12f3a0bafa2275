"""A training step's rollout on maths: several answers to each problem, verified meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from waltzjax.metrics.clock import HOST, part
from waltzjax.rlvr.attempts import Attempts
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.recipe import group_settings, with_reward_variance
from waltzjax.run.runtime import Runtime, step_rng
from waltzjax.stages.recipe import Recipe
from waltzjax.stages.rollout import Rolled, Watch, roll_out, training_draw
from waltzjax.types import Group, Problem


def roll_maths(
    config: ConfigDict,
    runtime: Runtime,
    recipe: Recipe,
    verifier: Verifier,
    more: Callable[[], Sequence[Problem]],
    params: Mapping[str, Any],
    problems: Sequence[Problem],
    stream: int,
    step: int,
    watch: Watch,
) -> Rolled:
    """Answer every problem ``config.rollout.group`` times, and verify what ends while the others
    are written.

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
            attempts = Attempts(config, verifier, problems, config.rollout.group)
            collect = partial(recipe.collect, turn=refills)
            roll_out(runtime.chat, session, collect, problems, draw, attempts.add)
            with part("judge"):
                groups = attempts.finish()
            rolled += groups
            kept += with_reward_variance(groups, **how_paid) if rl.refills else groups
            if len(kept) >= wanted or refills == rl.refills:
                break
            problems, refills = more(), refills + 1
        drawn = session.stats()
    with part(HOST):
        metrics = dict(recipe.summary(rolled))
        if rl.refills:
            metrics |= {"refills": float(refills), "groups": float(min(len(kept), wanted))}
        rows = recipe.to_samples(kept[:wanted], step_rng(stream, step))
        return Rolled(rows, metrics, drawn, attempt_text(rolled[0]))


def attempt_text(group: Group) -> str:
    """A problem and the first answer to it, with its signals, as lines for people."""
    first = group.attempts[0]
    signals = ", ".join(f"{name} {value:g}" for name, value in first.signals.items())
    thought = f"  thought   {first.completion.thought}\n" if first.completion.thought else ""
    return (
        f"  problem   {group.problem.text}\n{thought}  answer    {first.completion.text}\n"
        f"  label     {group.problem.answer}\n  signals   {signals}"
    )
