"""How runs stand, for people: a live view on a terminal, else lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from waltzjax.metrics.episodes import Episode
from waltzjax.monitor import watch
from waltzjax.monitor.watch import Status, Watch, duration

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30  # characters of a curve
MOST = 14  # figures of a run that are shown
COLOURS = {
    watch.RUNNING: "green", watch.EVALUATING: "green", watch.STARTING: "cyan",
    watch.FINISHED: "green", watch.STALLED: "yellow", watch.STOPPED: "yellow", watch.EMPTY: "dim",
}  # fmt: skip
# What people look at first, in this order; what a rule is about comes before.
FIRST = (
    "loss", "kl", "reward", "asr", "orr", "dir", "ftr", "label_accuracy", "accuracy", "format_rate",
    "rewards/margins", "rewards/accuracies", "entropy", "grad_norm", "perf/tokens_per_s",
    "perf/mfu", "device/memory_share", "device/utilization",
)  # fmt: skip


def plain(status: Status) -> str:
    """One line of a run."""
    parts = [status.run, status.state]
    if status.step:
        parts += [_place(status), *_times(status)]
    parts += [_standing(episode) for episode in status.standing]
    parts += [status.text] if status.text else []
    return "  ".join(parts)


def _place(status: Status) -> str:
    stage = status.stage.replace("stage", "stage ")
    count = f" ({status.number} of {status.stages})" if status.stages > 1 and status.number else ""
    share = f"/{status.total:,} ({100 * status.step / status.total:.0f} %)" if status.total else ""
    return f"{stage}{count}{'  ' * bool(stage)}step {status.step:,}{share}"


def _times(status: Status) -> Iterator[str]:
    if status.state == watch.FINISHED or not status.step_s:
        return
    yield f"{duration(status.step_s)} a step, {3600 / status.step_s:,.0f} an hour"
    if status.state in (watch.STALLED, watch.STOPPED):
        return
    if status.left_s is not None and status.step < status.total:
        likely = ""
        if status.low_s is not None:
            likely = f" ({duration(status.low_s)} to {duration(status.high_s)})"
        yield f"left {duration(status.left_s)}{likely}"
    if status.run_left_s is not None and status.run_left_s != status.left_s:
        yield f"with later stages, at this pace, {duration(status.run_left_s)}"


def _standing(episode: Episode) -> str:
    rule = episode.rule
    level = "CRITICAL" if rule.critical else "WARNING"
    side = "above" if rule.above else "below"
    return (
        f"{level} {episode.metric} {side} {episode.threshold:.4g} since step {episode.step:,} "
        f"({episode.value:.4g} there)"
    )


def live(watches: Sequence[tuple[Watch, Status, str]]) -> RenderableType:
    """All runs, a panel each; with what the monitor has to say of the run."""
    return Group(*(_panel(watched, status, note) for watched, status, note in watches))


def _panel(watched: Watch, status: Status, note: str) -> Panel:
    body: list[RenderableType] = []
    if status.step:
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_row(
            Text(_place(status), style="bold"),
            ProgressBar(total=max(1, status.total), completed=status.step if status.total else 0),
        )
        body.append(bar)
        if times := list(_times(status)):
            body.append(Text("   ".join(times), style="cyan"))
    if status.text:
        body.append(Text(status.text, style=COLOURS[status.state]))
    body += [Text(_standing(e), style=_colour(e)) for e in status.standing]
    ended = [e for e in watched.began if e not in status.standing]
    body += [Text(f"over: {_standing(e)}", style="dim") for e in ended[-3:]]
    if status.figures:
        body.append(_figures(watched, status))
    if status.unreadable:
        body.append(Text(f"{status.unreadable} lines cannot be read", style="yellow"))
    if note:
        body.append(Text(note, style="yellow"))
    at = datetime.fromtimestamp(status.checked).strftime("%H:%M:%S")
    colour = "red" if status.critical else COLOURS[status.state]
    return Panel(
        Group(*body),
        title=Text(f"{status.run}: {status.state}", style=f"bold {colour}"),
        title_align="left",
        subtitle=Text(f"checked {at}", style="dim"),
        subtitle_align="right",
        border_style=colour,
    )


def _colour(episode: Episode) -> str:
    return "bold red" if episode.rule.critical else "yellow"


def _figures(watched: Watch, status: Status) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    bounds = _bounds(watched, status.figures)
    names = _chosen(status.figures, bounds)
    # On a narrow terminal the curves are cut.
    table.add_column("figure", no_wrap=True, min_width=max([6, *map(len, names)]))
    table.add_column("last", justify="right", no_wrap=True, min_width=8)
    records = [r for r in watched.history if r.get("stage", "") == status.stage]
    table.add_column(f"last {len(records):,} records", no_wrap=True, overflow="crop")
    table.add_column("rule", no_wrap=True)
    broken = {episode.metric: episode for episode in status.standing}
    for name in names:
        style = _colour(broken[name]) if name in broken else ""
        curve = sparkline([r[name] for r in records if name in r])
        last = f"{status.figures[name]:.4g}"
        table.add_row(name, last, curve, bounds.get(name, ""), style=style)
    return table


def _bounds(watched: Watch, figures: Mapping[str, float]) -> dict[str, str]:
    """The rule of each figure that has one, "> 0.2"."""
    return {
        name: f"{'>' if rule.above else '<'} {rule.threshold:g}{' x average' * rule.relative}"
        for rule in watched.rules
        for name in figures
        if f"{name}/".startswith(f"{rule.metric}/")
    }


def _chosen(figures: Mapping[str, float], bounds: Mapping[str, str]) -> list[str]:
    """The names to show: those under a rule, then what people look at first."""

    def rank(name: str) -> int:
        near = [i for i, first in enumerate(FIRST) if f"{name}/".startswith(f"{first}/")]
        return min(near, default=len(FIRST))

    names = sorted(figures, key=lambda name: (name not in bounds, rank(name), name))
    return [name for name in names if name in bounds or rank(name) < len(FIRST)][:MOST]


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve of blocks, one for the mean of each part of the values; "" for none."""
    values = [v for v in values if type(v) in (int, float) and math.isfinite(v)]
    if not values:
        return ""
    width = min(width, len(values))
    edges = [len(values) * i // width for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)
