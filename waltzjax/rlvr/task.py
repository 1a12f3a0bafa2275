"""A run on maths: a policy learns, and is evaluated on held-out problems; and its stage "rlvr"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED, RLVR
from waltzjax.model.hf import config as hf_config
from waltzjax.rlvr import results
from waltzjax.rlvr.evaluate import evaluate_problems, result
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.predictions import prediction
from waltzjax.rlvr.problems import (
    check_problems,
    keep_embedded,
    say_seen,
    say_unreadable,
    training_problems,
    validation_problems,
)
from waltzjax.rlvr.recipe import rlvr
from waltzjax.rlvr.rollout import roll_maths
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.run.runtime import Runtime, prompt_file
from waltzjax.stages.reinforce import reinforce, stage_steps
from waltzjax.stages.run_stages import PlannedStage, run_stages
from waltzjax.stages.stage import Job, Stage, StageInputs, StageSpec
from waltzjax.toy.maths import embedded_maths_base
from waltzjax.types import POLICY, Problem


class TrainingData(NamedTuple):
    """The data that a policy learns from in a run on maths, and how it learns from them.

    questions: the texts of all that is learned from.
    graded: the problems whose labels decide what is earned.
    record: what else of it the run's directory remembers.
    steps: -> how many steps the stage has; ValueError where it is none.
    prepare: runtime -> the items that ``build`` takes; ValueError unless all of them fit the model
      and give the stage a step.
    build: (items, runtime, verifier, inputs) -> the stage.
    outcome: the run's metrics -> what is reported besides the evaluations.
    note: the results -> that in words; "" where there is nothing.
    method: how the policy learns, as the report's title says it.
    """

    questions: Sequence[str]
    graded: Sequence[Problem]
    record: Mapping[str, str]
    steps: Callable[[], int]
    prepare: Callable[[Runtime], Sequence[Any]]
    build: Callable[[Sequence[Any], Runtime, Verifier, StageInputs], Stage]
    outcome: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]
    note: Callable[[Mapping[str, Any]], str]
    method: str


def rlvr_job(config: ConfigDict, workdir: Path, mesh: Mesh, stages: Mapping[str, StageSpec]) -> Job:
    """The run of the stage "rlvr"; what can be found wrong with it before any work is."""
    problems = training_problems(config)
    steps = partial(stage_steps, config, RLVR, len(problems))

    def prepare(runtime: Runtime) -> Sequence[Problem]:
        steps()
        return check_problems(config, runtime, problems)

    return maths_job(
        config,
        workdir,
        mesh,
        TrainingData(
            questions=[problem.text for problem in problems],
            graded=problems,
            record={},
            steps=steps,
            prepare=prepare,
            build=partial(rlvr_stage, config),
            outcome=lambda metrics: {},
            note=lambda results: "",
            method=f"RLVR, {config.rl.algorithm}",
        ),
    )


def rlvr_stage(
    config: ConfigDict,
    problems: Sequence[Problem],
    runtime: Runtime,
    verifier: Verifier,
    inputs: StageInputs,
) -> Stage:
    """The stage "rlvr"; see ``reinforce``."""
    recipe = rlvr(config)
    return reinforce(
        config,
        RLVR,
        recipe,
        runtime,
        inputs,
        problems,
        lambda more: partial(roll_maths, config, runtime, recipe, verifier, more),
    )


def maths_job(config: ConfigDict, workdir: Path, mesh: Mesh, data: TrainingData) -> Job:
    """A run of one stage on maths; what can be found wrong with config, data or model before any
    work is.

    Raises:
      ValueError, OSError: bad problems, prompts, model, or items that do not fit the model.
    """
    [name] = config.stages
    embedded = config.model.base == EMBEDDED
    base = workdir / "base" if embedded else hf_config.resolve(config.model.base)
    held_out = validation_problems(config)

    def made() -> tuple[Runtime, Sequence[Any]]:
        runtime = maths_runtime(config, base, mesh)
        check_problems(config, runtime, held_out)
        return runtime, data.prepare(runtime)

    ready = None if embedded else made()
    texts = {POLICY: prompt_file(config, "maths").read_text(encoding="utf-8"), **data.record}

    def run() -> dict[str, Any]:
        if embedded:
            embedded_maths_base(config, mesh, base)
        keep_embedded(config, workdir)
        say_seen(data.questions, held_out, config.problems.instruction)
        with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
            if data.graded:
                say_unreadable(data.graded, "training", verifier)
            say_unreadable(held_out, "validation", verifier)
            runtime, items = ready or made()

            def evaluate(policies: Mapping[str, Any], label: str) -> dict[str, Any]:
                groups = evaluate_problems(
                    config, runtime, policies[POLICY], held_out, verifier, label
                )
                predictions = [prediction(group) for group in groups]
                return {"result": result(config, groups), "predictions": predictions}

            stage = PlannedStage(
                name, data.steps(), (POLICY,), partial(data.build, items, runtime, verifier)
            )
            run_stages(config, workdir, runtime, base, (POLICY,), [stage], evaluate)
        return results.collect(config, workdir, data.outcome)

    return Job(texts, run, partial(results.write, config, workdir, data.method, data.note))
