"""The results, tables and report that a run on maths leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.files import read_evaluation, validations
from waltzjax.evaluation.record import read_record
from waltzjax.metrics.records import read_metrics
from waltzjax.report.measures import MATHS, maths_measures, number
from waltzjax.report.run import Outcome, Table, write_report
from waltzjax.rlvr.predictions import PREDICTIONS
from waltzjax.rlvr.rates import difference_intervals
from waltzjax.rlvr.side_by_side import examples, side_by_side, solved
from waltzjax.run.results import BASE, figure, say_measures, write_results
from waltzjax.support import console
from waltzjax.types import Group

AFTER = "trained"
# Measures of the table of evaluations during a run.
RATES = ("accuracy", "format_rate", "reflect", "unparsed", "cut_off", "tokens")


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
    with console.phase("writing the report"):
        record = read_record(workdir, f"{method}, seed {config.seed}", as_text(config))
        page = outcome(results, before, after, note(results))
        write_report(workdir / "report.html", record, page)
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


def outcome(
    results: Mapping[str, Any], before: Sequence[Group], after: Sequence[Group], note: str = ""
) -> Outcome:
    """What evaluations of the same problems say: ``results`` are those of ``after``, with those of
    ``before`` under ``base`` if there are any."""
    columns = {"before": results[BASE]} if BASE in results else {}
    columns["after"] = results
    rates = [m for key in RATES for m in MATHS if m.key == key]
    tables = {
        heading: _parts(columns, key, heading[3:])
        for heading, key in (("By subject", "subjects"), ("By level", "levels"))
        if results.get(key)
    }
    return Outcome(
        columns=columns,
        measures=maths_measures(results.get("samples", 2)),
        over="problems",
        bars=("accuracy", "format_rate"),
        tables=tables,
        rates=rates,
        validated="accuracy",
        transcripts=answers(before, after, (BASE if BASE in results else AFTER, AFTER)),
        results=results,
        note=note,
    )


def _parts(columns: Mapping[str, Mapping[str, Any]], key: str, heading: str) -> Table:
    """Accuracy and format rate of each subject or level, by column."""
    header = [heading, "problems"]
    header += [f"{rate} {name}" for name in columns for rate in ("accuracy", "format rate")]
    rows = []
    for name, last in [*columns.values()][-1][key].items():
        parts = [column.get(key, {}).get(name, {}) for column in columns.values()]
        rates = [number(each.get(rate)) for each in parts for rate in ("accuracy", "format_rate")]
        rows.append((name, [last["n"], *rates]))
    return header, rows


def answers(
    before: Sequence[Group], after: Sequence[Group], names: tuple[str, str]
) -> list[dict[str, Any]]:
    """All problems with an answer of either evaluation, by its name: examples first and opened,
    then those that changed, the wrong ones, and the others."""
    chosen = {pair[1].problem.id: title for title, pair in examples(before, after).items()}
    pairs = []
    for pair in zip(before, after, strict=True):
        was, now = map(solved, pair)
        title = chosen.get(pair[1].problem.id, "")
        tag = {(0, 1): "mended", (1, 0): "lost", (0, 0): "still wrong", (1, 1): "right"}[was, now]
        shown = side_by_side(pair, names) | {"tags": [tag], "title": title, "opened": bool(title)}
        pairs.append((not title, was == now, now, shown))
    return [shown for *_, shown in sorted(pairs, key=lambda p: p[:3])]


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
