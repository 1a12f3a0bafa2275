"""How long a step and a stage will take, predicted for an assumed device: hours and dollars.

Nothing here is measured. A phase of a step takes the longer of two times: its FLOPs at a share of
the device's peak, ``mfu``, or its bytes at a share of the device's bandwidth. FLOPs are those that
a device executes, with padding and what ``config.model.remat`` computes anew; the MFU that
scripts/bench_update.py prints leaves the latter out, and is so much lower.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.source import steps_per_run
from waltzjax.model.architecture import ModelConfig
from waltzjax.plan import flops as plan_flops
from waltzjax.preference.dpo import dpo_steps
from waltzjax.recipes import STAGES
from waltzjax.stages.reinforce import stage_steps
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE
from waltzjax.types import CONVERSATION

H100_TFLOPS = {"bfloat16": plan_flops.PEAK_TFLOPS["H100"], "float32": 66.9}  # float32, not TF32
PROMPTS = 15_015  # of the training split
WALTZRL = "(the project's sources tell of 52 h and $832, Llama-3.1-8B on 8 H100)"


@dataclasses.dataclass(frozen=True)
class Device:
    """The assumed figures of a device; defaults are an H100 SXM's. ValueError: one cannot be so."""

    peak_tflops: float | None = None  # None: the H100's in the compute type
    bandwidth_gbs: float = plan_flops.PEAK_GB_PER_S["H100"]
    mfu: float = 0.4  # the share of the peak that is reached
    bandwidth_share: float = 0.6  # and of the bandwidth
    price: float = 2.0  # dollars an hour

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            most = 1 if name in ("mfu", "bandwidth_share") else 1e9
            if value is not None and not 0 < value <= most:
                raise ValueError(f"--{name}: got {value:g}, allowed is > 0 and <= {most:g}")


H100 = Device()


@dataclasses.dataclass(frozen=True)
class Phase:
    """Work of a step on each device, and how long it takes."""

    role: str
    phase: str
    flops: float
    bytes: float
    seconds: float
    bound: str  # by what: compute | bandwidth


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The predicted time and price of a stage on ``devices``."""

    stage: str
    phases: tuple[Phase, ...]  # of a step, one after the other
    step_s: float
    steps: int
    hours: float
    dollars: float
    devices: int
    device: Device  # as assumed
    worst_case: str  # in words
    reported: str  # what others report of such a stage; "": nothing


def predict(
    config: ConfigDict,
    cfg: ModelConfig,
    mesh: Mesh,
    prompt_tokens: int,
    device: Device = H100,
    prompts: int = PROMPTS,
) -> Forecast:
    """The forecast of the last stage of ``config``; ``prompts``: how many prompts, chats or pairs
    it trains on."""
    peak = device.peak_tflops or H100_TFLOPS[jnp.dtype(cfg.dtype).name]
    device = dataclasses.replace(device, peak_tflops=peak)
    phases = []
    for work in plan_flops.step_work(config, cfg, mesh, prompt_tokens):
        computing_s = work.flops / (1e12 * peak * device.mfu)
        moving_s = work.bytes / (1e9 * device.bandwidth_gbs * device.bandwidth_share)
        bound = "compute" if computing_s >= moving_s else "bandwidth"
        phases.append(Phase(*work, max(computing_s, moving_s), bound))
    step_s, steps = sum(phase.seconds for phase in phases), _steps(config, prompts)
    hours = steps * step_s / 3600
    new = config.rollout.max_new_tokens
    worst_case = (
        f"all rounds in every episode, all {new} tokens in every turn after {prompt_tokens} of a "
        "prompt,\nnone of them shared"
    )
    stage = STAGES[config.stages[-1]]
    if stage.kind == SUPERVISE:
        worst_case = "a row for every chat"
    if stage.kind == PREFER:
        worst_case = f"all config.dpo.max_tokens = {config.dpo.max_tokens} in every row"
    return Forecast(
        config.stages[-1],
        tuple(phases),
        step_s,
        steps,
        hours,
        hours * mesh.size * device.price,
        mesh.size,
        device,
        worst_case,
        WALTZRL if CONVERSATION in stage.turns(config) else "",
    )


def _steps(config: ConfigDict, prompts: int) -> int:
    sft, kind = config.sft, STAGES[config.stages[-1]].kind
    if kind == PREFER:
        return dpo_steps(config, prompts)
    if kind == REINFORCE:
        return stage_steps(config, config.stages[-1], prompts)
    chats = min(sft.examples or prompts, prompts)
    steps = steps_per_run(chats, sft.batch, sft.epochs)
    if not steps:
        raise ValueError(
            f"config.sft.batch: got {sft.batch}, allowed is at most chats * epochs = {chats} * "
            f"{sft.epochs} (--prompts, config.sft.examples), or there is no step"
        )
    return steps
