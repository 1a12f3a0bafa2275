"""What a run on maths leaves behind: results, tables, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.files import validations
from waltzjax.report.measures import MATHS, number
from waltzjax.report.run import write_maths_report
from waltzjax.rlvr.predictions import read_maths
from waltzjax.rlvr.rates import difference_intervals
from waltzjax.rlvr.side_by_side import examples, side_by_side
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.training.metrics import read_metrics, training_metrics

BASE = "base"  # the evaluation before any training
AFTER = "trained"


def collect(
    config: ConfigDict, workdir: Path,
    outcome: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """The trained policy's result, with those before it under ``base`` and ``STAGE_STEP``; beside
    the base's, ``interval``: of the change of accuracy, 95 %, paired by problem; and what
    ``outcome`` makes of the run's metrics."""
    [name] = config.stages
    metrics = read_metrics(workdir / "metrics.jsonl")
    found = validations(workdir, metrics)
    *earlier, (_, _, last) = found
    results = {**last, **{f"{name}_{step}" if step else BASE: of for _, step, of in earlier}}
    if BASE in results:
        before, after = (read_maths(workdir / f"evaluations/{n}.json")[0] for n in (BASE, name))
        results["interval"] = difference_intervals(before, after, seed=config.seed)["accuracy"]
    return results | outcome(metrics)


def write(
    config: ConfigDict, workdir: Path, method: str, note: Callable[[Mapping[str, Any]], str],
    results: dict[str, Any], seconds: float,
) -> None:  # fmt: skip
    """Write the result files and the report, and print the tables; ``method`` is how the policy
    learned, ``note(results)`` what else people are told."""
    metrics = read_metrics(workdir / "metrics.jsonl")
    write_json(workdir / "final_validation_results.json", results)
    write_json(
        workdir / "training_metrics.json",
        training_metrics(config.stages, config.seed, metrics, seconds),
    )
    evaluations = workdir / "evaluations"
    [name] = config.stages
    after, _ = read_maths(evaluations / f"{name}.json")
    before = read_maths(evaluations / f"{BASE}.json")[0] if BASE in results else after
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
    rows = [
        [
            f"{m.name}, {m.unit}" if m.unit else m.name,
            *(_text(c.get(m.key)) for c in columns.values()),
        ]
        for m in MATHS
        if m.key != "pass_at_k" or results["samples"] > 1  # of one it is the accuracy
    ]
    n, k = results["n"], results["samples"]
    title = f"{n} validation problems" + (f", {k} answers to each" if k > 1 else "")
    console.say(console.table(title, ["measure", *columns], rows))
    for part in ("subjects", "levels"):
        rows = [
            [name, *(_text(c[part][name]["accuracy"]) for c in columns.values()), row["n"]]
            for name, row in results[part].items()
        ]
        if rows:
            header = [f"{part[:-1]}, right in %", *columns, "problems"]
            console.say("\n" + console.table("", header, rows))


def _text(value: object) -> str:
    found = number(value)
    return "-" if found != found else f"{found:.2f}"
