"""Where an evaluation lies, of prompts or of maths problems: beside a result, or in a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.data.fields import records
from waltzjax.data.tables import Row, read_objects
from waltzjax.support.files import write_text


class Form(NamedTuple):
    """How the items of a kind of evaluation, scored episodes or answered problems, are written.

    key: that of a run's evaluation which they stand under, beside its ``result``: "transcripts".
    unit: what an item is of: "prompts".
    plain: an item -> JSON values.
    item_of: such values -> the item; ValueError where they are none.
    """

    key: str
    unit: str
    plain: Callable[[Any], dict[str, Any]]
    item_of: Callable[[object], Any]

    def beside(self, result: Path, part: str = "") -> Path:
        """The file of the items of ``result``, a JSON file: of a ``part`` of them, "benign."."""
        return result.with_suffix(f".{part}{self.key}.jsonl")


def write_items(path: Path, form: Form, items: Sequence[Any]) -> None:
    """One item a line; the file is whole or not there."""
    write_text(path, "".join(json.dumps(form.plain(item)) + "\n" for item in items))


def read_items(path: Path, form: Form) -> list[Any]:
    """The items of a file that ``write_items`` wrote.

    Raises DatasetError with every bad line, and FileNotFoundError.
    """
    return records(path, read_objects(path), form.item_of, form.key[:-1])


def read_evaluation(path: Path, form: Form) -> tuple[list[Any], dict[str, Any]]:
    """The items of an evaluation, and its result; {}: there is none beside them.

    ``path`` is a run's directory (the evaluation after its last stage), a file of its
    ``evaluations``, a result or a row of ``scripts/reproduce_table.py`` with the items beside it,
    or a file of items (.jsonl).

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or it is not whole.
    """
    if path.suffix == ".jsonl":
        return read_items(path, form), {}
    path = _last(path) if path.is_dir() else path
    content, beside, what = _object(path), form.beside(path), form.key
    if type(content.get(what)) is list:
        values = enumerate(content[what], start=1)
        rows = [Row(f"{path}: {what[:-1]} {i}", value) for i, value in values]
        items = records(path, rows, form.item_of, what[:-1])
    elif beside.is_file():
        items = read_items(beside, form)
    else:
        raise FileNotFoundError(
            f"{path}: no {what} in it, nor beside it ({beside.name}); give a result of "
            "waltzjax.evaluate, a run's directory, a file of its evaluations/, or a file of "
            f"{what} (.jsonl)"
        )
    result = _rates(content)
    if result.get("n") != len(items):
        raise ValueError(
            f"{path}: a result of {result.get('n')} {form.unit}, but {len(items)} {what}; they are "
            "not whole, or of two evaluations: evaluate again"
        )
    return items, result


def holds(path: Path, form: Form) -> bool:
    """True if items of this form lie where ``read_evaluation`` looks for them.

    Raises:
      FileNotFoundError, ValueError: there is no such file, or it is no evaluation.
    """
    if path.suffix != ".jsonl":
        path = _last(path) if path.is_dir() else path
        return form.key in _object(path) or form.beside(path).is_file()
    try:
        form.item_of(next((row.fields for row in read_objects(path)), None))
    except ValueError:
        return False
    return True


def validations(
    workdir: Path, metrics: Sequence[Mapping[str, Any]]
) -> list[tuple[str, int, dict[str, Any]]]:
    """The results of a run's evaluations as (stage, step, result), in order; the base's are of step
    0 of the first stage. ``metrics``: its records, which say where a stage ended; an evaluation of
    a stage that they do not know is left out."""
    ends: dict[str, int] = {}
    for record in metrics:
        ends[record["stage"]] = max(record["step"], ends.get(record["stage"], 0))
    results: dict[tuple[str, int], dict[str, Any]] = {}
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
        results[place] = _rates(_object(path))
    order = [*ends]
    return [
        (*place, results[place])
        for place in sorted(results, key=lambda p: (order.index(p[0]), p[1]))
    ]


def _rates(content: dict[str, Any]) -> dict[str, Any]:
    """The result alone: a run's evaluations and a table's rows hold it beside other things."""
    rates = content.get("result", content)
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
