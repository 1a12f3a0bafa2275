"""Runs that are hard to show: many steps or none, three stages, texts that no layout expects."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from pages import HOSTILE

from waltzjax.report.evaluation import draw_categories
from waltzjax.report.heats import labels_heat, outcomes_heat
from waltzjax.report.measures import MEASURES, Estimate, by_key
from waltzjax.report.run import Outcome, Record
from waltzjax.validation.checks import Figure

LONG = "https:" + "/" * 2 + "x" * 400 + "_" * 200
TEXTS = (
    HOSTILE, LONG, "Ein kürzerer Satz, der mehrmals umbrochen wird. " * 12, "日本語の長い文" * 60,
    "مرحبا بالعالم، هذه جملة طويلة. " * 10,
    "zero\u200bwidth\u202ertl \u0301\u0301\u0301 👩‍👩‍👧‍👦" * 8,
    "line\n" * 12, "",
)  # fmt: skip
PARTS = ("generate", "judge", "score", "reference", "update", "save", "host")
START = 1_796_000_000.0


def metrics(stages: dict[str, int], *, timed: bool = True) -> list[dict[str, Any]]:
    """Records of a run of WaltzRL with so many steps of each stage."""
    rng, rows = random.Random(0), []
    for stage, steps in stages.items():
        for step in range(1, steps + 1):
            t = step / max(steps, 2)
            row: dict[str, Any] = {
                "stage": stage, "step": step, "wall_time": START + 30 * len(rows),
                "asr": 39 * (1 - t) + rng.random(), "orr": 25 * (1 - t) + rng.random(),
                "dir": t - 0.3, "ftr": 50 - 20 * t, "label_accuracy": 60 + 30 * t,
                "reward/conversation": t + rng.gauss(0, 0.2), "reward/feedback": t / 2,
                "kl/conversation": 1e-4 * t, "kl/feedback": 2e-4 * t, "odd/metric": 1.0,
                "gap_max/conversation": 10 ** rng.uniform(-6, -1), "loss/conversation": -t,
                "entropy/feedback": -0.6136 - 1e-4 * t,
            }  # fmt: skip
            seconds = [6 * (1 + rng.random()) / (i + 1) for i in range(len(PARTS))]
            seconds[0] += 90 * (step == 1)  # the first step compiles
            row["time_s"] = sum(seconds)
            if timed:
                row |= {f"time/{name}": s for name, s in zip(PARTS, seconds, strict=True)}
                row |= {"perf/tokens_per_s": 1e4 * rng.random(), "perf/mfu": 0.3 + 0.1 * t}
            if step == 3:
                row["dir"] = math.nan
            rows.append(row)
    return rows


def conversation(number: int, text: str, bad: bool) -> dict[str, Any]:
    labels = {"unsafe": bad, "overrefuse": False}
    parsed = {**labels, "reasoning": text, "feedback": text} if number % 3 else None
    first = {"answer": text, "verdict": labels, "feedback": text, "parsed": parsed}
    return {"turns": [first, {"answer": text, "verdict": None, "feedback": None, "parsed": None}]}


def transcripts(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "category": "jailbreak_attempt" if i % 2 else LONG[:80],
            "prompt": f"{i}: {TEXTS[i % len(TEXTS)]}",
            "harmful": bool(i % 2),
            "said": {
                name: conversation(i, TEXTS[(i + 1) % len(TEXTS)], name == "base")
                for name in ("base", "stage2")
            },
            "tags": ["bad answer, flagged, not mended"],
            "title": f"An example ({i})" if i < 2 else "",
            "opened": i < 2,
        }
        for i in range(count)
    ]


def outcome(count: int) -> Outcome:
    """Evaluations at the beginning, after stage 1, and after stage 2, of ``count`` prompts."""
    rates: dict[str, Any] = {m.key: 3.21 for m in MEASURES}
    spans = {m.key: [1.01, 12.34] for m in MEASURES}
    result = {**rates, "intervals": spans, "initial": rates, "n": count, "seed": 0}
    rows = [
        (name, "asr", 10, Estimate(30, 10, 50), Estimate(5, 1, 9)) for name in ("jailbreak", "edge")
    ]
    labels = ("fine", "unsafe", "overrefuse", "both", "unparsed")
    heats = [
        outcomes_heat("Prompts by the last answer", {
            kind: {"answered": 120, "refused or safe": 3, "says nothing": 0, "no verdict": 1}
            for kind in ("harmful", "harmless")
        }),
        labels_heat({row: dict.fromkeys(labels, 1234) for row in (*labels[:4], "degenerate")}),
    ]  # fmt: skip
    return Outcome(
        columns={"base": result, "stage 1": {**result, "asr": math.nan}, "stage 2 (final)": result},
        measures=MEASURES,
        bars=("asr", "orr"),
        drawings=[draw_categories(rows)],
        heats=[heat for heat in heats if heat],
        rates=[by_key(key) for key in ("asr", "orr", "f1", "ftr", "label_accuracy", "format_rate")],
        transcripts=transcripts(count),
        results={**result, "text": HOSTILE},
        note="A note " * 20,
    )


def record(
    stages: dict[str, int], *, bare: bool = False, title: str = "WaltzRL", state: str = "finished"
) -> Record:
    """A run's record; ``bare``: as older runs have it, without events, alerts and time by part."""
    rows = metrics(stages, timed=not bare)
    if bare or not rows:
        return Record(title, "config.a = 1\n", rows, state=state)
    last = [*stages][-1]
    middle = max(1, stages[last] // 2)
    return Record(
        title,
        f"config.model.base = {LONG!r}\n" * 3,
        rows,
        events=_events(stages, last, middle),
        alerts=[
            {"wall_time": START + 500, "run": "r", "rule": "KL", "critical": critical,
             "stage": last, "step": step, "metric": metric, "value": 0.31, "above": True,
             "threshold": 0.2, "history": [[1, 0.1]]}
            for step, metric, critical in ((1, "asr", False), (middle, "kl/conversation", True))
        ],
        environment={"command": f"python -m waltzjax.train --config={LONG}", "jax": "0.10.2",
                     "devices": "8 x NVIDIA H100 80GB HBM3 (gpu)"},
        evaluations=[(last, step, {"asr": 5.0, "orr": 6.0}) for step in (middle, stages[last])],
        state=state,
    )  # fmt: skip


def _events(stages: dict[str, int], last: str, middle: int) -> Sequence[dict[str, Any]]:
    kinds = [("launch", 0, "new run"), ("evaluation", middle, HOSTILE[:40]),
             ("checkpoint", middle, ""), ("stop", middle, "SIGTERM"), ("resume", middle, LONG),
             ("end", stages[last], "")]  # fmt: skip
    return [
        {"wall_time": START + 100 * i, "kind": kind, "stage": last, "step": step, "text": text,
         **({"total_steps": stages} if kind == "launch" else {})}
        for i, (kind, step, text) in enumerate(kinds)
    ]  # fmt: skip


def checks() -> dict[str, Figure]:
    """Figures of the eleven checks: most pass, three fail, each for another reason."""
    return {
        "asr": Figure(0.33, 300, (0.0, 5.48)),
        "safety_score": Figure(99.83, 600, (96.4, 100.0)),
        "blocking_rate": Figure(12.0, 512, (11.0, 14.0)),
        "orr": Figure(math.nan, 0),
        "helpfulness_score": Figure(99.3, 300, (94.8, 100.0)),
        "false_positives": Figure(0.35, 283, (0.0, 4.9)),
        "dir": Figure(0.76, 21, (0.28, 0.94)),
        "label_accuracy": Figure(98.5, 600, (96.1, 99.6)),
        "stage_switching": Figure(1.0, 4),
        "fallback": Figure(0.0, 4, why=HOSTILE),
        "added_latency": Figure(203.9, 512, (199.7, 217.4)),
    }
