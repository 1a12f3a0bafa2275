"""What a run on maths leaves behind: results, tables, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.config import DPO
from waltzjax.dpo_outcome import dpo_outcome, told
from waltzjax.evaluations import read_maths, validations
from waltzjax.files import write_json
from waltzjax.maths_pairs import examples, side_by_side
from waltzjax.report.maths_run import write_maths_report
from waltzjax.report.measures import MATHS, number
from waltzjax.rewards.maths_rates import difference_intervals
from waltzjax.training.metrics import read_metrics, training_metrics

BASE = "base"  # the evaluation before any training
AFTER = "trained"


def collect(config: ConfigDict, workdir: Path, material: Sequence[Any]) -> dict[str, Any]:
    """The trained policy's result, with those before it under ``base`` and ``STAGE_STEP``; beside
    the base's, ``interval``: of the change of accuracy, 95 %, paired by problem. Of a run on
    preferences also what ``dpo_outcome`` says of them."""
    [name] = config.stages
    metrics = read_metrics(workdir / "metrics.jsonl")
    found = validations(workdir, metrics)
    *earlier, (_, _, last) = found
    results = {**last, **{f"{name}_{step}" if step else BASE: of for _, step, of in earlier}}
    if BASE in results:
        before, after = (read_maths(workdir / f"evaluations/{n}.json")[0] for n in (BASE, name))
        results["interval"] = difference_intervals(before, after, seed=config.seed)["accuracy"]
    return results | (dpo_outcome(config, material, metrics) if name == DPO else {})


def write(config: ConfigDict, workdir: Path, results: dict[str, Any], seconds: float) -> None:
    """Write the result files and the report, and print the tables."""
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
            title=f"{_method(config)}, seed {config.seed}",
            note=told(results) if name == DPO else "",
            config_text=config.to_yaml(),
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
    if name == DPO:
        console.say(told(results))
    console.say(f"done in {seconds:.0f} s; open {workdir / 'report.html'}")


def _method(config: ConfigDict) -> str:
    [name] = config.stages
    return f"DPO, {config.dpo.loss}" if name == DPO else f"RLVR, {config.rl.algorithm}"


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
