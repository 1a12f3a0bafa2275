"""A plan in whole: the chosen layout, its memory, time and cost, and what would be cheaper."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.model import sharding
from waltzjax.plan.compile import learning_peak, make_plan
from waltzjax.plan.forecast import COLLECT, Forecast, Load
from waltzjax.plan.generator import generator_config
from waltzjax.plan.providers import Cost, Providers, Reported, costs
from waltzjax.plan.search import (
    CLEARLY,
    Choice,
    Split,
    changed,
    choices,
    smaller,
    split_choice,
    usable_bytes,
)
from waltzjax.plan.tables import Plan
from waltzjax.plan.what_if import Saving, Scenario, adapters, cheaper, checkpoint_hours, spot
from waltzjax.recipes import STAGES
from waltzjax.run.devices import Device, Link
from waltzjax.stages.stage import SUPERVISE

TRIES = 3  # layouts that are compiled until one fits
MORE = (2, 4, 8, 16, 32)  # times as many devices


class Remedy(NamedTuple):
    """A change with which a stage fits, in words and as settings."""

    words: str
    settings: dict[str, Any]
    devices: int


@dataclasses.dataclass(frozen=True)
class Report:
    """A plan and what it was chosen from; ``as_given``: from nothing, it is the config's own."""

    device: Device
    chosen: Choice
    plan: Plan
    given: Choice | None  # the config's own layout; None: it cannot be
    others: tuple[Choice, ...]  # the best of every other mesh
    split: Split | None  # what would be best, of what this library cannot do yet
    remedy: Remedy | None  # the change that the plan is made after; None: it fits as it is
    costs: tuple[Cost, ...]
    savings: tuple[Saving, ...]
    reported: Reported | None
    providers: Providers
    stages: tuple[str, ...]  # of the config; all figures are the last one's
    collective_s: dict[str, float]  # of a step, were all collectives over that link
    as_given: bool = False

    @property
    def fits(self) -> bool:
        return self.plan.peak_bytes <= usable_bytes(self.device)


def make_report(
    config: ConfigDict,
    directory: Path,
    load: Load,
    device: Device,
    devices: int,
    providers: Providers,
    links: dict[str, Link],
    *,
    as_given: bool = False,
) -> Report:
    """The plan of the last stage of ``config``, or of collecting, on so many devices; programs are
    compiled, weights are not read.

    ``as_given``: config.mesh, microbatches and remat are not searched for but taken as they are.
    """
    scenario = Scenario(config, directory, load, device, devices, providers.rentals[0])
    cfg = generator_config(config, directory)
    layouts, remedy = choices(config, cfg, load, device, devices, as_given=as_given), None
    # What nearly fits by arithmetic may fit.
    nearly = CLEARLY * layouts[0].peak_bytes <= usable_bytes(device)
    compiled = _compile_best(scenario, layouts) if as_given or nearly else None
    if compiled is None or (not as_given and compiled[1].peak_bytes > usable_bytes(device)):
        remedy = _remedy(scenario)
        if remedy:
            changed_config = changed(config, remedy.settings)
            scenario = scenario._replace(config=changed_config, devices=remedy.devices)
            cfg = generator_config(scenario.config, directory)
            layouts = choices(scenario.config, cfg, load, device, remedy.devices)
            compiled = None
    chosen, plan = compiled or _compile_best(scenario, layouts)
    forecast = plan.forecast
    reported = providers.reported.get("waltzrl")
    return Report(
        device,
        chosen,
        plan,
        _as_given(scenario),
        tuple(_best_of_each(layouts, chosen)),
        split_choice(scenario.config, cfg, load, device, layouts),
        remedy,
        tuple(
            costs(
                providers,
                forecast.hours,
                forecast.devices,
                checkpoint_hours(scenario.config, load, forecast),
                tuning=STAGES[config.stages[-1]].kind == SUPERVISE and not load.collects,
            )
        ),
        tuple(_savings(scenario, chosen, providers)),
        reported if reported and _as_reported(forecast, reported) else None,
        providers,
        (COLLECT,) if load.collects else tuple(config.stages),
        {name: forecast.collective_s(link) for name, link in links.items()},
        as_given,
    )


