"""Cheaper choices: the same plan with one thing changed, and what that saves, by arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.config.presets import waltz
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import head_weights, layer_weights
from waltzjax.plan.forecast import LEARNING, Forecast, Load, prompt_count
from waltzjax.plan.generator import generator_config
from waltzjax.plan.providers import Rental, lost_hours
from waltzjax.plan.search import Choice, changed, choices
from waltzjax.recipes import STAGES
from waltzjax.run.cli import CONFIGS
from waltzjax.run.devices import Device
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE

SMALLER = ("llama-3.1-8b", "mistral-7b", "qwen2.5-1.5b")  # of configs/models, by size
CHECKPOINT_H = 1.0  # between checkpoints where devices may be taken away
HALF = "if rows are half full"


class Scenario(NamedTuple):
    """What a plan is made for.

    rental: whose price counts.
    """

    config: ConfigDict
    directory: Path
    load: Load
    device: Device
    devices: int
    rental: Rental


class Saving(NamedTuple):
    """One cheaper choice. ``fits``: by arithmetic. hours and device_hours of the whole stage."""

    name: str
    settings: dict[str, Any]
    peak_bytes: int
    fits: bool
    step_s: float
    hours: float
    device_hours: float
    dollars: float
    note: str


def adapters() -> dict[str, Any]:
    """The settings of ":lora"."""
    c = waltz.lora()
    return {
        "lora.rank": c.lora.rank,
        "lora.alpha": c.lora.alpha,
        "model.param_dtype": c.model.param_dtype,
    }


def cheaper(scenario: Scenario, planned: Choice) -> Iterator[Saving]:
    """The plan as it is, then each cheaper choice that this stage has; each with the layout that is
    best for it."""
    config, load = scenario.config, scenario.load
    kind, new = STAGES[config.stages[-1]].kind, config.rollout.max_new_tokens
    yield _saving(scenario, "as planned", {}, planned, "")
    if not config.lora.rank and not load.collects:
        yield from _try(scenario, "adapters over one base (:lora)", adapters())
    yield from _smaller(scenario)
    half = load._replace(prompts=max(prompt_count(config, load) // 2, 1))
    items = {SUPERVISE: "chats", PREFER: "pairs"}.get(kind, "prompts")
    items = "questions" if load.collects else items
    if not _steps(config):
        yield from _try(scenario._replace(load=half), f"half of the {items}", {})
    if kind == REINFORCE or load.collects:
        yield from _try(
            scenario, f"answers of {new // 2} tokens", {"rollout.max_new_tokens": new // 2}
        )
    yield from _early(scenario)
    used = planned.forecast.devices  # a mesh of the config's own may leave some idle
    if used > 1:
        fewer = scenario._replace(devices=used // 2)
        yield from _try(fewer, f"{fewer.devices} devices", {})
    if kind == REINFORCE and not config.rl.token_budget and not load.collects:
        yield _packed(scenario, planned)


def spot(scenario: Scenario, planned: Choice, rental: Rental) -> Iterator[Saving]:
    """The plan on devices that may be taken away, as it saves checkpoints and with one an hour."""
    step_s = planned.forecast.step_s
    every = max(int(CHECKPOINT_H * 3600 / step_s), 1)
    given_h = checkpoint_hours(scenario.config, scenario.load, planned.forecast)
    intervals = {"as configured": given_h}
    if every * step_s / 3600 < given_h:
        intervals[f"every {every} steps"] = every * step_s / 3600
    for name, between_h in intervals.items():
        lost = lost_hours(rental, planned.forecast.hours, between_h)
        saving = _saving(
            scenario._replace(rental=rental), f"{rental.name}, saved {name}", {}, planned, ""
        )
        hours = saving.hours + lost
        device_hours = hours * planned.forecast.devices
        yield saving._replace(
            hours=hours,
            device_hours=device_hours,
            dollars=device_hours * rental.usd_per_device_hour,
            note=f"{lost:.1f} h lost",
        )


def checkpoint_hours(config: ConfigDict, load: Load, forecast: Forecast) -> float:
    """Hours between two checkpoints: config.train.checkpoint_every steps, or an epoch if that is
    shorter; of collecting 0: it goes on question by question."""
    if load.collects:
        return 0.0
    section = {SUPERVISE: config.sft, PREFER: config.dpo}.get(
        STAGES[config.stages[-1]].kind, config.train
    )
    steps = min(config.train.checkpoint_every, max(forecast.steps // section.epochs, 1))
    return steps * forecast.step_s / 3600


def _steps(config: ConfigDict) -> int:
    """The stage's steps where the config says them, else 0."""
    return int(config.train.steps.get(config.stages[-1], 0) or 0)


def _try(scenario: Scenario, name: str, settings: dict[str, Any]) -> Iterator[Saving]:
    config = changed(scenario.config, settings)
    try:
        cfg = generator_config(config, scenario.directory)
        best = choices(config, cfg, scenario.load, scenario.device, scenario.devices)[0]
    except ValueError:  # no room, or no step is left
        return
    yield _saving(scenario, name, settings, best, "")


def _saving(
    scenario: Scenario, name: str, settings: dict[str, Any], choice: Choice, note: str
) -> Saving:
    forecast = choice.forecast
    return Saving(
        name,
        settings,
        choice.peak_bytes,
        choice.fits(scenario.device),
        forecast.step_s,
        forecast.hours,
        forecast.device_hours,
        forecast.device_hours * scenario.rental.usd_per_device_hour,
        note,
    )


def _smaller(scenario: Scenario) -> Iterator[Saving]:
    """The next smaller model of configs/models."""
    size = _size(generator_config(scenario.config, scenario.directory))
    for name in SMALLER:
        directory = CONFIGS / "models" / name
        if directory.is_dir() and _size(generator_config(scenario.config, directory)) < 0.7 * size:
            yield from _try(scenario._replace(directory=directory), f"a smaller model: {name}", {})
            return


def _size(cfg: ModelConfig) -> int:
    return layer_weights(cfg) + head_weights(cfg)


def _early(scenario: Scenario) -> Iterator[Saving]:
    """A stop after three fifths of the steps."""
    config = scenario.config
    kind, steps = STAGES[config.stages[-1]].kind, _steps(config)
    if scenario.load.collects:
        return
    if steps:
        key, whole = f"train.steps.{config.stages[-1]}", steps
    else:
        section = {SUPERVISE: "sft", PREFER: "dpo"}.get(kind, "train")
        key, whole = f"{section}.epochs", config[section].epochs
    part = max(whole * 3 // 5, 1)
    if part < whole:
        what = "steps" if steps else "epochs"
        yield from _try(scenario, f"early stop: {part} of {whole} {what}", {key: part})


def _packed(scenario: Scenario, planned: Choice) -> Saving:
    """Rows that hold several texts: as many tokens fewer as rows were not filled."""
    forecast = planned.forecast
    learning = sum(p.seconds for p in forecast.phases if p.phase in LEARNING)
    part = 1 - learning / 2 / forecast.step_s
    shorter = dataclasses.replace(
        forecast, step_s=forecast.step_s * part, hours=forecast.hours * part
    )
    length = scenario.load.prompt_tokens + scenario.config.rollout.max_new_tokens
    budget = {"rl.token_budget": 4 * length}
    return _saving(
        scenario,
        "packed updates (rl.token_budget)",
        budget,
        planned._replace(forecast=shorter),
        HALF,
    )
