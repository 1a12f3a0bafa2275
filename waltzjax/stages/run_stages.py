"""The stages of a run, one after another: train, save, evaluate, and take up what is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clu.parameter_overview import count_parameters
from ml_collections import ConfigDict

from waltzjax.metrics.events import EVALUATION, Events
from waltzjax.model.hf import weights
from waltzjax.run.agent_sums import record_sums
from waltzjax.run.results import BASE, START
from waltzjax.run.runtime import Runtime, devices_line
from waltzjax.run.trainable import make_trainable, merged_params
from waltzjax.run.workdir import code_version
from waltzjax.stages.loop import run_stage
from waltzjax.stages.stage import Stage, StageInputs
from waltzjax.stages.stopping import discard_request
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.support.processes import largest, wait, writes

# (parameters of each role, label of the progress bar) -> the evaluation as it is written
Evaluate = Callable[[Mapping[str, Any], str], dict[str, Any]]


class PlannedStage(NamedTuple):
    """A stage of ``config.stages``: its name, how many steps it has, whom it trains, and what
    builds it."""

    name: str
    total: int
    roles: tuple[str, ...]
    build: Callable[[StageInputs], Stage]


def run_stages(
    config: ConfigDict,
    workdir: Path,
    runtime: Runtime,
    base: Path,
    roles: Sequence[str],
    planned: Sequence[PlannedStage],
    evaluate: Evaluate,
    *,
    starts: Mapping[str, Path] | None = None,
    interrupted: threading.Event | None = None,
) -> None:
    """Run ``planned`` in order; evaluate the base, the agents at ``starts``, and after each stage.

    A stage whose agents are saved is not run again, and an evaluation that is there is kept. The
    last stage leaves every role in ``workdir``, an earlier one those it trained in
    ``workdir/STAGE``. ``interrupted`` is set when the run is to stop.

    Raises:
      Stopped, JudgeError, FloatingPointError, ValueError: see ``stages.loop.run_stage``.
    """
    discard_request(workdir)
    events = Events(workdir)
    events.stage = planned[0].name
    on = ", ".join([*code_version().values(), devices_line()])
    with events.launch(on, {stage.name: stage.total for stage in planned}):
        with console.phase(f"loading {base}"):
            params = weights.load_params(base, runtime.cfg, runtime.mesh)
            trainable = make_trainable(config, runtime, base)
            trained: Mapping[str, Any] = {
                role: trainable.start(params, config.seed * 10 + i) for i, role in enumerate(roles)
            }
        each = " an agent" if len(roles) > 1 else ""
        console.say(
            f"{count_parameters(params):,} parameters{each}, "
            f"{count_parameters(trained[roles[0]]):,} of them trained"
        )

        def measure(name: str, label: str, now: Mapping[str, Any]) -> None:
            path = workdir / "evaluations" / f"{name}.json"
            if path.exists():
                return
            path.parent.mkdir(exist_ok=True)
            begun = time.monotonic()
            result = evaluate(merged_params(trainable, params, now), label)
            if writes():
                if name == planned[-1].name:
                    record_sums(workdir, [*now])
                write_json(path, result)
            events.add(EVALUATION, f"{name}, {time.monotonic() - begun:.1f} s", name=name)

        if config.train.validate_first:
            measure(BASE, "the base model", trained)
        if starts:
            trained = {**trained, **{role: trainable.load(where) for role, where in starts.items()}}
            measure(START, "the agents it begins at", trained)
        for stage in planned:
            name, last = stage.name, stage is planned[-1]
            label = name.replace("stage", "stage ")
            directory = workdir if last else workdir / name
            events.stage, events.step = name, stage.total
            done = [directory / role for role in stage.roles]
            if all(d.exists() for d in done):
                trained = {**trained, **{d.name: trainable.load(d) for d in done}}
                console.say(f"{name}: done before; loaded {', '.join(map(str, done))}")
            else:

                def validate(
                    step: int, now: Mapping[str, Any], name: str = name, label: str = label
                ) -> None:
                    measure(f"{name}_{step}", f"{label} {step}", now)

                built = stage.build(StageInputs(trainable, params, trained))
                trained = run_stage(
                    config, built, runtime.mesh, trained, workdir, events, interrupted, validate
                )
            for role in trained if last else stage.roles:
                # Agreed on by all processes: the first may have written it before another looks.
                if largest(not (directory / role).exists()):
                    trainable.save(directory / role, trained[role])
            measure(name, label, trained)
        wait("evaluations")
