"""What a run on maths leaves behind: results, tables, report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.config import RLVR
from waltzjax.files import write_json
from waltzjax.report.maths_run import write_maths_report
from waltzjax.training.metrics import read_metrics, training_metrics

BASE = "base"  # the evaluation before any training
SHOWN = {
    "accuracy": "right, %", "format_rate": "well-formed, %", "reflect": "checks its answer",
    "unparsed": "no answer to read, %", "cut_off": "cut off, %", "tokens": "tokens",
}  # fmt: skip


def collect(workdir: Path) -> dict[str, Any]:
    """The trained policy's result, with those before it under ``base`` and ``rlvr_STEP``."""
    last = _result(workdir / "evaluations" / f"{RLVR}.json")
    return {**last, **{name: _result(path) for name, path in earlier(workdir).items()}}


def earlier(workdir: Path) -> dict[str, Path]:
    """The evaluations before the last one by name, in the order of their steps."""
    found = {}
    for path in (workdir / "evaluations").glob("*.json"):
        match = re.fullmatch(rf"{RLVR}_(\d+)", path.stem)
        if path.stem == BASE or match:
            found[path.stem] = (int(match[1]) if match else -1, path)
    return {name: path for name, (_, path) in sorted(found.items(), key=lambda item: item[1][0])}


def write(config: ConfigDict, workdir: Path, results: dict[str, Any], seconds: float) -> None:
    """Write the result files and the report, and print the tables."""
    metrics = read_metrics(workdir / "metrics.jsonl")
    write_json(workdir / "final_validation_results.json", results)
    write_json(
        workdir / "training_metrics.json", training_metrics((RLVR,), config.seed, metrics, seconds)
    )
    with console.phase("writing the report"):
        write_maths_report(
            workdir / "report.html",
            title=f"RLVR, {config.rl.algorithm}, seed {config.seed}",
            config_text=config.to_yaml(),
            metrics=metrics,
            results=results,
            predictions=json.loads((workdir / "evaluations" / f"{RLVR}.json").read_text())[
                "predictions"
            ],
        )
    show(results)
    console.say(f"done in {seconds:.0f} s; open {workdir / 'report.html'}")


def show(results: Mapping[str, Any]) -> None:
    """Tables of a run's results: before and after, by subject, by level."""
    columns = {name: results[name] for name in results if name == BASE} | {"trained": results}
    rows = [[label, *(f"{of[key]:.2f}" for of in columns.values())] for key, label in SHOWN.items()]
    n, k = results["n"], results["samples"]
    title = f"{n} validation problems" + (f", mean of {k} answers" if k > 1 else "")
    console.say(console.table(title, ["measure", *columns], rows))
    for part in ("subjects", "levels"):
        rows = [
            [name, *(f"{of[part][name]['accuracy']:.1f}" for of in columns.values()), row["n"]]
            for name, row in results[part].items()
        ]
        if rows:
            header = [f"{part[:-1]}, right in %", *columns, "problems"]
            console.say("\n" + console.table("", header, rows))


def _result(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["result"]