def _as_reported(forecast: Forecast, reported: Reported) -> bool:
    """Whether the sources speak of this: the same stage, about as many steps on as many devices."""
    alike = 0.9 < forecast.steps / reported.steps < 1.1
    return alike and (forecast.stage, forecast.devices) == (reported.stage, reported.devices)


def _compile_best(scenario: Scenario, layouts: Sequence[Choice]) -> tuple[Choice, Plan]:
    """The first of the layouts that fits by the compiler's account, or the last that was tried."""
    config, directory, load, device = scenario[:4]
    while True:
        choice, layouts = layouts[0], smaller(layouts, layouts[0])[: TRIES - 1]
        chosen = changed(config, {"mesh": choice.mesh, **choice.settings})
        mesh, update = sharding.make_mesh(choice.mesh), None
        if not load.collects:
            learning, update = learning_peak(chosen, directory, mesh, load.prompt_tokens)
            if learning > usable_bytes(device) and layouts:
                continue
        plan = make_plan(chosen, directory, mesh, load, device, update)
        if plan.peak_bytes <= usable_bytes(device) or not layouts:
            return choice, plan


def _as_given(scenario: Scenario) -> Choice | None:
    config, directory, load, device, devices, _ = scenario
    try:
        cfg = generator_config(config, directory)
        return choices(config, cfg, load, device, devices, as_given=True)[0]
    except ValueError:
        return None


def _best_of_each(layouts: Sequence[Choice], chosen: Choice) -> list[Choice]:
    """The best layout of every other mesh, in the order of ``layouts``."""
    best: dict[tuple[int, int, int], Choice] = {}
    for choice in layouts:
        best.setdefault(choice.mesh, choice)
    best.pop(chosen.mesh, None)
    return list(best.values())


def _remedy(scenario: Scenario) -> Remedy | None:
    """The first change, in this order, with which a layout fits by arithmetic."""
    config, directory, load, device, devices, _ = scenario
    tried = []
    if not config.lora.rank and not load.collects:
        tried.append(Remedy("adapters over one base (:lora)", adapters(), devices))
    tried += [Remedy(f"{devices * n} devices", {}, devices * n) for n in MORE]
    if not config.lora.rank and not load.collects:
        tried += [
            Remedy(f"adapters and {devices * n} devices", adapters(), devices * n) for n in MORE
        ]
    for remedy in tried:
        with_it = changed(config, remedy.settings)
        try:
            cfg = generator_config(with_it, directory)
            best = choices(with_it, cfg, load, device, remedy.devices)[0]
        except ValueError:
            continue
        if best.fits(device):
            return remedy
    return None


def _savings(scenario: Scenario, chosen: Choice, providers: Providers) -> list[Saving]:
    listed = list(cheaper(scenario, chosen))
    if not scenario.load.collects:
        for rental in providers.rentals:
            if rental.preempted_every_h:
                listed += spot(scenario, chosen, rental)
    return listed


def to_json(report: Report) -> dict[str, Any]:
    """The report as an object for scripts: ``hours``, ``peak_gib``, ``providers``, ``step_seconds``
    by part, then all the rest; sizes are bytes of a device, times seconds."""
    plan, forecast = report.plan, report.plan.forecast
    phases = [dataclasses.asdict(p) | {"seconds": p.seconds} for p in forecast.phases]
    return {
        "hours": forecast.hours,
        "device_hours": forecast.device_hours,
        "peak_gib": plan.peak_bytes / 2**30,
        "fits": report.fits,
        "providers": [cost._asdict() for cost in report.costs],
        "step_seconds": forecast.step_seconds(),
        "step_s": forecast.step_s,
        "collective_s_by_link": report.collective_s,
        "steps": forecast.steps,
        "mesh": list(report.chosen.mesh),
        "settings": report.chosen.settings,
        "remedy": report.remedy._asdict() if report.remedy else None,
        "what_if": [saving._asdict() for saving in report.savings],
        "split": _split_json(report.split),
        "reported": report.reported._asdict() if report.reported else None,
        "plan": dataclasses.asdict(plan)
        | {"forecast": dataclasses.asdict(forecast) | {"phases": phases}},
    }


def _split_json(split: Split | None) -> dict[str, Any] | None:
    if not split:
        return None
    return {
        "learning_mesh": list(split.learning.mesh),
        "generation_mesh": list(split.generation),
        "step_s": split.forecast.step_s,
        "hours": split.forecast.hours,
    }
