"""A policy's answers to maths problems, verified and rated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from waltzjax.rlvr import rates
from waltzjax.rlvr.attempts import Attempts, answer
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.run.runtime import Runtime, result_settings
from waltzjax.stages.rollout import evaluation_draw, roll_out
from waltzjax.types import POLICY, Group, Problem

# Keys of the config that a result depends on, besides the policy and the problems.
SETTINGS = (
    "eval.temperature", "eval.samples", "rollout.top_k", "rollout.top_p", "rollout.min_p",
    "rollout.max_new_tokens", "problems.instruction", "problems.form",
)  # fmt: skip


def evaluate_problems(
    config: ConfigDict,
    runtime: Runtime,
    params: Any,
    problems: Sequence[Problem],
    verifier: Verifier,
    label: str,
) -> list[Group]:
    """``config.eval.samples`` answers to every problem, verified."""
    samples = config.eval.samples
    attempts = Attempts(config, verifier, problems, samples)
    with (
        evaluation_draw(config, len(problems) * samples, label, "answer") as draw,
        runtime.engine.session({POLICY: params}) as session,
    ):
        collect = partial(answer, samples=samples)
        roll_out(runtime.chat, session, collect, problems, draw, attempts.add)
    return attempts.finish()


def result(config: ConfigDict, groups: Sequence[Group]) -> dict[str, Any]:
    """The content of ``final_validation_results.json``: see ``rlvr.rates.result``."""
    settings = result_settings(config, SETTINGS)
    return rates.result(groups, seed=config.seed, settings=settings)
