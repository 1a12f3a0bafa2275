"""A policy's answers to maths problems, verified and rated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from waltzjax.rlvr import rates
from waltzjax.rlvr.attempts import Attempts, answer
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.run.runtime import Runtime, sampling, template_settings
from waltzjax.stages.rollout import Agents
from waltzjax.support import console
from waltzjax.types import POLICY, Group, Problem

EVAL_STREAM = 3  # apart from the training stages' random streams


def evaluate_problems(
    config: ConfigDict, runtime: Runtime, params: Any, problems: Sequence[Problem],
    verifier: Verifier, label: str,
) -> list[Group]:  # fmt: skip
    """``config.eval.samples`` answers to every problem, verified."""
    samples, done = config.eval.samples, 0
    attempts = Attempts(config, verifier, problems, samples)
    with (
        runtime.engine.session({POLICY: params}) as session,
        console.Progress(len(problems) * samples, f"evaluating {label}", unit="answer") as bar,
    ):
        agents = Agents(
            runtime.chat, session, sampling(config, config.eval.temperature),
            seed=config.seed * 10 + EVAL_STREAM, step=0,
            watch=lambda stats: bar.update(done, **stats.shown()),
        )  # fmt: skip
        for index, said in answer(problems, runtime.chat, agents, samples=samples):
            attempts.add(index, said)
            done += 1
        bar.update(done, **session.stats().shown())
    return attempts.finish()


def settings(config: ConfigDict) -> Mapping[str, Any]:
    """What else than the policy and the problems a result depends on."""
    return {
        "eval.temperature": config.eval.temperature,
        "eval.samples": config.eval.samples,
        "rollout.top_k": config.rollout.top_k,
        "rollout.top_p": config.rollout.top_p,
        "rollout.min_p": config.rollout.min_p,
        "rollout.max_new_tokens": config.rollout.max_new_tokens,
        "problems.instruction": config.problems.instruction,
        "problems.form": config.problems.form,
        **template_settings(config),
    }


def result(config: ConfigDict, groups: Sequence[Group]) -> dict[str, Any]:
    """What stands in ``final_validation_results.json``: see ``rlvr.rates.result``."""
    return rates.result(groups, seed=config.seed, settings=settings(config))
