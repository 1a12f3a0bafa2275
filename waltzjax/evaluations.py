"""Where an evaluation lies, of prompts or of maths problems: beside a result, or in a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax import predictions
from waltzjax.data.tables import Row
from waltzjax.transcripts import SUFFIX, episodes_of, read_transcripts
from waltzjax.types import Episode, Group


def read_evaluation(path: Path) -> list[Episode]:
    """The scored episodes of an evaluation.

    ``path`` is a result of ``waltzjax.evaluate`` or a row of ``scripts/reproduce_table.py`` with
    its transcripts beside it, a file of a run's ``evaluations``, or a run's directory: the
    evaluation after its last stage.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or it is not whole.
    """
    path = _last(path) if path.is_dir() else path
    found: Any = _object(path)
    if "transcripts" in found:
        values, found = found["transcripts"], found.get("result")
        if type(values) is not list or type(found) is not dict:
            raise ValueError(f"{path}: no evaluation; wanted are 'result' and 'transcripts'")
        rows = [Row(f"{path}: transcript {i}", value) for i, value in enumerate(values, start=1)]
        episodes = episodes_of(path, rows)
    else:
        beside = path.with_suffix(SUFFIX)
        if not beside.is_file():
            raise FileNotFoundError(
                f"{path}: no transcripts beside it ({beside.name}); give a result of "
                "waltzjax.evaluate, a run's directory or a file of its evaluations/"
            )
        episodes = read_transcripts(beside)
        found = _rates(found)
    if found.get("n") != len(episodes):
        raise ValueError(
            f"{path}: a result of {found.get('n')} prompts, but {len(episodes)} transcripts; they "
            "are not whole, or of two evaluations: evaluate again"
        )
    return episodes


def read_result(path: Path) -> dict[str, Any]:
    """The result that ``read_evaluation`` reads the episodes of."""
    found = _object(_last(path) if path.is_dir() else path)
    return _rates(found)


def read_maths(path: Path) -> tuple[list[Group], dict[str, Any]]:
    """The answered problems of an evaluation, and its result; {}: there is none beside them.

    ``path`` is a run's directory (the evaluation after its last stage), a file of its
    ``evaluations``, a result with its predictions beside it, or a file of predictions.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or it is not whole.
    """
    if path.suffix == ".jsonl":
        return predictions.read_predictions(path), {}
    path = _last(path) if path.is_dir() else path
    found, beside = _object(path), path.with_suffix(predictions.SUFFIX)
    result = _rates(found)
    if type(found.get("predictions")) is list:
        values = enumerate(found["predictions"], start=1)
        groups = predictions.groups_of(path, [Row(f"{path}: prediction {i}", v) for i, v in values])
    elif beside.is_file():
        groups = predictions.read_predictions(beside)
    else:
        raise FileNotFoundError(
            f"{path}: no predictions in it, nor beside it ({beside.name}); give a run's directory, "
            "a file of its evaluations/, or a file of predictions (.jsonl)"
        )
    if result.get("n") != len(groups):
        raise ValueError(
            f"{path}: a result of {result.get('n')} problems, but {len(groups)} predictions; they "
            "are not whole, or of two evaluations: evaluate again"
        )
    return groups, result


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
