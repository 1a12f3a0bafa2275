"""Turns of the arms of ``bench_serve.py`` under a load, and what they come to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from serve_load import Outcome, ask, client, closed_loop, open_loop, quantiles

from waltzjax.support.console import Progress


class Arm(NamedTuple):
    name: str
    url: str
    model: str
    prepare: Callable[[], None]  # before each of its turns


class Load(NamedTuple):
    """One turn's load: closed with ``clients``, or open at ``rate`` a second."""

    clients: int
    rate: float = 0.0

    @property
    def name(self) -> str:
        if self.rate:
            return f"{self.rate:g}/s"
        return f"{self.clients} client{'s' * (self.clients > 1)}"


class Turn(NamedTuple):
    outcomes: Sequence[Outcome]
    seconds: float

    def answered(self) -> list[Outcome]:
        """Those with a whole answer: a refused request is quick, and no throughput."""
        return [o for o in self.outcomes if not o.fault]

    def per_s(self) -> float:
        return len(self.answered()) / self.seconds


async def run_turn(arm: Arm, load: Load, prompts: Sequence[str], seed: int) -> Turn:
    """All of ``prompts`` once."""
    connections = load.clients or len(prompts)
    async with client(connections) as http:
        send = partial(ask, http, arm.url, arm.model)
        begun = time.perf_counter()
        if load.rate:
            outcomes = await open_loop(send, prompts, load.rate, seed)
        else:
            outcomes = await closed_loop(send, prompts, load.clients)
        return Turn(outcomes, time.perf_counter() - begun)


def timing(outcomes: Sequence[Outcome], name: str) -> list[float]:
    """A timing of the extension field, in seconds, of those that have it."""
    reports = [o.report for o in outcomes if o.report]
    return [r["timings_ms"][name] / 1e3 for r in reports if name in r.get("timings_ms", {})]


def times(answered: Sequence[Outcome]) -> dict[str, Any]:
    """How many answers there are, and quantiles of their times."""
    return {
        "n": len(answered),
        "first_ms": quantiles([o.first_s for o in answered if o.first_s is not None]),
        "total_ms": quantiles([o.total_s for o in answered]),
        "added_ms": quantiles(timing(answered, "added")),
    }


def cell(turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of an arm under a load."""
    answered = [o for turn in turns for o in turn.answered()]
    outcomes = [o for turn in turns for o in turn.outcomes]
    return {
        **times(answered),
        "distinct_prompts": len({o.prompt for o in outcomes}),
        "faults": dict(sorted(Counter(o.fault for o in outcomes if o.fault).items())),
        "unreviewed": sum(map(unreviewed, answered)),
        "requests_per_s": [round(t.per_s(), 2) for t in turns],
        "tokens_per_s": [round(sum(o.tokens for o in t.answered()) / t.seconds, 1) for t in turns],
    }


def unreviewed(outcome: Outcome) -> bool:
    """True if a part of the guard failed, as where a review is no JSON."""
    return bool(outcome.report and outcome.report.get("failure"))


def split(turns: Sequence[Turn]) -> dict[str, list[Outcome]]:
    """The answers by what their reports say: "triggered", "untriggered"; those whose review failed
    are in neither. Empty where none triggered."""
    reviewed = [o for t in turns for o in t.answered() if o.report and not unreviewed(o)]
    sets: dict[str, list[Outcome]] = {"untriggered": [], "triggered": []}
    for outcome in reviewed:
        sets["triggered" if outcome.report["triggered"] else "untriggered"].append(outcome)
    return sets if sets["triggered"] else {}


def against(baseline: Sequence[Turn], other: Sequence[Turn]) -> dict[str, Any]:
    """The cost of ``other``, seen from outside: the median over the rounds of the quotient of
    throughputs, and the differences of the quantiles of total times."""
    ratio = [b.per_s() / a.per_s() for a, b in zip(baseline, other, strict=True) if a.per_s()]
    before, after = (
        quantiles([o.total_s for turn in turns for o in turn.answered()])
        for turns in (baseline, other)
    )
    if not ratio or not before or not after:
        return {}
    return {
        "throughput_ratio": round(float(np.median(ratio)), 3),
        "throughput_ratio_range": [round(min(ratio), 3), round(max(ratio), 3)],
        "outside_added_ms": {name: round(after[name] - before[name], 2) for name in after},
    }


def measure(
    arms: Sequence[Arm], loads: Sequence[Load], prompts: Iterator[str], requests: int,
    rounds: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Records for each load and arm: of all prompts, and of those that triggered the guard and
    those that did not. Each turn takes ``requests`` prompts that no turn had before."""
    records, done = [], 0
    with Progress(len(loads) * rounds, "load", unit="round") as progress:
        for load in loads:
            turns: dict[str, list[Turn]] = {arm.name: [] for arm in arms}
            for number in range(rounds):
                for arm in arms if number % 2 == 0 else reversed(arms):
                    fresh = [*itertools.islice(prompts, requests)]
                    arm.prepare()
                    turns[arm.name].append(asyncio.run(run_turn(arm, load, fresh, seed + number)))
                done += 1
                progress.update(done, load=load.name)
            for name, those in turns.items():
                of_arm = {"arm": name, "load": load.name, **load._asdict()}
                cost = against(turns[arms[0].name], those) if name != arms[0].name else {}
                records.append({**of_arm, "prompts": "all", **cell(those), **cost})
                records += [
                    {**of_arm, "prompts": kind, **times(outcomes)}
                    for kind, outcomes in split(those).items()
                ]
    return records
