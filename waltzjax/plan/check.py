"""A run beside its prediction: seconds of each part of a step and memory, and how far off they are.

    python -m waltzjax.plan --check=runs/demo

Measured is what the run's ``metrics.jsonl`` has: medians over the steps of its last stage, without
the first, which compiles. Predicted is the same step with the rates calibrated on this kind of
device: prompts of --prompt_tokens, or as long as they may be, and as many tokens drawn in all as
the run drew.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED, MATHS
from waltzjax.metrics.records import read_metrics
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import config as hf_config
from waltzjax.plan import calibration
from waltzjax.plan.fit import predict
from waltzjax.plan.forecast import Load
from waltzjax.plan.memory import estimate
from waltzjax.plan.parts import Part, step_parts
from waltzjax.recipes import STAGES, readers
from waltzjax.run.recorded import recorded_config
from waltzjax.run.runtime import make_engine, over_mesh, read_model_config
from waltzjax.stages.stage import REINFORCE
from waltzjax.support import console

GIB = 2**30
# Parts of a step in metrics.jsonl, "time/NAME"; the last three are not predicted.
PARTS = ("generate", "score", "reference", "update", "judge", "save", "host")
STEP, MEMORY = "step", "memory"


class Measured(NamedTuple):
    """What a run's last stage measured; medians over ``steps`` steps."""

    stage: str
    steps: int
    values: dict[str, float]  # seconds by part, of the STEP; GiB of the MEMORY
    tokens: float | None  # drawn in a step; None: nothing was counted


class Row(NamedTuple):
    """A part, in seconds, or GiB for MEMORY; None: not predicted, or not measured."""

    part: str
    predicted: float | None
    measured: float | None

    @property
    def error(self) -> float | None:
        """Relative, predicted / measured - 1."""
        if self.predicted is None or not self.measured:
            return None
        return self.predicted / self.measured - 1


def compare(run: Measured, prediction: Mapping[str, float]) -> list[Row]:
    """A row of each part that was measured or predicted, then of the step and the memory."""
    names = [*PARTS, STEP, MEMORY]
    rows = [Row(name, prediction.get(name), run.values.get(name)) for name in names]
    return [row for row in rows if row[1:] != (None, None)]


def measured(run: Path) -> Measured:
    """The last stage of a run by its records.

    Raises:
      ValueError: the run has fewer than two steps of it.
    """
    records = read_metrics(run / "metrics.jsonl")
    stage = records[-1]["stage"] if records else ""
    steps = [r for r in records if r["stage"] == stage and "time_s" in r][1:]
    if not steps:
        raise ValueError(
            f"--check: {run} has no two steps of a stage in metrics.jsonl: the first compiles, and "
            "is left out; let it run on"
        )
    keys = {STEP: "time_s", MEMORY: "device/memory_gib"}
    keys |= {name: f"time/{name}" for name in PARTS}
    values = {
        name: statistics.median(r[key] for r in steps if key in r)
        for name, key in keys.items()
        if any(key in r for r in steps)
    }
    drawn = [r["rollout_tokens"] for r in steps if "rollout_tokens" in r]
    return Measured(stage, len(steps), values, statistics.fmean(drawn) if drawn else None)


def longest_prompt(config: ConfigDict, cfg: ModelConfig, mesh: Mesh) -> int:
    """Tokens of the longest prompt that a turn of the run may have: a group of devices has its part
    of the cache."""
    room = make_engine(config, cfg, mesh, (0,), None).longest - config.rollout.max_new_tokens
    if MATHS in readers(config):
        return min(config.problems.max_tokens, room)
    return room


def as_drawn(parts: Sequence[Part], share: float) -> list[Part]:
    """The parts where ``share`` of the tokens that could be drawn are: decode multiplies for fewer
    rows, as often."""
    return [
        part._replace(flops=share * part.flops, values=share * part.values)
        if part.phase == "decode"
        else part
        for part in parts
    ]


def predicted(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, run: Measured, kind: str, prompt: int
) -> dict[str, float]:
    """Seconds by part and GiB of ``run``'s last stage, with the rates of the device kind ``kind``
    and prompts of ``prompt`` tokens.

    Raises:
      ValueError: no point of that kind is measured, or there is no room for such prompts.
    """
    known = calibration.efficiencies(kind)
    if known is None:
        raise ValueError(
            f"--check: {kind}: {calibration.NOT_MEASURED}; measure them with scripts/calibrate.py"
        )
    config = config.copy_and_resolve_references()
    config.stages = (run.stage,)
    parts = step_parts(config, cfg, mesh, prompt)
    turns = sum(STAGES[run.stage].turns(config).values())
    most = turns * config.rollout.batch * config.rollout.group * config.rollout.max_new_tokens
    if run.tokens is not None and most:
        parts = as_drawn(parts, min(run.tokens / most, 1.0))
    values = by_part(parts, predict(known.rates, parts), STAGES[run.stage].kind)
    memory = estimate(config, cfg, mesh, Load(prompt))
    return values | {STEP: sum(values.values()), MEMORY: memory / GIB}


def by_part(parts: Sequence[Part], seconds: Sequence[float], kind: str) -> dict[str, float]:
    """Predicted seconds by the names of ``PARTS``. Reinforcement scores with the policy, then with
    the reference, as long each; preferences with the reference alone."""
    halves = ("score", "reference") if kind == REINFORCE else ("reference",)
    names = {"log-probs": halves, "update": ("update",)}
    values: dict[str, float] = {}
    for part, s in zip(parts, seconds, strict=True):
        for name in names.get(part.phase, ("generate",)):
            share = s / len(names.get(part.phase, ("generate",)))
            values[name] = values.get(name, 0.0) + share
    return values


def command(run: Path, prompt_tokens: int = 0, *, as_json: bool = False) -> int:
    """The comparison on the screen, with ``as_json`` as a line of data after it; exit status 0.
    ``prompt_tokens`` 0: the longest that a turn may have.

    Raises:
      FileNotFoundError, ValueError: as ``recorded_config``, ``measured`` and ``predicted``.
    """
    config, seen = recorded_config(run, "--check"), measured(run)
    base = run / "base" if config.model.base == EMBEDDED else hf_config.resolve(config.model.base)
    mesh = sharding.make_mesh(config.mesh)
    cfg = over_mesh(read_model_config(config, base), mesh)
    kind = calibration.device_kind()
    prompt = prompt_tokens or longest_prompt(config, cfg, mesh)
    rows = compare(seen, predicted(config, cfg, mesh, seen, kind, prompt))
    title = f"{run}: {seen.stage}, medians of {seen.steps} steps, beside the prediction for {kind}"
    shown = [
        [r.part, *map(_number, r[1:]), "-" if r.error is None else f"{r.error:+.0%}"] for r in rows
    ]
    console.say(
        console.table(title, ["part, s (memory: GiB)", "predicted", "measured", "error"], shown)
    )
    console.say(
        f"\n{calibration.trust(kind)}\nPredicted are prompts of {prompt} tokens"
        + (", the longest there may be (--prompt_tokens)" if not prompt_tokens else "")
        + ". Memory is by arithmetic; on a CPU the process's own, with Python and all programs, is "
        "measured."
    )
    if as_json:
        lines = [{**r._asdict(), "error": r.error} for r in rows]
        console.say(json.dumps({"stage": seen.stage, "device": kind, "parts": lines}))
    return 0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
