"""Collected questions as JSON Lines: written one by one, read back, and mended after a kill."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from waltzjax.config.preferences import ARM_ROLES
from waltzjax.data.fields import Kinds, checked, records
from waltzjax.data.tables import read_objects
from waltzjax.preference.coherence import Scored
from waltzjax.support.errors import dataset_error
from waltzjax.types import Collected, Problem, Trajectory

FILE = "collected.jsonl"  # in a run's directory
ENDINGS = ("stop", "length")

_QUESTION: Kinds = {
    "id": (int,), "question": (str,), "answer": (str,), "subject": (str,), "level": (str,),
    "trajectories": (list,),
}  # fmt: skip
_TRAJECTORY: Kinds = {
    "arm_name": (str,), "role": (str,), "text": (str,), "answer": (str, NoneType),
    "correct": (bool,), "tokens": (int,), "logprob": (int, float), "finish_reason": (str,),
}  # fmt: skip


def record(question: Collected, scored: Scored) -> dict[str, Any]:
    """A question and all that was said to it as plain JSON values, with their scores."""
    p = question.problem
    return {
        "id": p.id,
        "question": p.text,
        "answer": p.answer,
        "subject": p.subject,
        "level": p.level,
        "scores": {"s_end": scored.s_end, "s_path": scored.s_path, "s_cf": scored.s_cf},
        "trajectories": [
            {
                "arm_name": t.arm,
                "role": t.role,
                "text": t.text,
                "answer": t.answer,
                "correct": t.correct,
                "tokens": t.tokens,
                "logprob": t.logprob,
                "finish_reason": t.finish_reason,
                "scores": quality._asdict(),
            }
            for t, quality in zip(question.trajectories, scored.trajectories, strict=True)
        ],
    }


def append_record(path: Path, value: Mapping[str, Any]) -> None:
    """Put a ``record`` at the end of the file; on return it is on disk."""
    line = json.dumps(value, allow_nan=False) + "\n"
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def drop_torn_line(path: Path) -> int:
    """Cut off what a kill left of a last line, if anything; how many bytes that was. A record that
    lacks only the end of its line is given that."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if _is_json(content[whole:]):
            file.write(b"\n")
            whole = len(content)
        else:
            file.truncate(whole)
        os.fsync(file.fileno())
    return len(content) - whole


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def read_collected(path: Path) -> list[Collected]:
    """The questions of a file of ``record``s, by id: whatever the order they ended in.

    Scores are for people, and are not read back; unknown keys are ignored. Raises DatasetError with
    every bad line, or if a question is there twice, and FileNotFoundError.
    """
    questions = records(path, read_objects(path), question_of, "question")
    times = Counter(question.problem.id for question in questions)
    if twice := [f"question {i} is there {n} times" for i, n in times.items() if n > 1]:
        raise dataset_error(path, [twice])
    return sorted(questions, key=lambda question: question.problem.id)


def question_of(value: object) -> Collected:
    """The question of a ``record``."""
    q = checked(value, _QUESTION, "")
    trajectories = tuple(
        _trajectory(t, f"trajectory {i}: ") for i, t in enumerate(q["trajectories"], start=1)
    )
    if not trajectories:
        raise ValueError("no trajectories")
    times = Counter(t.arm for t in trajectories)
    if twice := [arm for arm, n in times.items() if n > 1]:
        raise ValueError(f"trajectories: the arms {twice} are there twice")
    problem = Problem(q["id"], q["question"], q["answer"], q["subject"], q["level"])
    return Collected(problem, trajectories)


def _trajectory(value: object, where: str) -> Trajectory:
    t = checked(value, _TRAJECTORY, where)
    for name, allowed in (("role", ARM_ROLES), ("finish_reason", ENDINGS)):
        if t[name] not in allowed:
            raise ValueError(f"{where}{name}: got {t[name]!r}, wanted {' or '.join(allowed)}")
    if t["tokens"] < 0:
        raise ValueError(f"{where}tokens: got {t['tokens']}, wanted 0 or more")
    if not math.isfinite(t["logprob"]):
        raise ValueError(f"{where}logprob: got {t['logprob']}, wanted a finite number")
    if t["correct"] and t["answer"] is None:
        raise ValueError(f"{where}correct: got True, but its answer is null")
    return Trajectory(
        t["arm_name"],
        t["role"],
        t["text"],
        t["answer"],
        t["correct"],
        t["tokens"],
        float(t["logprob"]),
        t["finish_reason"],
    )
