"""How long a step and a stage will take, predicted for an assumed device.

Nothing here is measured on this library. A phase of a step takes the longer of two times, its
FLOPs at a share of the device's peak, ``mfu``, or its bytes at a share of the device's bandwidth,
and then the time of its collectives: none is taken to hide behind the other. FLOPs are those that a
device executes, with padding and what ``config.model.remat`` computes anew; the MFU that
scripts/bench_update.py prints leaves the latter out, and is so much lower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.source import steps_per_run
from waltzjax.model.architecture import ModelConfig
from waltzjax.plan import work as plan_work
from waltzjax.plan.traffic import Axes, axes, crosses_hosts, seconds
from waltzjax.preference.dpo import dpo_steps
from waltzjax.recipes import STAGES
from waltzjax.run.devices import Device, Link
from waltzjax.stages.reinforce import stage_steps
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE

# What a stage trains on where nobody says, number and name by its kind: WaltzRL's training split;
# the examples of an agent and the pairs that the sources expect.
USUAL = {REINFORCE: (15_015, "prompts"), SUPERVISE: (5_000, "chats"), PREFER: (4_000, "pairs")}
COLLECT = "collect"  # the stage's name in a plan of collecting
LEARNING = ("log-probs", "update")  # phases
# The parts of a step that a run's time is measured by.
PARTS = {"weights": "generate", "prefill": "generate", "decode": "generate", "update": "update"}


class Load(NamedTuple):
    """What a stage works on.

    prompt_tokens: of the longest prompt; prompts: chats, or pairs, it trains on; 0: its usual
      number, see ``prompt_count``.
    collects: the answers of waltzjax.collect are planned, not the training.
    """

    prompt_tokens: int
    prompts: int = 0
    collects: bool = False


@dataclasses.dataclass(frozen=True)
class Phase:
    """Work of a step on each device, and how long it takes."""

    role: str
    phase: str
    flops: float
    bytes: float  # of the device's memory
    link_bytes: float  # sent within a host
    network_bytes: float  # sent between hosts
    collectives: float  # how many of them
    device_s: float  # computing, or reading and writing memory
    collective_s: float
    bound: str  # by what: compute | bandwidth | collectives

    @property
    def seconds(self) -> float:
        return self.device_s + self.collective_s


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The predicted time of a stage on ``devices``."""

    stage: str
    mesh: tuple[int, int, int]
    phases: tuple[Phase, ...]  # of a step, one after the other
    step_s: float
    steps: int
    hours: float
    devices: int
    device: Device  # as assumed
    dtype: str
    worst_case: str  # in words
    prompts: int  # prompts, chats, pairs or questions

    @property
    def device_hours(self) -> float:
        return self.hours * self.devices

    @property
    def hidden_s(self) -> float:
        """Seconds of a step that are saved where collectives of log-probs and updates hide behind
        their products, as far as these last."""
        phases = [p for p in self.phases if p.phase in LEARNING]
        return sum(min(p.collective_s, p.device_s) for p in phases)

    def collective_s(self, link: Link) -> float:
        """Seconds of a step's collectives, were all of them over ``link``; over the network as
        if every device were a host."""
        latency_us = link.latency_us
        if link == self.device.network:
            latency_us = self.device.link.latency_us + (self.devices - 1) * link.latency_us
        return sum(
            p.collectives * latency_us * 1e-6
            + (p.link_bytes + p.network_bytes) / (1e9 * link.gb_per_s)
            for p in self.phases
        )

    def step_seconds(self) -> dict[str, float]:
        """Seconds of a step by the part that a run's metrics name: generate, score, reference,
        update."""
        parts: dict[str, float] = {}
        reinforces = self.stage in STAGES and STAGES[self.stage].kind == REINFORCE
        for phase in self.phases:
            names = [PARTS.get(phase.phase, "reference")]
            if phase.phase == "log-probs" and reinforces:
                names = ["score", "reference"]  # the policy's, then the reference's: as many
            for name in names:
                parts[name] = parts.get(name, 0.0) + phase.seconds / len(names)
        return parts


def prompt_count(config: ConfigDict, load: Load) -> int:
    """How many prompts, chats or pairs a stage trains on; of collecting, questions."""
    if load.collects:
        return load.prompts or config.collect.questions
    kind = STAGES[config.stages[-1]].kind
    if kind == SUPERVISE and (examples := config.sft.examples):
        return min(examples, load.prompts or examples)
    return load.prompts or USUAL[kind][0]


