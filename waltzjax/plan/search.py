"""The choice of a mesh: every layout of the devices by arithmetic, the best that fits is compiled.

Searched are the mesh, the number of microbatches and what is computed anew (config.model.remat): an
update's gradient is the same under all of them, only memory and time differ.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jax.sharding import AbstractMesh, AxisType, Mesh
from ml_collections import ConfigDict

from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.plan.forecast import LEARNING, Forecast, Load, predict
from waltzjax.plan.memory import estimate
from waltzjax.recipes import STAGES
from waltzjax.run.devices import HOST_DEVICES, Device
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE

USABLE = 0.92  # of a GPU's memory: what commands take of it, see ``run.cli``
CLEARLY = 0.85  # of the memory, by arithmetic: as much as that is wrong at most
SECTIONS = {SUPERVISE: "sft", PREFER: "dpo", REINFORCE: "rl"}


class Choice(NamedTuple):
    """A layout and its prediction; ``settings`` are those of the config that make it."""

    mesh: tuple[int, int, int]
    settings: dict[str, Any]
    forecast: Forecast
    peak_bytes: int  # by arithmetic

    def fits(self, device: Device) -> bool:
        return self.peak_bytes <= usable_bytes(device)

    def arguments(self) -> str:
        """The layout as arguments of a command."""
        shown = {"mesh": f'"{self.mesh}"'.replace(" ", "")} | self.settings
        return " ".join(f"--config.{key}={value}" for key, value in shown.items())


def usable_bytes(device: Device) -> int:
    return int(USABLE * 2**30 * device.memory_gib)


def changed(config: ConfigDict, settings: Mapping[str, Any]) -> ConfigDict:
    """A copy of ``config`` with other ``settings``, keys as "rl.microbatches"."""
    copy = config.copy_and_resolve_references()
    copy.update_from_flattened_dict(dict(settings))
    return copy


def layout(shape: Sequence[int]) -> Mesh:
    """A mesh to count with, of no devices."""
    mesh: Any = AbstractMesh(tuple(shape), sharding.AXES, axis_types=(AxisType.Auto,) * 3)
    return mesh


def given_shape(config: ConfigDict, devices: int) -> tuple[int, int, int]:
    """``config.mesh`` on so many devices; ValueError: it needs more."""
    sizes = list(config.mesh)
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(devices // -math.prod(sizes), 1)
    if math.prod(sizes) > devices:
        raise ValueError(
            f"config.mesh: {tuple(config.mesh)} needs {abs(math.prod(sizes))} devices; --devices "
            f"says {devices}"
        )
    return sizes[0], sizes[1], sizes[2]


def shapes(cfg: ModelConfig, devices: int) -> list[tuple[int, int, int]]:
    """Every (data, fsdp, tensor) of so many devices whose tensor part stays on a host and divides
    heads and MLP evenly."""
    sizes = [n for n in range(1, devices + 1) if devices % n == 0]
    tensor = [
        t for t in sizes if t <= HOST_DEVICES and cfg.kv_heads % t == 0 and cfg.mlp_width % t == 0
    ]
    return [(d, devices // t // d, t) for t in tensor for d in sizes if devices // t % d == 0]


def choices(
    config: ConfigDict,
    cfg: ModelConfig,
    load: Load,
    device: Device,
    devices: int,
    *,
    as_given: bool = False,
) -> list[Choice]:
    """Every layout on so many devices: those that fit by the time of a step, of those as good as
    the best to 1 % the one that needs least memory first; then the others by their memory.

    ``as_given``: the config's own layout is the only one.

    Raises:
      ValueError: there is none; why the last one cannot be.
    """
    layouts, reason = [], None
    for shape in [given_shape(config, devices)] if as_given else shapes(cfg, devices):
        mesh = layout(shape)
        for settings in [{}] if as_given else _settings(config, load):
            try:
                layouts.append(_choice(config, cfg, mesh, settings, load, device))
            except ValueError as error:  # no room for a prompt in a device's part of the cache
                reason = error
    if not layouts:
        raise reason or ValueError(f"--devices: got {devices}: there is no mesh of so many")
    fitting = [choice for choice in layouts if choice.fits(device)] or layouts
    best = min(choice.forecast.step_s for choice in fitting)

    def order(choice: Choice) -> tuple[bool, float, int]:
        step_s = choice.forecast.step_s
        fits = choice.fits(device)
        if not fits:
            return True, 0.0, choice.peak_bytes
        return False, step_s if step_s > 1.01 * best else best, choice.peak_bytes

    return sorted(layouts, key=order)


def smaller(layouts: Sequence[Choice], choice: Choice) -> list[Choice]:
    """Those of ``layouts`` that need clearly less memory than ``choice``, which did not fit when it
    was compiled."""
    return [other for other in layouts if other.peak_bytes < CLEARLY * choice.peak_bytes]


def _settings(config: ConfigDict, load: Load) -> Iterator[dict[str, Any]]:
    kind = STAGES[config.stages[-1]].kind
    if load.collects:
        yield {}
        return
    section = SECTIONS[kind]
    budget = kind == REINFORCE and config.rl.token_budget > 0
    rows = config.rollout.batch * config.rollout.group if kind == REINFORCE else None
    batch = rows or config[section].batch
    counts = [n for n in range(1, batch + 1) if batch % n == 0]
    for remat in dict.fromkeys((config.model.remat, "dots", "full")):
        for count in [None] if budget else counts:
            key = {} if count is None else {f"{section}.microbatches": count}
            yield key | {"model.remat": remat}


def _choice(
    config: ConfigDict,
    cfg: ModelConfig,
    mesh: Mesh,
    settings: dict[str, Any],
    load: Load,
    device: Device,
) -> Choice:
    config = changed(config, settings)
    cfg = dataclasses.replace(cfg, remat=config.model.remat)
    forecast = predict(config, cfg, mesh, load, device)
    return Choice(forecast.mesh, settings, forecast, estimate(config, cfg, mesh, load))


class Split(NamedTuple):
    """Learning on one mesh and generating on another, of the same devices."""

    learning: Choice
    generation: tuple[int, int, int]
    forecast: Forecast


def split_choice(
    config: ConfigDict, cfg: ModelConfig, load: Load, device: Device, layouts: Sequence[Choice]
) -> Split | None:
    """The best split of those of ``layouts`` that fit; None: nothing is generated besides learning.
    This library generates on the mesh that it learns on."""
    if STAGES[config.stages[-1]].kind != REINFORCE or load.collects:
        return None
    learning: dict[tuple[int, int, int], Choice] = {}
    for choice in layouts:
        if choice.fits(device):
            other = learning.setdefault(choice.mesh, choice)
            learning[choice.mesh] = min(choice, other, key=_learning_s)
    splits = []
    for choice in learning.values():
        with_settings = changed(config, choice.settings)
        its = dataclasses.replace(cfg, remat=with_settings.model.remat)
        mesh = layout(choice.mesh)
        for shape in shapes(cfg, mesh.size):
            with contextlib.suppress(ValueError):  # no room for a prompt
                forecast = predict(with_settings, its, mesh, load, device, layout(shape))
                splits.append(Split(choice, shape, forecast))
    return min(splits, key=lambda split: split.forecast.step_s, default=None)


def _learning_s(choice: Choice) -> float:
    learning = (p for p in choice.forecast.phases if p.phase in LEARNING)
    return sum(phase.seconds for phase in learning)
