"""The result files that every run leaves at its end, and tables of its results on the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.metrics.events import EVENTS, read_events
from waltzjax.metrics.summary import training_metrics
from waltzjax.report.measures import Measure, number
from waltzjax.support import console
from waltzjax.support.files import write_json

BASE, START = "base", "start"  # evaluations before any training: of the base, of config.model.ROLE
RESULTS = "final_validation_results.json"


def write_results(
    config: ConfigDict,
    workdir: Path,
    results: Mapping[str, Any],
    metrics: Sequence[dict[str, Any]],
    seconds: float,
) -> None:
    """Write the result files; ``metrics``: the run's records, ``seconds``: of this launch."""
    write_json(workdir / RESULTS, {**results, **_added(workdir / RESULTS, results)})
    events = read_events(workdir / EVENTS)
    write_json(
        workdir / "training_metrics.json",
        training_metrics(config.stages, config.seed, metrics, events, seconds),
    )


def _added(path: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that other commands have added to these very results, as ``waltzjax.validation``
    adds its checks."""
    try:
        before = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    if type(before) is not dict:
        return {}
    own = {name: value for name, value in before.items() if name in results}
    if json.dumps(own, sort_keys=True) != json.dumps(results, sort_keys=True):
        return {}
    return {name: value for name, value in before.items() if name not in results}


def say_measures(
    title: str, measures: Sequence[Measure], columns: Mapping[str, Mapping[str, Any]]
) -> None:
    """A table of results, one a column, by its name."""
    rows = [
        [
            f"{m.name}, {m.unit}" if m.unit else m.name,
            *(figure(column.get(m.key)) for column in columns.values()),
        ]
        for m in measures
    ]
    console.say(console.table(title, ["measure", *columns], rows))


def figure(value: object) -> str:
    """A number of a table; "-": nothing was counted."""
    amount = number(value)
    return "-" if amount != amount else f"{amount:.2f}"
