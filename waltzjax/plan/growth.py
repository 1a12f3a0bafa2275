"""Growth: the same stage on more and more devices, as many prompts for each of them.

What a device holds while it learns is compiled, ahead of time and for emulated devices, as long as
there is time; beyond that it is arithmetic, and the table says which.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.model import sharding
from waltzjax.plan.compile import learning_peak
from waltzjax.plan.forecast import Load, prompt_count
from waltzjax.plan.generator import generator_config
from waltzjax.plan.memory import parts
from waltzjax.plan.providers import Providers, costs
from waltzjax.plan.search import Choice, changed, choices, smaller, usable_bytes
from waltzjax.plan.what_if import checkpoint_hours
from waltzjax.recipes import STAGES
from waltzjax.run.devices import Device
from waltzjax.stages.stage import PREFER, SUPERVISE

TRIES = 3  # layouts that are compiled until one fits
COMPILED, ARITHMETIC = "compiled", "arithmetic"


class Size(NamedTuple):
    """The stage on ``devices``.

    batch: prompts, rows or pairs of a step, as many for each device; of collecting all questions,
      however many devices.
    memory_by: COMPILED | ARITHMETIC.
    link_gb, network_gb: sent by a device in a step, within a host and between hosts.
    efficiency: work of a device in a second, of what it does in the first row; in (0, 1] or above.
    step_seconds: of a step, by the part that a run's metrics name.
    checkpoint_h: hours between checkpoints.
    same_batch_step_s: with the config's own batch; None: more devices than it has rows for.
    """

    devices: int
    mesh: tuple[int, int, int]
    settings: dict[str, Any]
    batch: int
    peak_bytes: int
    memory_by: str
    fits: bool
    link_gb: float
    network_gb: float
    step_s: float
    collective_s: float
    efficiency: float
    hours: float
    step_seconds: dict[str, float]
    checkpoint_h: float
    same_batch_step_s: float | None


def grow(
    config: ConfigDict,
    directory: Path,
    load: Load,
    device: Device,
    devices: Sequence[int],
    compile_s: float,
) -> list[Size]:
    """A row for each number of ``devices``; new programs are compiled for ``compile_s`` seconds.

    Raises:
      ValueError: a number of devices for which there is no layout.
    """
    sizes: list[Size] = []
    started, longest = time.monotonic(), 0.0
    for count in devices:
        scaled = changed(config, _scaled(config, load, count / devices[0]))
        cfg = generator_config(scaled, directory)
        layouts = choices(scaled, cfg, load, device, count)
        choice, peak, by = layouts[0], layouts[0].peak_bytes, ARITHMETIC
        for _ in range(TRIES):
            if load.collects or time.monotonic() - started + longest >= compile_s:
                break
            began, choice = time.monotonic(), layouts[0]
            chosen, mesh = changed(scaled, choice.settings), sharding.make_mesh(choice.mesh)
            learning, _ = learning_peak(chosen, directory, mesh, load.prompt_tokens)
            kept = parts(chosen, cfg, mesh, load)
            peak, by = max(learning, int(kept["stays"] + kept["generation"])), COMPILED
            longest = max(longest, 1.5 * (time.monotonic() - began))
            layouts = smaller(layouts, choice)
            if peak <= usable_bytes(device) or not layouts:
                break
        sizes.append(_size(config, scaled, load, device, choice, peak, by, directory, sizes))
    return sizes


def _size(
    config: ConfigDict,
    scaled: ConfigDict,
    load: Load,
    device: Device,
    choice: Choice,
    peak: int,
    by: str,
    directory: Path,
    before: Sequence[Size],
) -> Size:
    forecast = choice.forecast
    batch = prompt_count(config, load) if load.collects else _batch(scaled)
    pace = batch / forecast.step_s / forecast.devices
    first = before[0] if before else None
    first_pace = first.batch / first.step_s / first.devices if first else pace
    return Size(
        forecast.devices,
        choice.mesh,
        choice.settings,
        batch,
        peak,
        by,
        peak <= usable_bytes(device),
        sum(p.link_bytes for p in forecast.phases) / 1e9,
        sum(p.network_bytes for p in forecast.phases) / 1e9,
        forecast.step_s,
        sum(p.collective_s for p in forecast.phases),
        pace / first_pace,
        forecast.hours,
        forecast.step_seconds(),
        checkpoint_hours(scaled, load, forecast),
        _same_batch(config, directory, load, device, forecast.devices),
    )


def growth_json(
    sizes: Sequence[Size], config: ConfigDict, load: Load, providers: Providers
) -> dict[str, Any]:
    """The table as an object for scripts: ``report.to_json``'s first keys of the first size, and
    "growth", all sizes."""
    first, tuning = sizes[0], STAGES[config.stages[-1]].kind == SUPERVISE and not load.collects
    costed = costs(providers, first.hours, first.devices, first.checkpoint_h, tuning=tuning)
    return {
        "hours": first.hours,
        "device_hours": first.hours * first.devices,
        "peak_gib": first.peak_bytes / 2**30,
        "fits": first.fits,
        "providers": [cost._asdict() for cost in costed],
        "step_seconds": first.step_seconds,
        "growth": [size._asdict() for size in sizes],
    }


def _same_batch(
    config: ConfigDict, directory: Path, load: Load, device: Device, devices: int
) -> float | None:
    try:
        cfg = generator_config(config, directory)
        return choices(config, cfg, load, device, devices)[0].forecast.step_s
    except ValueError:  # a device's part of the cache has no room for a prompt
        return None


def _batch(config: ConfigDict) -> int:
    kind = STAGES[config.stages[-1]].kind
    return config[{SUPERVISE: "sft", PREFER: "dpo"}.get(kind, "rollout")].batch


def _scaled(config: ConfigDict, load: Load, factor: float) -> dict[str, Any]:
    """The settings for ``factor`` times as many devices: batch, the engine's slots and cache, which
    every stage evaluates with."""
    kind = STAGES[config.stages[-1]].kind
    keys = ["rollout.max_num_seqs", "rollout.cache_tokens"]
    if not load.collects:
        keys.append({SUPERVISE: "sft.batch", PREFER: "dpo.batch"}.get(kind, "rollout.batch"))
    flat = {key: config[key.split(".")[0]][key.split(".")[1]] for key in keys}
    return {key: max(int(value * factor), 1) for key, value in flat.items()}
