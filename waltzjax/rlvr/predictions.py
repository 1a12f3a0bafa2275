"""Answered maths problems as JSON: what stands beside an evaluation's rates, and is read back."""

from __future__ import annotations

from typing import Any

from waltzjax.data.fields import Kinds, checked
from waltzjax.evaluation.files import Form
from waltzjax.types import Attempt, Completion, Group, Problem

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
        "id": p.id,
        "problem": p.text,
        "answer": p.answer,
        "subject": p.subject,
        "level": p.level,
        "samples": [
            {
                "text": a.completion.text,
                "finish_reason": a.completion.finish_reason,
                "tokens": len(a.completion.token_ids),
                "right": a.right,
                "parsed": a.parsed,
                "timed_out": a.timed_out,
                "signals": dict(a.signals),
                **({"thought": a.completion.thought} if a.completion.thought else {}),
            }
            for a in group.attempts
        ],
    }


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
        s["signals"],
        {"verify": (int, float), **dict.fromkeys(s["signals"], (int, float))},
        f"{where}signals: ",
    )
    if s["tokens"] < 0:
        raise ValueError(f"{where}tokens: got {s['tokens']}, wanted 0 or more")
    completion = Completion((), (UNKNOWN,) * s["tokens"], (), s["text"], s["finish_reason"])
    attempt = Attempt(completion, signals, s["parsed"], s["timed_out"])
    if attempt.right != s["right"]:
        raise ValueError(
            f"{where}right: got {s['right']}, but its signal verify is {signals['verify']}"
        )
    return attempt


PREDICTIONS = Form("predictions", "problems", prediction, group_of)
