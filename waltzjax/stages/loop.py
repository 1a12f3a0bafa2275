"""The loop of one stage: iterations, metrics, checkpoints, resumption, stopping."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.engine.session import Stats
from waltzjax.metrics.clock import Clock, Lap, part
from waltzjax.metrics.device import Utilization, memory
from waltzjax.metrics.events import CHECKPOINT, RESUME, Events
from waltzjax.metrics.run_info import RunInfo
from waltzjax.metrics.writer import MetricWriter
from waltzjax.run import workdir as run_workdir
from waltzjax.stages.stage import Stage
from waltzjax.stages.step_work import rates
from waltzjax.stages.stopping import Stopping
from waltzjax.support import console
from waltzjax.support.errors import JudgeError
from waltzjax.support.files import flat
from waltzjax.support.memory import reuse_freed
from waltzjax.support.processes import alone, largest, writing
from waltzjax.support.signals import StopSignals
from waltzjax.training.checkpoint import Checkpoints, not_finite
from waltzjax.training.learner import abstract_state, init_state, shapes_of

SHOWN = (
    "reward/conversation", "reward/feedback", "asr", "orr", "ftr", "label_accuracy",
    "reward/policy", "accuracy", "format_rate", "rewards/margins/policy",
    "rewards/accuracies/policy",
)  # fmt: skip
MUST_BE_FINITE = ("loss/", "grad_norm/", "change_norm/")  # others are NaN when nothing was counted


def run_stage(
    config: ConfigDict,
    stage: Stage,
    mesh: Mesh,
    start: Mapping[str, Any],
    workdir: Path,
    events: Events,
    interrupted: threading.Event | None,
    validate: Callable[[int, Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Train one stage from its newest checkpoint, else from the newest one of the run that
    ``config.train.resume`` names, else from ``start``; what is trained at its end.

    ``start`` is what is trained of each role (``run.trainable``). ``validate(step, trained)`` is
    called every ``config.train.validate_every`` steps; ``interrupted`` is set when the run is to
    stop; ``events`` is told of what happens. After a kill the same call continues: bit for bit on
    the same devices, and nothing is recorded twice.

    Raises:
      ValueError: the other run's checkpoints are of another model, data or batch, or past the end.
      Stopped: SIGTERM or Ctrl-C, a rule of ``config.stop.rules``, or a request (see ``Stopping``);
        a checkpoint of the last whole step is written.
      JudgeError: the judge cannot go on; a checkpoint of the last step is written.
      FloatingPointError: a loss, a gradient, a parameter or a moment is not finite; nothing of
        that step is saved.
    """
    name, total, batches, optimizers = stage.name, stage.total, stage.batches, stage.optimizers
    checkpoints = Checkpoints(
        workdir / "checkpoints" / name, config.train.keep_checkpoints, console.say
    )
    form = {role: abstract_state(shapes_of(start[role]), o, mesh) for role, o in optimizers.items()}
    step, restored, origin = 0, checkpoints.restore(form), ""
    if not restored and (other := run_workdir.other_run(config)):
        restored, origin = run_workdir.newest(other, name, form), f" of {other}"
    if restored:
        step, agents, host = restored
        batches.set_state(host["data"])
        console.say(f"{name}: resumed after step {step}{origin}")
        if step > total:
            raise ValueError(
                f"{stage.steps_key}: got {total} steps, but the checkpoint{origin} is of "
                f"step {step}"
            )
    else:
        agents = {
            role: init_state(start[role], o, mesh, stage.kl_coef) for role, o in optimizers.items()
        }
    begun, every = step, config.train.validate_every
    events.stage, events.step = name, step
    if restored:
        events.add(RESUME, f"after step {step}{origin}")
    label = name.replace("stage", "stage ")
    stopping = Stopping(config, workdir, stage, step)

    def now() -> dict[str, Any]:
        return {**start, **{role: agent.params for role, agent in agents.items()}}

    def saved() -> str:
        return f"{name} stands saved after step {step}; {run_workdir.way_on(config)}"

    def keep(data: Any) -> None:
        _check_finite(stage, step, not_finite(agents))
        checkpoints.save(step, agents, {"data": data, "config": config.to_dict()})
        events.add(CHECKPOINT)

    @contextmanager
    def kept_if_the_judge_fails(data: Any) -> Iterator[None]:
        try:
            yield
        except JudgeError as error:  # in all processes
            if step > begun:
                keep(data)
            stop.check(largest(stop.received), saved())
            raise type(error)(f"{error}; {saved()}") from error

    def validate_if_due() -> None:
        if every and step % every == 0 and 0 < step < total:
            # No process of several may leave the others in the middle of an evaluation.
            at_once = stop.at_once(saved()) if alone() else nullcontext()
            with clock.stopped(), kept_if_the_judge_fails(batches.get_state()), at_once:
                validate(step, now())

    with (
        reuse_freed(),
        StopSignals(interrupted) as stop,  # first, so that it ends last: saving takes a while
        closing(checkpoints),
        writing(lambda: closing(_open_writer(config, workdir, name, step))) as writer,
        Utilization() as utilization,
        console.Progress(total, label, initial=step) as bar,
        Clock() as clock,
    ):
        counted: dict[str, float] = {}
        validate_if_due()  # a resumed run may have been stopped during this one
        while step < total:
            first = f"{label}: first step, compiling"
            with console.phase(first) if step == begun else nullcontext():
                before = batches.get_state()
                with kept_if_the_judge_fails(before):
                    agents, metrics, texts = stage.step(
                        agents, next(batches), step, partial(_watch, bar, step, counted)
                    )
            step += 1
            events.step = step
            bad = [k for k, v in metrics.items() if not math.isfinite(v)]
            _check_finite(stage, step, [k for k in bad if k.startswith(MUST_BE_FINITE)])
            lap = clock.lap()
            if writer:
                devices = memory() | utilization.figures()
                figures = {**metrics, **_times(lap, metrics), **devices}
                writer.write_scalars(step, figures)
                stopping.judge(step, figures)
                if _is_due(step, config.metrics.transcripts_every):
                    writer.write_texts(step, texts)
            counted = {k: v for k, v in metrics.items() if k in SHOWN and math.isfinite(v)}
            bar.update(step, **counted)
            due = (
                step % config.train.checkpoint_every == 0
                or step in stage.epoch_ends
                or step == total
            )
            validates = every and step % every == 0
            # One process stops when all do.
            asked = largest(stop.received or stopping.asked)
            if due or validates or asked:
                with part("save"):
                    keep(batches.get_state())
                stopping.check(asked, saved())
                stop.check(asked, saved())
            validate_if_due()
        stop.check(largest(stop.received), saved())  # it came with the last checkpoint
    return now()