def _counted(config: ConfigDict, load: Load) -> str:
    """That number in words; "": the config says how many steps there are."""
    kind, stage = STAGES[config.stages[-1]].kind, config.stages[-1]
    if load.collects:
        return f"; {prompt_count(config, load):,} questions"
    if kind == REINFORCE and config.train.steps[stage]:
        return ""
    usual = not load.prompts and not (kind == SUPERVISE and config.sft.examples)
    origin = ", the usual number (--prompts)" if usual else ""
    return f"; {prompt_count(config, load):,} {USUAL[kind][1]}{origin}"


def predict(
    config: ConfigDict,
    cfg: ModelConfig,
    mesh: Mesh,
    load: Load,
    device: Device,
    generation_mesh: Mesh | None = None,
) -> Forecast:
    """The forecast of the last stage of ``config``, or of collecting.

    ``generation_mesh``: where it generates on another layout of the same devices, which this
    library cannot yet.
    """
    stage = STAGES[config.stages[-1]]
    if load.collects:
        asked = prompt_count(config, load)
        work = plan_work.collecting_work(config, cfg, mesh, load.prompt_tokens, asked)
        phases, steps = _phases(work, device, cfg, axes(mesh.shape)), 1
    elif generation_mesh is None:
        work = plan_work.step_work(config, cfg, mesh, load.prompt_tokens)
        phases, steps = _phases(work, device, cfg, axes(mesh.shape)), _steps(config, load)
    else:
        drawn = plan_work.generation_work(config, cfg, generation_mesh, load.prompt_tokens)
        learnt = plan_work.learning_work(config, cfg, mesh, load.prompt_tokens)
        phases = _phases(drawn, device, cfg, axes(generation_mesh.shape))
        phases += _phases(learnt, device, cfg, axes(mesh.shape))
        steps = _steps(config, load)
    step_s = sum(phase.seconds for phase in phases)
    new = config.rollout.max_new_tokens
    worst_case = (
        f"all rounds in every episode, all {new} tokens in every turn after {load.prompt_tokens} "
        "of a prompt, none of them shared"
    )
    if load.collects:
        worst_case = f"all {new} tokens in every answer after {load.prompt_tokens} of a prompt"
    elif stage.kind == SUPERVISE:
        worst_case = "a row for every chat"
    elif stage.kind == PREFER:
        worst_case = f"all config.dpo.max_tokens = {config.dpo.max_tokens} in every row"
    return Forecast(
        COLLECT if load.collects else config.stages[-1],
        tuple(axes(mesh.shape)),  # type: ignore[arg-type]
        tuple(phases),
        step_s,
        steps,
        steps * step_s / 3600,
        mesh.size,
        device,
        jnp.dtype(cfg.dtype).name,
        worst_case + _counted(config, load),
        prompt_count(config, load),
    )


def _phases(
    parts: Iterable[plan_work.Work], device: Device, cfg: ModelConfig, mesh: Axes
) -> list[Phase]:
    peak, phases = device.tflops[jnp.dtype(cfg.dtype).name], []
    for work in parts:
        computing_s = work.flops / (1e12 * peak * device.mfu)
        moving_s = work.bytes / (1e9 * device.gb_per_s * device.bandwidth_share)
        collective_s = seconds(device, mesh, work.traffic)
        device_s = max(computing_s, moving_s)
        bound = "compute" if computing_s >= moving_s else "bandwidth"
        bound = "collectives" if collective_s > device_s else bound
        # A ring's bytes leave a host once, by the ports of all its members together.
        crossing = [each for each in work.traffic if crosses_hosts(mesh, each)]
        far = sum(each.bytes / mesh.members(each.axis) for each in crossing)
        near = sum(each.bytes for each in work.traffic) - far
        times = sum(each.times for each in work.traffic)
        phases.append(Phase(*work[:4], near, far, times, device_s, collective_s, bound))
    return phases


def _steps(config: ConfigDict, load: Load) -> int:
    sft, kind = config.sft, STAGES[config.stages[-1]].kind
    prompts = prompt_count(config, load)
    if kind == PREFER:
        return dpo_steps(config, prompts)
    if kind == REINFORCE:
        return stage_steps(config, config.stages[-1], prompts)
    steps = steps_per_run(prompts, sft.batch, sft.epochs)
    if not steps:
        raise ValueError(
            f"config.sft.batch: got {sft.batch}, allowed is at most chats * epochs = {prompts} * "
            f"{sft.epochs} (--prompts, config.sft.examples), or there is no step"
        )
    return steps
