"""The task of maths: a policy learns from rewards that a program verifies (RLVR), or from
preferences (DPO)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clu.parameter_overview import count_parameters
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console, maths_outcome
from waltzjax.config import DPO, EMBEDDED, RLVR
from waltzjax.data import maths_world
from waltzjax.data.chat import AgentPrompt
from waltzjax.data.problems import read_problems, with_instruction, write_problems
from waltzjax.data.splits import stratified
from waltzjax.dpo import dpo, dpo_steps, pair_tokens, training_pairs
from waltzjax.files import write_json
from waltzjax.iteration import reinforce, stage_steps
from waltzjax.loop import run_stage
from waltzjax.maths_evaluation import evaluate_problems, result
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


def maths(config: ConfigDict, workdir: Path, mesh: Mesh) -> Task:
    """The run; what can be found wrong with config, data or model before any work is."""
    embedded = config.model.base == EMBEDDED
    base = workdir / "base" if embedded else hf_config.resolve(config.model.base)
    learns_pairs = DPO in config.stages
    material: Material = training_pairs(config) if learns_pairs else training_problems(config)
    held_out = validation_problems(config)
    ready = None if embedded else make_runtime(config, base, mesh)
    if ready:
        _check(config, ready, material, held_out)
    texts = {POLICY: prompt_file(config, "maths").read_text(encoding="utf-8")}

    def run() -> dict[str, Any]:
        if embedded:
            embedded_maths_base(config, mesh, base)
        keep_embedded(config, workdir)
        runtime = ready
        if runtime is None:
            runtime = make_runtime(config, base, mesh)
            _check(config, runtime, material, held_out)
        with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
            return _run(config, workdir, runtime, base, material, held_out, verifier)

    return Task(texts, run, partial(maths_outcome.write, config, workdir))


def _check(
    config: ConfigDict, runtime: Runtime, material: Material, held_out: Sequence[Problem]
) -> None:
    if DPO in config.stages:
        pair_tokens(config, runtime, material)
        check_problems(config, runtime, held_out)
    else:
        check_problems(config, runtime, material, held_out)


def keep_embedded(config: ConfigDict, workdir: Path) -> None:
    """Leave made problems as files, for people and for ``waltzjax.evaluate_maths``."""
    for name, made in (("train", training_problems), ("validation", validation_problems)):
        path = workdir / "data" / f"{name}.jsonl"
        if config.problems[name] == EMBEDDED and writes() and not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_problems(path, made(config))


def training_problems(config: ConfigDict) -> list[Problem]:
    """Those of ``config.problems.train``, each with its instruction."""
    if config.problems.train == EMBEDDED:
        e = config.embedded_maths
        return maths_world.build(e.data_seed, e.held_out)[0]
    return _instructed(config, read_problems(Path(config.problems.train)))


def validation_problems(config: ConfigDict) -> list[Problem]:
    """Up to ``config.eval.prompts`` of ``config.problems.validation``, as many of each subject."""
    if config.problems.validation == EMBEDDED:
        e = config.embedded_maths
        found = maths_world.build(e.data_seed, e.held_out)[1]
    else:
        found = _instructed(config, read_problems(Path(config.problems.validation)))
    return stratified(found, config.eval.prompts, lambda problem: problem.subject)


def _instructed(config: ConfigDict, problems: Sequence[Problem]) -> list[Problem]:
    words = config.problems.instruction
    return [dataclasses.replace(p, text=with_instruction(p.text, words)) for p in problems]


def check_problems(
    config: ConfigDict, runtime: Runtime, *lists: Sequence[Problem],
    prompt: AgentPrompt | None = None,
) -> None:  # fmt: skip
    """Raise ValueError unless every problem is as short as it must be, and leaves room for an
    answer; shown by ``prompt`` if one is given."""
    most, new = config.problems.max_tokens, config.rollout.max_new_tokens
    for problems in lists:
        rows = runtime.chat.encode([runtime.chat.problem_text(p.text, prompt) for p in problems])
        longest, problem = max((len(row), p.id) for row, p in zip(rows, problems, strict=True))
        if longest > most:
            count = sum(len(row) > most for row in rows)
            raise ValueError(
                f"config.problems.max_tokens: got {most}, but {count} problems take more as the "
                f"policy is shown them, the longest, number {problem}, {longest}: raise it or "
                "leave them out"
            )
    if most + new > (room := runtime.engine.longest):
        raise ValueError(
            f"config.problems.max_tokens + config.rollout.max_new_tokens: got {most} + {new}, "
            f"allowed is {room} in all: the model has {runtime.cfg.max_positions} positions, a "
            "device's part of config.rollout.cache_tokens is "
            f"{runtime.engine.pages * runtime.engine.page_size}"
        )


def _run(
    config: ConfigDict, workdir: Path, runtime: Runtime, base: Path, material: Material,
    held_out: Sequence[Problem], verifier: Verifier,
) -> dict[str, Any]:  # fmt: skip
    [name] = config.stages
    if name == RLVR:
        stage_steps(config, name, len(material))
    else:
        dpo_steps(config, len(material))
    _say_seen(material, held_out)
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
    return maths_outcome.collect(config, workdir, material)


def _stage(
    config: ConfigDict, workdir: Path, runtime: Runtime, tuning: Tuning, base: Any,
    start: Mapping[str, Any], material: Material, verifier: Verifier,
) -> Stage:  # fmt: skip
    if DPO in config.stages:
        pairs = pair_tokens(config, runtime, material)
        return dpo(config, runtime, tuning, base, start, pairs, workdir)
    recipe = RECIPES[RLVR](config)
    return reinforce(
        config, RLVR, recipe, runtime, tuning, base, start, material,
        lambda more: partial(roll_maths, config, runtime, recipe, verifier, more),
    )  # fmt: skip


def _say_seen(material: Material, held_out: Sequence[Problem]) -> None:
    trained_on = {m.question if isinstance(m, Preference) else m.text for m in material}
    seen = trained_on & {p.text for p in held_out}
    if seen:
        console.say(
            f"{len(seen)} of the {len(held_out)} validation problems are trained on too: what is "
            "measured on them is not held out"
        )
