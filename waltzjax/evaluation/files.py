"""Where an evaluation lies, of prompts or of maths problems: beside a result, or in a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read_result(path: Path) -> dict[str, Any]:
    """The result that ``read_evaluation`` reads the episodes of."""
    found = _object(_last(path) if path.is_dir() else path)
    return _rates(found)


def validations(
    workdir: Path, metrics: Sequence[Mapping[str, Any]]
) -> list[tuple[str, int, dict[str, Any]]]:
    """The results of a run's evaluations as (stage, step, result), in order; the base's are of step
    0 of the first stage. ``metrics``: its records, which say where a stage ended; an evaluation of
    a stage that they do not know is left out."""
    ends: dict[str, int] = {}
    for record in metrics:
        ends[record["stage"]] = max(record["step"], ends.get(record["stage"], 0))
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for path in sorted((workdir / "evaluations").glob("*.json")):
        numbered = re.fullmatch(r"(.+)_(\d+)", path.stem)
        if path.stem == "base" and ends:
            place = next(iter(ends)), 0
        elif path.stem in ends:
            place = path.stem, ends[path.stem]
        elif numbered and numbered[1] in ends:
            place = numbered[1], int(numbered[2])
        else:
            continue
        found[place] = _rates(_object(path))
    order = [*ends]
    return [
        (*place, found[place]) for place in sorted(found, key=lambda p: (order.index(p[0]), p[1]))
    ]


def _rates(found: dict[str, Any]) -> dict[str, Any]:
    """The result alone: a run's evaluations and a table's rows hold it beside other things."""
    rates = found.get("result", found)
    return rates if type(rates) is dict else {}


def _last(workdir: Path) -> Path:
    record, evaluations = workdir / "config.json", workdir / "evaluations"
    if not record.is_file():
        raise FileNotFoundError(f"{workdir}: not a run's directory, it has no config.json")
    stages = _object(record).get("stages")
    if not stages:
        raise ValueError(f"{record}: not a run's config, it has no 'stages'")
    last = evaluations / f"{stages[-1]}.json"
    if not last.is_file():
        there = ", ".join(sorted(str(p) for p in evaluations.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"{workdir}: no evaluations/{last.name}, the run has not come to its end; "
            f"give one that is there by its name: {there}"
        )
    return last


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if type(value) is not dict:
        raise ValueError(f"{path}: not a JSON object but {type(value).__name__}")
    return value
