"""Maths problems: JSON Lines of a text under ``problem`` or ``question``, and its ``answer``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from waltzjax.data.fields import one_text
from waltzjax.data.tables import read_objects
from waltzjax.data.text import has_lone_surrogate, normalised
from waltzjax.support.errors import dataset_error
from waltzjax.support.files import write_text
from waltzjax.types import Problem

TEXTS = ("problem", "question")
# GSM8K's answers are worked solutions, the last line of which is the label.
_SOLUTION = re.compile(r"^####(.*)\Z", re.MULTILINE | re.DOTALL)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
# Places in a normalised text where a sentence ends, or an instruction begins behind a formula.
_SENTENCES = re.compile(r"(?<=[.!?:]) | (?=let['\u2019]s think|please )")
_HOW_TO_ANSWER = re.compile(
    r"\\boxed|step[ -]by[ -]step|\b(?:final|your) (?:answer|response)\b|^answer with\b"
    r"|\banswer to the (?:problem|question)\b|^[/\\](?:no_?)?think\b"
)
# Marks without which a problem is the same: signs around formulas, names of its parts, its end.
_SIGNS = re.compile(
    r"\$|\\[()\[\]]|[\u200b-\u200d\u2060\ufeff]|^(?:question|problem|q)\s*:|\b(?:answer|solution|a)\s*:$"
)


def read_problems(path: Path) -> list[Problem]:
    """The problems of one file, in order; ``id`` is a line's place, from 0. Other keys than the
    texts, ``answer``, ``subject`` and ``level`` are ignored.

    A problem may be there several times, and then weighs as much; not with two labels.

    Raises DatasetError with every bad line (the text shows the first 20 and the total; the
    attribute ``problems`` has all), and FileNotFoundError.
    """
    problems: list[Problem] = []
    bad: list[str] = []
    labelled: dict[str, tuple[str, str]] = {}  # text -> (label, where)
    for number, row in enumerate(read_objects(path)):
        try:
            if row.problem:
                raise ValueError(row.problem)
            problem = _problem(number, row.fields)
            label, first = labelled.setdefault(problem.text, (problem.answer, row.where))
            if label != problem.answer:
                raise ValueError(
                    f"answer: got {problem.answer!r:.60}, but {first} has the same text with "
                    f"{label!r:.60}; keep one"
                )
            problems.append(problem)
        except ValueError as error:
            bad.append(f"{row.where}: {error}")
    if not problems and not bad:
        bad.append(f"{path}: the file is empty; it must hold at least one problem")
    if bad:
        raise dataset_error(path, [bad])
    return problems


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """The problems as ``read_problems`` reads them; the file is whole or not there."""
    lines = [
        {"problem": p.text, "answer": p.answer, "subject": p.subject, "level": p.level}
        for p in problems
    ]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def with_instruction(text: str, instruction: str) -> str:
    """``text``, then a space and ``instruction``, unless it ends with that already, as π1 does."""
    if not instruction.strip() or text.rstrip().endswith(instruction.strip()):
        return text
    return f"{text.rstrip()} {instruction.strip()}"


def bare(text: str, instruction: str = "") -> str:
    """The text that problems share where they differ only in the words on how to answer, in case,
    in width, in white space, or in the signs around formulas. These words are ``instruction``, and
    sentences that ask for a box, for steps, or for an answer of some form, as the common
    instructions do."""
    shown, words = (_SIGNS.sub("", normalised(x)).strip() for x in (text, instruction))
    sentences = _SENTENCES.split(shown.removesuffix(words).removeprefix(words))
    asked = [sentence for sentence in sentences if not _HOW_TO_ANSWER.search(sentence)]
    return "".join("".join(asked or sentences).split()) or "".join(shown.split())


def _problem(number: int, record: Mapping[str, Any]) -> Problem:
    """Raises ValueError with everything that is wrong with the record."""
    text, reasons = one_text(record, TEXTS)
    label = _label(record.get("answer"))
    if label is None:
        got = repr(record["answer"]) if "answer" in record else "none"
        reasons.append(
            f"answer: got {got:.60}, wanted a number, a text, or a solution ending in '#### label'"
        )
    for key in ("subject", "level"):
        if type(record.get(key)) not in (str, int, NoneType):
            reasons.append(f"{key}: got {record[key]!r:.60}, wanted a text, an integer or null")
    if reasons:
        raise ValueError("; ".join(reasons))
    extra = ("" if (v := record.get(key)) is None else str(v) for key in ("subject", "level"))
    return Problem(number, text, str(label), *extra)


def _label(answer: object) -> str | None:
    """The label in ``answer``; None: there is none in it."""
    if type(answer) is int or (type(answer) is float and math.isfinite(answer)):
        return str(answer)
    if type(answer) is not str or has_lone_surrogate(answer):
        return None
    if solution := _SOLUTION.search(answer):
        answer = _THOUSANDS.sub("", solution[1])
    return answer.strip() or None
