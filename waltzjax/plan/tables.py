"""A plan, and how it is shown."""

from __future__ import annotations

import dataclasses

from waltzjax.plan.forecast import Forecast
from waltzjax.plan.xla_report import Program
from waltzjax.support import console

GIB = 2**30

LEGEND = (
    "update, log-probs: a layer's weights are gathered for their use (all-gather), their gradients",
    "summed and split at once (reduce-scatter); embedded tokens go from a split by width to one by",
    "row (all-to-all); gradients of norms and adapters, losses and counts are summed everywhere",
    "(all-reduce).",
    "decode, prefill: every device has its tensor part of all weights; a group of devices (data,",
    "fsdp) generates for its own rows. Compiled in float32: in bfloat16 they move half of that.",
)
LEFT_OUT = "what moves between devices, judge, host, compiling, evaluations, checkpoints"


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


def show(plan: Plan) -> None:
    """The plan as tables, in GiB a device."""
    for title, sizes in (
        ("stays on each device", plan.resident),
        ("beside it during a rollout", plan.generating),
        ("beside it while the judge answers", plan.judging),
    ):
        rows = [[name, size / GIB] for name, size in sizes.items()]
        if rows:
            console.say(console.table(title, ["what", "GiB"], rows) + "\n")
    rows = [
        [name, p.temporary_bytes / GIB, p.compile_s, sum(p.collectives.values())]
        for name, p in plan.programs.items()
    ]
    header = ["program", "temporary GiB", "compile s", "collectives"]
    console.say(console.table("programs of a step", header, rows))
    rows = [
        [name, *text.split(" ", 1), count]
        for name, p in plan.programs.items()
        for text, count in sorted(p.collectives.items())
    ]
    console.say("\n" + console.table("", ["program", "collective", "result", "places"], rows))
    console.say("\n".join(["", *LEGEND, ""]))
    show_forecast(plan.forecast)
    console.say(
        f"\npeak {plan.peak_bytes / GIB:.1f} GiB a device; {plan.checkpoint_bytes / GIB:.1f} GiB "
        "of disk a checkpoint, of which there are config.train.keep_checkpoints and one more"
    )
    if plan.left_out:
        console.say(f"left out of the memory: {plan.left_out}")


def show_forecast(forecast: Forecast) -> None:
    """The times of a step, what they rest on, and what follows for the stage."""
    rows = [
        [p.role, p.phase, f"{p.flops / 1e12:,.1f}", f"{p.bytes / 1e9:,.1f}", p.seconds, p.bound]
        for p in forecast.phases
    ]
    header = ["agent", "phase", "TFLOP a device", "GB a device", "seconds", "bound by"]
    console.say(console.table("predicted time of a step", header, rows))
    d, last = forecast.device, forecast.stage
    lines = [
        f"\nPredicted, not measured: {d.mfu:g} of a device's {d.peak_tflops:,g} TFLOP/s and "
        f"{d.bandwidth_share:g} of its {d.bandwidth_gbs:,g} GB/s are assumed,",
        f"and the worst case: {forecast.worst_case}.",
        f"Left out: {LEFT_OUT}.",
        f"{last}: {forecast.step_s:.1f} s a step, {forecast.steps:,} steps: {forecast.hours:.1f} h "
        f"on {forecast.devices} devices, ${forecast.dollars:,.0f} at ${d.price:.2f} a device-hour",
        forecast.reported,
    ]
    console.say("\n".join(filter(None, lines)))
