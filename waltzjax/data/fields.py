"""Objects of known fields: what of JSON is a record, and why the rest is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from waltzjax.data.tables import Row
from waltzjax.data.text import broken_text
from waltzjax.support.errors import dataset_error

Kinds = Mapping[str, tuple[type, ...]]
Record = TypeVar("Record")


def records(
    path: Path, rows: Iterable[Row], parse: Callable[[object], Record], what: str
) -> list[Record]:
    """``parse`` each row's fields, which raises ValueError where they are no ``what``.

    Raises DatasetError with every row that is none, or if there are no rows.
    """
    parsed, problems = [], []
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            parsed.append(parse(row.fields))
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
    if not parsed and not problems:
        problems.append(f"{path}: no {what} in it")
    if problems:
        raise dataset_error(path, [problems])
    return parsed


def checked(value: object, kinds: Kinds, where: str) -> dict[str, Any]:
    """The fields that ``kinds`` names, each of one of its types: True is no int.

    Raises ValueError with the first that is missing or another, after ``where``.
    """
    if type(value) is not dict:
        raise ValueError(f"{where}got {value!r:.60}, wanted an object of {', '.join(kinds)}")
    for name, allowed in kinds.items():
        if name not in value:
            raise ValueError(f"{where}no {name!r}")
        if type(value[name]) not in allowed:
            wanted = " or ".join("null" if kind is NoneType else kind.__name__ for kind in allowed)
            raise ValueError(f"{where}{name}: got {value[name]!r:.60}, wanted {wanted}")
    return {name: value[name] for name in kinds}


def one_text(record: Mapping[str, Any], names: Sequence[str]) -> tuple[str, list[str]]:
    """The text that a record has under one of ``names``, and why it has none: no such key, or
    several, or what no model can be shown."""
    named = [name for name in names if name in record]
    reasons = [f"{name}: {why}" for name in named if (why := broken_text(record[name]))]
    if len(named) != 1:
        got = " and ".join(named) or ", ".join(record) or "no key"
        reasons.insert(0, f"got {got}: wanted is exactly one of {' and '.join(names)}")
    return ("" if reasons else record[named[0]]), reasons
