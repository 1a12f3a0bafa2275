"""The results, tables and report that a run on maths leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.files import read_evaluation, validations
from waltzjax.metrics.records import read_metrics
from waltzjax.report.measures import maths_measures
from waltzjax.report.run import write_maths_report
from waltzjax.rlvr.predictions import PREDICTIONS
from waltzjax.rlvr.rates import difference_intervals
from waltzjax.rlvr.side_by_side import examples, side_by_side
from waltzjax.run.results import BASE, figure, say_measures, write_results
from waltzjax.support import console
from waltzjax.types import Group

AFTER = "trained"


def collect(
    config: ConfigDict,
    workdir: Path,
    outcome: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
) -> dict[str, Any]:
    """The trained policy's result, with those before it under ``base`` and ``STAGE_STEP``; beside
    the base's, ``interval``: of the change of accuracy, 95 %, paired by problem; and what
    ``outcome`` makes of the run's metrics."""
    [name] = config.stages
    metrics = read_metrics(workdir / "metrics.jsonl")
    *earlier, (_, _, last) = validations(workdir, metrics)
    before_last = {f"{name}_{step}" if step else BASE: result for _, step, result in earlier}
    results = {**last, **before_last}
    if BASE in results:
        before, after = (_groups(workdir, n) for n in (BASE, name))
        results["interval"] = difference_intervals(before, after, seed=config.seed)["accuracy"]
    return results | outcome(metrics)


def _groups(workdir: Path, name: str) -> list[Group]:
    """The answered problems of one of the run's evaluations."""
    return read_evaluation(workdir / f"evaluations/{name}.json", PREDICTIONS)[0]


def write(
    config: ConfigDict,
    workdir: Path,
    method: str,
    note: Callable[[Mapping[str, Any]], str],
    results: dict[str, Any],
    seconds: float,
) -> None:
    """Write the result files and the report, and print the tables; ``method`` is how the policy
    learned, ``note(results)`` what else people are told."""
    metrics = read_metrics(workdir / "metrics.jsonl")
    write_results(config, workdir, results, metrics, seconds)
    [name] = config.stages
    after = _groups(workdir, name)
    before = _groups(workdir, BASE) if BASE in results else after
    names = (BASE, AFTER)
    with console.phase("writing the report"):
        write_maths_report(
            workdir / "report.html",
            title=f"{method}, seed {config.seed}",
            note=note(results),
            config_text=as_text(config),
            metrics=metrics,
            results=results,
            validations=validations(workdir, metrics),
            examples={
                title: side_by_side(pair, names) for title, pair in examples(before, after).items()
            },
        )
    show(results)
    if BASE in results:
        low, high = results["interval"]
        console.say(
            f"\naccuracy {results['accuracy'] - results[BASE]['accuracy']:+.2f} points "
            f"(95 % interval {low:.2f} to {high:.2f}, paired by problem)"
        )
    if words := note(results):
        console.say(words)
    console.say(f"done in {seconds:.0f} s; open {workdir / 'report.html'}")


def show(results: Mapping[str, Any], label: str = AFTER) -> None:
    """Tables of a result, beside the base's if that is in it: measures, by subject, by level."""
    columns = {name: results[name] for name in (BASE,) if name in results} | {label: results}
    n, k = results["n"], results["samples"]
    title = f"{n} validation problems" + (f", {k} answers to each" if k > 1 else "")
    say_measures(title, maths_measures(k), columns)
    for part in ("subjects", "levels"):
        rows = [
            [name, *(figure(c[part][name]["accuracy"]) for c in columns.values()), row["n"]]
            for name, row in results[part].items()
        ]
        if rows:
            header = [f"{part[:-1]}, right in %", *columns, "problems"]
            console.say("\n" + console.table("", header, rows))