def _open_writer(config: ConfigDict, workdir: Path, stage: str, step: int) -> MetricWriter:
    """The writer of a stage that goes on after ``step``, which knows what the stage runs with."""
    m = config.metrics
    file = Path(m.prometheus_file) if m.prometheus_file else workdir / "metrics.prom"
    writer = MetricWriter(RunInfo(workdir, stage, step, m.project, file), m.writers, console.say)
    writer.write_hparams(flat(config.to_dict()) | run_workdir.code_version())
    return writer


def _times(lap: Lap, metrics: Mapping[str, float]) -> dict[str, float]:
    """A step's seconds, by part too, and its throughput. What is saved after a step is in the time
    of the next one, whose record comes after it; evaluations are in none."""
    parts = {f"time/{name}": seconds for name, seconds in lap.parts.items()}
    return {"time_s": lap.seconds, **parts, **rates(metrics, lap.seconds)}


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _check_finite(stage: Stage, step: int, bad: Sequence[str]) -> None:
    """Raise FloatingPointError for metrics or arrays, ``bad``, that are not finite."""
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise FloatingPointError(
            f"{stage.name}, step {step}: {', '.join(bad[:5])}{more} not finite; nothing of this "
            f"step is saved, earlier checkpoints stay; {stage.divergence_hint}"
        )


def _watch(bar: console.Progress, step: int, counted: Mapping[str, float], stats: Stats) -> None:
    bar.update(step, **counted, **stats.shown())
