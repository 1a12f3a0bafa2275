"""A report and a growth table on a terminal of 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from waltzjax.plan import calibration
from waltzjax.plan.forecast import COLLECT
from waltzjax.plan.growth import Size
from waltzjax.plan.providers import Reported
from waltzjax.plan.report import Report
from waltzjax.plan.search import Choice, usable_bytes
from waltzjax.plan.tables import GIB, figure, show_forecast, show_memory, show_peak
from waltzjax.support import console

WIDTH = 100  # columns of the terminal
TRUST = (
    "Trust: these seconds are arithmetic with the shares cited in devices.toml. The rates fitted "
    "to measured steps are --check's: {}."
)


def show_report(report: Report) -> None:
    """Everything a plan knows, the answer last."""
    show_memory(report.plan)
    _show_layouts(report)
    show_forecast(report.plan.forecast)
    listed = ", ".join(f"{name} {figure(s)} s" for name, s in report.collective_s.items())
    line = f"A step's collectives over each link, network included: {listed}."
    console.say(textwrap.fill(line, WIDTH))
    console.say(textwrap.fill(TRUST.format(calibration.trust(report.device.name)), WIDTH))
    _show_costs(report)
    _show_savings(report)
    show_peak(report.plan)
    console.say("\n".join(["", *_answer(report)]))


def _mesh(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _settings(choice: Choice) -> str:
    return ", ".join(f"{key}={value}" for key, value in choice.settings.items()) or "as given"


def _show_layouts(report: Report) -> None:
    own = "the config's own"
    listed = [(own if report.as_given else "chosen", report.chosen)]
    listed += [("", choice) for choice in report.others]
    if report.given and not report.as_given:
        listed.append((own, report.given))
    rows = [
        [
            label,
            _mesh(choice.mesh),
            _settings(choice),
            f"{choice.peak_bytes / GIB:.1f}",
            "yes" if choice.fits(report.device) else "no",
            figure(sum(p.collective_s for p in choice.forecast.phases)),
            figure(choice.forecast.step_s),
        ]
        for label, choice in listed
    ]
    header = ["", "mesh", "best settings", "GiB", "fits", "coll. s", "s a step"]
    title = "layouts (data x fsdp x tensor), by arithmetic; all have the same gradient"
    console.say(console.table(title, header, rows) + "\n")


def _show_costs(report: Report) -> None:
    rows = [
        [
            cost.name,
            figure(cost.cost),
            None if cost.hours is None else figure(cost.hours),
            cost.note,
        ]
        for cost in report.costs
    ]
    sold, used = report.providers.device, report.device.name
    title = f"cost, US dollars (prices of {sold}, {report.providers.date})"
    console.say("\n" + console.table(title, ["provider", "$", "hours", "note"], rows))
    if not used.startswith(sold):
        console.say(f"Rentals sell {sold}, not {used}: set their prices in a --providers_file.")
    if any(cost.hours is None for cost in report.costs):
        console.say(
            f"Rentals: one agent on {report.plan.forecast.prompts:,} chats. Services: two agents "
            "of 2,000 to 5,000\nexamples each, as the sources have them."
        )
    if report.reported:
        console.say("\n".join(reported_lines(report.reported, report.plan.forecast.step_s)))


def reported_lines(reported: Reported, step_s: float) -> list[str]:
    """What others report, and its own arithmetic beside ours."""
    actual_s = reported.hours * 3600 / reported.steps
    lines = [
        f"The sources report {reported.hours:g} h and ${reported.usd:,.0f} for {reported.steps:,} "
        f"steps on {reported.devices} devices:",
        f"{actual_s:.0f} s a step ({actual_s / step_s:.1f} times this prediction)",
    ]
    if abs(reported.step_s / actual_s - 1) > 0.05:
        lines[-1] += (
            f", not the {reported.step_s:g} s they name, which would be "
            f"{reported.steps * reported.step_s / 3600:.0f} h"
        )
    return lines


def _show_savings(report: Report) -> None:
    if not report.savings:
        return
    base = report.savings[0]
    rows = [
        [
            saving.name,
            f"{saving.peak_bytes / GIB:.1f}" + ("" if saving.fits else " (does not fit)"),
            figure(saving.step_s),
            figure(saving.hours),
            figure(saving.dollars),
            "-" * (saving.dollars > base.dollars) + figure(abs(base.dollars - saving.dollars)),
            f"{100 * (1 - saving.dollars / base.dollars):.0f}" if base.dollars else "-",
            saving.note,
        ]
        for saving in report.savings
    ]
    header = ["cheaper choices", "GiB", "s a step", "hours", "$", "saves $", "%", "note"]
    where = report.costs[0].name
    title = f"what if (by arithmetic, each with the layout best for it; $ of {where})"
    console.say("\n" + console.table(title, header, rows))


def _answer(report: Report) -> list[str]:
    device, forecast = report.device, report.plan.forecast
    usable = usable_bytes(device) / GIB
    lines = []
    if report.remedy and not report.fits:
        lines += [
            f"Does not fit as it is on {device.name}, and not with {report.remedy.words} either:",
            f"{report.plan.peak_bytes / GIB:.1f} GiB of {usable:.1f} that a run takes of one; the "
            "plan above is made for that:",
        ]
    elif report.remedy:
        lines.append(
            f"Does not fit as it is on {device.name}. With {report.remedy.words} it does;\n"
            "the plan above is made for that:"
        )
    elif not report.fits:
        lines.append(
            f"Does not fit: {report.plan.peak_bytes / GIB:.1f} GiB of {usable:.1f} that a run "
            f"takes of one {device.name}; adapters (:lora) and more --devices need less."
        )
    else:
        lines.append(
            f"Fits: {report.plan.peak_bytes / GIB:.1f} GiB of {usable:.1f} that a run takes of one "
            f"{device.name}."
        )
    if report.remedy:
        lines += [f"  --config.{key}={value}" for key, value in report.remedy.settings.items()]
    if len(report.stages) > 1:
        *earlier, last = report.stages
        lines.append(
            f"Hours and cost are those of {last} alone; {', '.join(earlier)} before it: plan with "
            "--config.stages."
        )
    what = "The config's own mesh" if report.as_given else "Best mesh"
    lines += [f"{what}: {_mesh(report.chosen.mesh)}. Run with", f"  {report.chosen.arguments()}"]
    if report.split and report.split.forecast.step_s < 0.98 * forecast.step_s:
        split = report.split
        hidden_s = split.forecast.step_s - split.forecast.hidden_s
        steps = forecast.steps / 3600
        lines += [
            "What this library cannot do yet and would move it: generating on another mesh "
            f"({_mesh(split.generation)}) than",
            f"learning ({_mesh(split.learning.mesh)}): {split.forecast.step_s:.1f} s a step, "
            f"{split.forecast.hours:.1f} h; and if log-probs and updates hid their collectives "
            "behind",
            f"their products, {hidden_s:.1f} s, {steps * hidden_s:.1f} h.",
        ]
    return lines


def show_growth(sizes: Sequence[Size], directory: Path, stage: str, device: str) -> None:
    """The growth table."""
    rows = [
        [
            size.devices,
            _mesh(size.mesh),
            size.batch,
            f"{size.peak_bytes / GIB:.1f}" + ("" if size.fits else " !"),
            size.memory_by,
            f"{size.link_gb:,.0f}",
            f"{size.network_gb:,.0f}",
            f"{size.collective_s:.1f}",
            f"{size.step_s:.1f}",
            f"{100 * size.efficiency:.0f}",
            f"{size.hours:.1f}",
            "-" if size.same_batch_step_s is None else f"{size.same_batch_step_s:.1f}",
        ]
        for size in sizes
    ]
    header = [
        "devices",
        "mesh",
        "batch",
        "GiB",
        "by",
        "link",
        "net",
        "coll.",
        "step s",
        "eff. %",
        "hours",
        "s, same batch",
    ]
    work = "the same questions" if stage == COLLECT else "as many prompts for each device"
    title = f"growth: {stage} of {directory.name} on {device}, {work}"
    console.say(console.table(title, header, rows))
    console.say(
        "GiB: the peak of a device, and by what; ! does not fit. link, net: GB sent in a step\n"
        "within a host, between hosts. coll.: seconds of its collectives. eff.: work of a device\n"
        "in a second, of the first row's. s, same batch: of a step with the first row's batch.\n"
        "Times are arithmetic."
    )
