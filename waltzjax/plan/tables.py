"""A plan, and how it is shown."""

from __future__ import annotations

import dataclasses
import textwrap

from waltzjax.plan.forecast import Forecast
from waltzjax.plan.xla_report import Program
from waltzjax.support import console

GIB = 2**30

LEGEND = (
    "update, log-probs: a layer's weights are gathered for their use (all-gather), their gradients",
    "summed and split at once (reduce-scatter); embedded tokens go from a split by width to one by",
    "row (all-to-all); gradients of norms and adapters, losses and counts are summed everywhere,",
    "and over tensor what each device has of a product (all-reduce). GB: a device sends, as",
    "compiled for CPUs, where bfloat16 is float32: on GPUs half of what is gathered.",
)
LEFT_OUT = "judge, host, compiling, evaluations, checkpoints"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The data a stage keeps and the programs it compiles; bytes are those of one device."""

    resident: dict[str, int]  # what stays all along
    generating: dict[str, int]  # what a rollout has beside that, until it ends; as on a GPU
    judging: dict[str, int]  # what a judge on the devices has then, until it has judged
    programs: dict[str, Program]
    peak_bytes: int  # all that stays, and the most that a part of a step needs beside it
    left_out: str  # of all these bytes, and why; "": nothing
    checkpoint_bytes: int  # on disk, of all devices together
    forecast: Forecast


def figure(value: float) -> str:
    """About three digits of a number that is not negative, thousands apart."""
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def show(plan: Plan) -> None:
    """The plan as tables, in GiB a device."""
    show_memory(plan)
    show_forecast(plan.forecast)
    show_peak(plan)


def show_memory(plan: Plan) -> None:
    """The memory by part, and the programs."""
    for title, sizes in (
        ("stays on each device", plan.resident),
        ("beside it during a rollout", plan.generating),
        ("beside it while the judge answers", plan.judging),
    ):
        rows = [[name, f"{size / GIB:.2f}"] for name, size in sizes.items()]
        if rows:
            console.say(console.table(title, ["what", "GiB"], rows) + "\n")
    kinds = ("all-gather", "reduce-scatter", "all-reduce", "all-to-all")
    rows = [
        [
            name,
            f"{p.temporary_bytes / GIB:.2f}",
            f"{p.compile_s:.1f}",
            *(f"{p.moved_bytes.get(kind, 0) / 1e9:,.2f}" for kind in kinds),
        ]
        for name, p in plan.programs.items()
    ]
    header = ["program", "temporary GiB", "compile s", *(f"{kind} GB" for kind in kinds)]
    console.say(console.table("programs of a step, each run once", header, rows))
    console.say("\n".join([*LEGEND, ""]))


def show_peak(plan: Plan) -> None:
    line = f"peak {plan.peak_bytes / GIB:.1f} GiB a device"
    if plan.checkpoint_bytes:
        line += (
            f"; {plan.checkpoint_bytes / GIB:.1f} GiB of disk a checkpoint, of which there are\n"
            "config.train.keep_checkpoints and one more"
        )
    console.say("\n" + line)
    if plan.left_out:
        console.say(f"left out of the memory: {plan.left_out}")


def show_forecast(forecast: Forecast) -> None:
    """The times of a step, what they rest on, and what follows for the stage."""
    rows = [
        [
            p.role,
            p.phase,
            f"{p.flops / 1e12:,.1f}",
            f"{p.bytes / 1e9:,.1f}",
            f"{p.link_bytes / 1e9:,.2f}",
            f"{p.network_bytes / 1e9:,.2f}",
            f"{p.collective_s:.2f}",
            f"{p.seconds:.2f}",
            p.bound,
        ]
        for p in forecast.phases
    ]
    header = ["agent", "phase", "TFLOP", "mem. GB", "link GB", "net GB", "coll. s", "s", "bound by"]
    console.say(console.table("predicted time of a step, of each device", header, rows))
    d = forecast.device
    lines = [
        f"Predicted, not measured here: {d.name}, {d.mfu:g} of {d.tflops[forecast.dtype]:,g} "
        f"TFLOP/s, {d.bandwidth_share:g} of {d.gb_per_s:,g} GB/s;",
        f"collectives {d.link.gb_per_s:g} GB/s, {d.link.latency_us:g} us ({d.link.name}), between "
        f"hosts {d.network.gb_per_s:g} GB/s a device ({d.network.name}); none",
        f"hides behind products: if those of log-probs and updates did, {forecast.hidden_s:.1f} s "
        "a step less.",
        textwrap.fill(f"The worst case: {forecast.worst_case}.", 100),
        f"Left out: {LEFT_OUT}.",
        f"{forecast.stage}: {figure(forecast.step_s)} s a step, {forecast.steps:,} "
        f"step{'s' * (forecast.steps != 1)}: {figure(forecast.hours)} h on {forecast.devices} "
        f"device{'s' * (forecast.devices != 1)}, {figure(forecast.device_hours)} device-hours",
    ]
    console.say("\n".join(lines))
