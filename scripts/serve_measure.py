"""Turns of the arms of ``bench_serve.py`` under a load, and what they come to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import httpx
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
        """Those with an answer: a refused request is quick, and no throughput."""
        return [o for o in self.outcomes if o.status == httpx.codes.OK]

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


def cell(turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of an arm under a load."""
    answered = [o for turn in turns for o in turn.answered()]
    counts = Counter(str(o.status) for turn in turns for o in turn.outcomes)
    return {
        "n": len(answered),
        "statuses": dict(sorted(counts.items())),
        "requests_per_s": [round(t.per_s(), 2) for t in turns],
        "tokens_per_s": [round(sum(o.tokens for o in t.answered()) / t.seconds, 1) for t in turns],
        "first_ms": quantiles([o.first_s for o in answered if o.first_s is not None]),
        "total_ms": quantiles([o.total_s for o in answered]),
        "added_ms": quantiles(timing(answered, "added")),
    }


def against(baseline: Sequence[Turn], other: Sequence[Turn]) -> dict[str, Any]:
    """What ``other`` costs, seen from outside: the median over the rounds of the quotient of
    throughputs, and quantiles over the prompts of the difference of mean total times."""
    ratio = [b.per_s() / a.per_s() for a, b in zip(baseline, other, strict=True)]
    means = [_mean_totals(turns) for turns in (baseline, other)]
    differences = [means[1][p] - means[0][p] for p in means[0].keys() & means[1].keys()]
    return {
        "throughput_ratio": round(float(np.median(ratio)), 3),
        "throughput_ratio_range": [round(min(ratio), 3), round(max(ratio), 3)],
        "outside_added_ms": quantiles(differences),
    }


def _mean_totals(turns: Sequence[Turn]) -> dict[str, float]:
    """Prompt -> seconds."""
    totals: dict[str, list[float]] = {}
    for outcome in (o for turn in turns for o in turn.answered()):
        totals.setdefault(outcome.prompt, []).append(outcome.total_s)
    return {prompt: float(np.mean(values)) for prompt, values in totals.items()}


def measure(
    arms: Sequence[Arm], loads: Sequence[Load], sets: Mapping[str, Sequence[str]],
    rounds: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """A record for each set, load and arm."""
    records, done = [], 0
    with Progress(len(loads) * len(sets) * rounds, "load", unit="round") as progress:
        for load in loads:
            for set_name, prompts in sets.items():
                turns: dict[str, list[Turn]] = {arm.name: [] for arm in arms}
                for number in range(rounds):
                    for arm in arms if number % 2 == 0 else reversed(arms):
                        arm.prepare()
                        turn = asyncio.run(run_turn(arm, load, prompts, seed + number))
                        turns[arm.name].append(turn)
                    done += 1
                    progress.update(done, load=load.name, prompts=set_name)
                records += [
                    {
                        "arm": name,
                        "load": load.name,
                        **load._asdict(),
                        "prompts": set_name,
                        **cell(those),
                        **(against(turns[arms[0].name], those) if name != arms[0].name else {}),
                    }
                    for name, those in turns.items()
                ]
    return records
