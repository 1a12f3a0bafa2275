"""Answered maths problems as JSON: what stands beside an evaluation's rates, and is read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.fields import Kinds, checked, records
from waltzjax.data.tables import Row, read_objects
from waltzjax.evaluation.files import _last, _object, _rates
from waltzjax.support.files import write_text
from waltzjax.types import Attempt, Completion, Group, Problem


def read_maths(path: Path) -> tuple[list[Group], dict[str, Any]]:
    """The answered problems of an evaluation, and its result; {}: there is none beside them.

    ``path`` is a run's directory (the evaluation after its last stage), a file of its
    ``evaluations``, a result with its predictions beside it, or a file of predictions.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or it is not whole.
    """
    if path.suffix == ".jsonl":
        return read_predictions(path), {}
    path = _last(path) if path.is_dir() else path
    found, beside = _object(path), path.with_suffix(SUFFIX)
    result = _rates(found)
    if type(found.get("predictions")) is list:
        values = enumerate(found["predictions"], start=1)
        groups = groups_of(path, [Row(f"{path}: prediction {i}", v) for i, v in values])
    elif beside.is_file():
        groups = read_predictions(beside)
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


SUFFIX = ".predictions.jsonl"  # instead of a result's .json
UNKNOWN = -1  # stands for each token of a sample that was read back: of them only how many is kept

_PREDICTION: Kinds = {
    "id": (int,), "problem": (str,), "answer": (str,), "subject": (str,), "level": (str,),
    "samples": (list,),
}  # fmt: skip
_SAMPLE: Kinds = {
    "text": (str,), "finish_reason": (str,), "tokens": (int,), "right": (bool,),
    "parsed": (bool,), "timed_out": (bool,), "signals": (dict,),
}  # fmt: skip


def prediction(group: Group) -> dict[str, Any]:
    """An answered problem as plain JSON values; of tokens their number, thoughts for people."""
    p = group.problem
    return {
        "id": p.id, "problem": p.text, "answer": p.answer, "subject": p.subject, "level": p.level,
        "samples": [
            {
                "text": a.completion.text, "finish_reason": a.completion.finish_reason,
                "tokens": len(a.completion.token_ids), "right": a.right, "parsed": a.parsed,
                "timed_out": a.timed_out, "signals": dict(a.signals),
                **({"thought": a.completion.thought} if a.completion.thought else {}),
            }
            for a in group.attempts
        ],
    }  # fmt: skip


def write_predictions(path: Path, groups: Sequence[Group]) -> None:
    """One ``prediction`` a line; the file is whole or not there."""
    write_text(path, "".join(json.dumps(prediction(g)) + "\n" for g in groups))


def read_predictions(path: Path) -> list[Group]:
    """The answered problems of a file that ``write_predictions`` wrote: see ``group_of``.

    Raises DatasetError with every bad line, and FileNotFoundError.
    """
    return groups_of(path, read_objects(path))


def groups_of(path: Path, rows: Iterable[Row]) -> list[Group]:
    """Each row's fields are a ``prediction``. Raises DatasetError with every one that is not."""
    return records(path, rows, group_of, "prediction")


def group_of(value: object) -> Group:
    """The answered problem of a ``prediction``: all that rates are made of, without the prompt's
    tokens and the log-probabilities; as many tokens as there were, each ``UNKNOWN``. Unknown keys
    are ignored."""
    p = checked(value, _PREDICTION, "")
    if not p["samples"]:
        raise ValueError("no samples")
    attempts = [_attempt(s, f"sample {i}: ") for i, s in enumerate(p["samples"], start=1)]
    problem = Problem(p["id"], p["problem"], p["answer"], p["subject"], p["level"])
    return Group(problem, tuple(attempts))


def _attempt(value: object, where: str) -> Attempt:
    s = checked(value, _SAMPLE, where)
    signals = checked(
        s["signals"], {"verify": (int, float), **dict.fromkeys(s["signals"], (int, float))},
        f"{where}signals: ",
    )  # fmt: skip
    if s["tokens"] < 0:
        raise ValueError(f"{where}tokens: got {s['tokens']}, wanted 0 or more")
    said = Completion((), (UNKNOWN,) * s["tokens"], (), s["text"], s["finish_reason"])
    attempt = Attempt(said, signals, s["parsed"], s["timed_out"])
    if attempt.right != s["right"]:
        raise ValueError(
            f"{where}right: got {s['right']}, but its signal verify is {signals['verify']}"
        )
    return attempt
