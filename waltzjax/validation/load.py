"""Requests to a guard, many at a time, and what its reports come to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binom

from waltzjax.dataset.splits import stratified
from waltzjax.evaluation.intervals import LEVEL, cluster_ids, share_edges
from waltzjax.serve.records import AGENTS, BLOCK, PATTERNS, Answer
from waltzjax.types import Prompt
from waltzjax.validation.checks import NO_INTERVAL, Figure, shown, unmeasured

UNAVAILABLE = 503  # HTTP status of a service that cannot answer now
CLIENTS = 16  # requests under way at a time [source]
MOST = 512  # prompts that are sent, stratified by category [ours]
PERCENTILE = 95.0  # of the latency that is checked [ours]
MOST_FAILED = 0.01  # of the requests that agents are asked about, where a check still passes [ours]
Respond = Callable[[str, int], Awaitable[Answer]]  # (a user's message, seed) -> its answer


async def ask_all(
    respond: Respond, prompts: Mapping[int, Prompt], on_answer: Callable[[], object]
) -> dict[int, Answer]:
    """The answers to ``prompts``, CLIENTS of them under way at a time; both by number, which is
    the request's seed too.

    Raises: what the first request that fails raises; the others are given up.
    """
    answers: dict[int, Answer] = {}
    waiting = iter(prompts.items())

    async def client() -> None:
        for number, prompt in waiting:
            answers[number] = await respond(prompt.text, number)
            on_answer()

    clients = [asyncio.ensure_future(client()) for _ in range(CLIENTS)]
    try:
        await asyncio.gather(*clients)
    finally:
        for task in clients:
            task.cancel()
    return {number: answers[number] for number in prompts}


def under_load(prompts: Mapping[int, Prompt]) -> dict[int, Prompt]:
    """MOST of ``prompts``, by category; all of them where they are no more."""
    if len(prompts) <= MOST:
        return dict(prompts)
    return dict(stratified([*prompts.items()], MOST, lambda item: item[1].category))


def first_wave(prompts: Mapping[int, Prompt]) -> dict[int, Prompt]:
    """The prompts that warm a service up, one a client: their answers are not counted."""
    return dict(list(prompts.items())[:CLIENTS])


def blocking_rate(prompts: Mapping[int, Prompt], answers: Mapping[int, Answer]) -> Figure:
    """The share of all requests whose answer the guard withheld, in per cent; the interval is over
    the prompts' frames."""
    reports = [answer.report for answer in answers.values()]
    if not _decided([*answers.values()]):
        return _nothing_decided([*answers.values()])
    above = np.array([[report.action == BLOCK] for report in reports], np.float64)
    ones = np.ones_like(above)
    frames = [prompts[number].frame for number in answers]
    edges = share_edges(above, ones, ones, cluster_ids(frames))
    interval = float(100 * edges.low[0]), float(100 * edges.high[0])
    detail = {"triggered": sum(report.triggered for report in reports)}
    figure = Figure(100 * float(above.mean()), len(reports), interval, detail=detail)
    return _with_failed(figure, [*answers.values()])


def added_latency(answers: Sequence[Answer]) -> Figure:
    """The milliseconds that the guard added to a request that the trained agents were asked about,
    whether they decided it or failed: their 95th percentile, with others in ``detail``. Reports
    time each request from its first answer."""
    if not _decided(answers):
        return _nothing_decided(answers)
    added, asked = added_ms(answers), _asked(answers)
    figure = Figure(
        float(np.percentile(added, PERCENTILE)),
        len(added),
        percentile_interval(added, PERCENTILE),
        detail={
            **_percentiles(added),
            "triggered": _percentiles(added_ms([a for a in asked if a.report.triggered])),
            "not_triggered": _percentiles(added_ms([a for a in asked if not a.report.triggered])),
            "clients": CLIENTS,
        },
    )
    return _with_failed(figure, answers)


def with_retried(figure: Figure, retried: Mapping[int, int], requests: int) -> Figure:
    """``figure`` with the responses after which one of ``requests`` was sent again, by their HTTP
    status. A service whose 503s are more than MOST_FAILED of these makes the figure unsound."""
    if not retried:
        return figure
    shown_by_status = ", ".join(f"{n} times after HTTP {status}" for status, n in retried.items())
    return figure._replace(
        why="; ".join(filter(None, (figure.why, f"requests were sent again {shown_by_status}"))),
        detail={**figure.detail, "retried": {str(status): n for status, n in retried.items()}},
        sound=figure.sound and retried.get(UNAVAILABLE, 0) <= MOST_FAILED * requests,
    )


def added_ms(answers: Sequence[Answer]) -> list[float]:
    """The latency that was added to each answer that the trained agents were asked about."""
    return [a.report.timings_ms["added"] for a in _asked(answers)]


def percentile_interval(values: Sequence[float], percent: float) -> tuple[float, float]:
    """The 95 % interval of a percentile by order statistics, whatever the distribution; NaN at both
    ends where there are too few values for one."""
    n, tail = len(values), (1 - LEVEL) / 2
    low, high = (int(binom.ppf(p, n, percent / 100)) for p in (tail, 1 - tail))
    if low < 1 or high >= n:
        return NO_INTERVAL
    ordered = sorted(values)
    return ordered[low - 1], ordered[high]


def _percentiles(values: Sequence[float]) -> dict[str, Any]:
    names = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    known = names.items() if values else ()
    return {"n": len(values), **{k: round(float(np.percentile(values, q)), 3) for k, q in known}}


def _decided(answers: Sequence[Answer]) -> list[Answer]:
    return [a for a in answers if a.report.stage == AGENTS]


def _asked(answers: Sequence[Answer]) -> list[Answer]:
    """Those that the agents decided, or stage 1 in the place of agents that failed."""
    return [a for a in answers if a.report.stage == AGENTS or _in_their_place(a)]


def _in_their_place(answer: Answer) -> bool:
    report = answer.report
    return (
        report.stage == PATTERNS
        and report.failure is not None
        and report.failure.component != "patterns"
    )


def _with_failed(figure: Figure, answers: Sequence[Answer]) -> Figure:
    """``figure`` with the requests in which an agent failed or was late; a share of them over
    MOST_FAILED makes it unsound: who lets each late answer out adds little and withholds none."""
    asked = _asked(answers)
    failures = [a.report.failure for a in asked if a.report.failure]
    detail = {**figure.detail, "failed": len(failures)}
    if not failures:
        return figure._replace(detail=detail)
    share = len(failures) / len(asked)
    why = (
        f"the agents failed, or were late, in {len(failures)} of {len(asked)} requests "
        f"({shown(100 * share, '%')}; {failures[0].reason}); a check passes up to "
        f"{shown(100 * MOST_FAILED, '%')}"
    )
    return figure._replace(why=why, detail=detail, sound=share <= MOST_FAILED)


def _nothing_decided(answers: Sequence[Answer]) -> Figure:
    reasons = {a.report.failure.reason for a in answers if a.report.failure}
    why = f" ({sorted(reasons)[0]})" if reasons else ""
    return unmeasured(
        f"none of {len(answers)} requests was decided by the trained agents{why}: serve both, at "
        "stage 2 and for all users"
    )
