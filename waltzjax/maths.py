"""The task of maths: a policy learns from rewards that a program verifies (RLVR), or from
preferences (DPO)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from clu.parameter_overview import count_parameters
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console, maths_outcome
from waltzjax.config import DPO, EMBEDDED, RLVR
from waltzjax.data.preferences import digest
from waltzjax.data.problems import bare
from waltzjax.dpo import dpo, dpo_steps
from waltzjax.dpo_pairs import pair_tokens, training_pairs
from waltzjax.files import write_json
from waltzjax.iteration import reinforce, stage_steps
from waltzjax.loop import run_stage
from waltzjax.maths_evaluation import evaluate_problems, result
from waltzjax.maths_problems import (
    check_problems,
    keep_embedded,
    say_unreadable,
    training_problems,
    validation_problems,
)
from waltzjax.model import hf, hf_config
from waltzjax.predictions import prediction
from waltzjax.prepare_maths import embedded_maths_base
from waltzjax.processes import largest, wait, writes
from waltzjax.recipes import RECIPES
from waltzjax.rewards.verifier import Verifier
from waltzjax.rolling import roll_maths
from waltzjax.runtime import Runtime, make_runtime, prompt_file
from waltzjax.stage import Stage
from waltzjax.task import Task
from waltzjax.tuning import Tuning, joined, make_tuning
from waltzjax.types import POLICY, Preference, Problem

Material = Sequence[Any]  # what is learned from: problems, or preferences


class Way(NamedTuple):
    """How a stage learns.

    material: config -> what it learns from, as it was read.
    prepare: (config, runtime, material) -> the same as ``stage`` takes it; ValueError unless all of
      it fits the model.
    steps: (config, how much of it) -> optimiser steps; ValueError where there is none.
    """

    material: Callable[[ConfigDict], Material]
    prepare: Callable[[ConfigDict, Runtime, Material], Material]
    steps: Callable[[ConfigDict, int], int]


WAYS = {
    RLVR: Way(training_problems, check_problems, lambda c, count: stage_steps(c, RLVR, count)),
    DPO: Way(training_pairs, pair_tokens, dpo_steps),
}


def maths(config: ConfigDict, workdir: Path, mesh: Mesh) -> Task:
    """The run; what can be found wrong with config, data or model before any work is."""
    [name] = config.stages
    way, embedded = WAYS[name], config.model.base == EMBEDDED
    base = workdir / "base" if embedded else hf_config.resolve(config.model.base)
    material, held_out = way.material(config), validation_problems(config)

    def made() -> tuple[Runtime, Material]:
        runtime = make_runtime(config, base, mesh)
        check_problems(config, runtime, held_out)
        return runtime, way.prepare(config, runtime, material)

    ready = None if embedded else made()
    texts = {POLICY: prompt_file(config, "maths").read_text(encoding="utf-8")}
    if name == DPO:  # pairs that were made anew are another run's
        texts["pairs"] = digest(material)

    def run() -> dict[str, Any]:
        if embedded:
            embedded_maths_base(config, mesh, base)
        keep_embedded(config, workdir)
        _say_seen(material, held_out, config.problems.instruction)
        with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
            if name == RLVR:
                say_unreadable(material, "training", verifier)
            say_unreadable(held_out, "validation", verifier)
            _run(config, workdir, *(ready or made()), base, held_out, verifier)
        return maths_outcome.collect(config, workdir, material)

    return Task(texts, run, partial(maths_outcome.write, config, workdir))


def _run(
    config: ConfigDict, workdir: Path, runtime: Runtime, material: Material, base: Path,
    held_out: Sequence[Problem], verifier: Verifier,
) -> None:  # fmt: skip
    """Train, and evaluate before, meanwhile and after; ``material`` is prepared."""
    [name] = config.stages
    WAYS[name].steps(config, len(material))
    with console.phase(f"loading {base}"):
        params = hf.load_params(base, runtime.cfg, runtime.mesh)
        tuning = make_tuning(config, runtime, base)
        trained: Mapping[str, Any] = {POLICY: tuning.start(params, config.seed * 10)}
    console.say(
        f"{count_parameters(params):,} parameters, "
        f"{count_parameters(trained[POLICY]):,} of them trained"
    )

    def measure(name: str, label: str, now: Mapping[str, Any]) -> None:
        path = workdir / "evaluations" / f"{name}.json"
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        policy = joined(tuning, params, now)[POLICY]
        groups = evaluate_problems(config, runtime, policy, held_out, verifier, label)
        if writes():
            predictions = [prediction(group) for group in groups]
            write_json(path, {"result": result(config, groups), "predictions": predictions})

    if config.train.validate_first:
        measure(maths_outcome.BASE, "the base model", trained)
    directory = workdir / POLICY
    if directory.exists():
        trained = {POLICY: tuning.load(directory)}
        console.say(f"{name}: done before; loaded {directory}")
    else:
        stage = _stage(config, workdir, runtime, tuning, params, trained, material, verifier)
        trained = run_stage(
            config, stage, runtime.mesh, trained, workdir, None,
            lambda step, now: measure(f"{name}_{step}", f"step {step}", now),
        )  # fmt: skip
    # Agreed on by all processes: the first may have written it before another one looks.
    if largest(not directory.exists()):
        tuning.save(directory, trained[POLICY])
    measure(name, "the trained policy", trained)
    wait("evaluations")


def _stage(
    config: ConfigDict, workdir: Path, runtime: Runtime, tuning: Tuning, base: Any,
    start: Mapping[str, Any], material: Material, verifier: Verifier,
) -> Stage:  # fmt: skip
    if DPO in config.stages:
        return dpo(config, runtime, tuning, base, start, material, workdir)
    recipe = RECIPES[RLVR](config)
    return reinforce(
        config, RLVR, recipe, runtime, tuning, base, start, material,
        lambda more: partial(roll_maths, config, runtime, recipe, verifier, more),
    )  # fmt: skip


def _say_seen(material: Material, held_out: Sequence[Problem], instruction: str = "") -> None:
    """Tell how many held-out problems are learned from too, however they are written there."""
    texts = (m.question if isinstance(m, Preference) else m.text for m in material)
    trained_on = {bare(text, instruction) for text in texts}
    seen = sum(bare(p.text, instruction) in trained_on for p in held_out)
    if seen:
        console.say(
            f"{seen} of the {len(held_out)} validation problems are trained on too: what is "
            "measured on them is not held out"
        )
