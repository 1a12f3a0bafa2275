"""Where an evaluation's scored episodes lie: beside a result, or in a run's directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from waltzjax.data.tables import Row
from waltzjax.transcripts import SUFFIX, episodes_of, read_transcripts
from waltzjax.types import Episode


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
