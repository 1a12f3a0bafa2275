"""Requests at a time, and the figures of their reports, against numbers worked by hand."""

import asyncio
import math

import numpy as np
import pytest

from waltzjax.serve.records import AGENTS, BLOCK, FLAG, PASS, PATTERNS, Answer, Failure, Report
from waltzjax.types import Prompt
from waltzjax.validation.checks import CHECKS, decide
from waltzjax.validation.load import (
    CLIENTS,
    added_latency,
    ask_all,
    blocking_rate,
    first_wave,
    percentile_interval,
)


def answer(added=1.0, *, stage=AGENTS, action=PASS, triggered=False, failure=None):
    report = Report(
        stage, action=action, triggered=triggered, failure=failure, timings_ms={"added": added}
    )
    return Answer("text", report, "stop", 1, 1)


def prompts(count, frames=1):
    return {i: Prompt(i, f"p{i}", False, "edge_case", f"f{i % frames}") for i in range(count)}


def numbered(answers):
    return dict(enumerate(answers))


def test_so_many_are_under_way_and_each_gets_its_own_answer():
    now, most, told = 0, 0, []

    async def respond(text, seed):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001 * (seed % 3))
        now -= 1
        return (text, seed)

    got = asyncio.run(ask_all(respond, prompts(50), lambda: told.append(1)))
    assert most == CLIENTS == 16 and len(told) == 50
    assert got == {i: (f"p{i}", i) for i in range(50)} and list(got) == list(range(50))
    assert list(first_wave(prompts(50))) == list(range(16))
    assert first_wave(prompts(3)) == prompts(3)


def test_the_first_failure_ends_all():
    asked = []

    async def respond(text, seed):
        asked.append(seed)
        await asyncio.sleep(0 if seed == 3 else 10)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(ask_all(respond, prompts(50), lambda: None))
    assert asked == list(range(CLIENTS))


def test_blocking_is_the_share_of_all_requests():
    answers = [answer(action=BLOCK), answer(action=FLAG), answer(stage=PATTERNS), answer()]
    figure = blocking_rate(prompts(4, frames=4), numbered(answers))
    assert (figure.value, figure.n) == (25.0, 4)
    # Clopper and Pearson: 1 of 4 is 0.63 to 80.59 %; a design effect may only widen it.
    low, high = figure.interval
    assert low <= 0.632 and high >= 80.58
    framed = blocking_rate(prompts(4, frames=1), numbered(answers)).interval
    assert framed[0] < low and framed[1] > high


def test_latency_by_hand():
    answers = [answer(float(ms), triggered=ms > 90) for ms in range(1, 101)]
    figure = added_latency(answers)
    assert figure.value == pytest.approx(95.05) and figure.n == 100
    assert figure.detail["p50"] == pytest.approx(50.5)
    assert figure.detail["triggered"] == {"n": 10, "p50": 95.5, "p95": 99.55, "p99": 99.91}
    assert figure.detail["not_triggered"]["n"] == 90
    assert figure.detail["failed"] == 0 and figure.sound and not figure.why


def late(added=9000.0, component="feedback"):
    failure = Failure(component, "no review in time", "open", "default")
    return answer(added, stage=PATTERNS, failure=failure)


def decided(name, figure):
    return decide(next(bound for bound in CHECKS if bound.name == name), figure)


def test_reviews_that_come_too_late_are_timed_and_fail_the_check():
    answers = [answer(100.0)] * 40 + [late(10_000.0)] * 472
    check = decided("added_latency", added_latency(answers))
    assert (check.value, check.n, check.passed) == (10_000.0, 512, False)
    assert check.detail["failed"] == 472
    assert "late, in 472 of 512 requests (92.19 %; no review in time)" in check.why
    assert "wanted is < 500 ms" in check.why


def test_failures_that_take_no_time_fail_the_check_too():
    """An open breaker fails at once: the latency is good, and nothing was reviewed or withheld."""
    answers = [answer(100.0)] * 98 + [late(1.0)] * 2
    blocking = blocking_rate(prompts(100), numbered(answers))
    for name, figure in (
        ("added_latency", added_latency(answers)), ("blocking_rate", blocking),
    ):  # fmt: skip
        check = decided(name, figure)
        assert check.value <= check.threshold and not check.passed
        assert "in 2 of 100 requests" in check.why and "wanted is" not in check.why


def test_one_failure_of_a_hundred_is_told_and_passes():
    revision = answer(100.0, failure=Failure("conversation", "not revised", "open", "default"))
    for failing in (late(), revision):
        check = decided("added_latency", added_latency([answer(100.0)] * 99 + [failing]))
        assert check.passed and "in 1 of 100 requests" in check.why


def test_requests_that_stage_1_was_to_decide_are_not_timed():
    answers = [answer(5.0), answer(9000.0, stage=PATTERNS), late(component="patterns")]
    figure = added_latency(answers)
    assert (figure.value, figure.n, figure.detail["failed"]) == (5.0, 1, 0)
    assert figure.detail["triggered"] == {"n": 0}


def test_nothing_decided_by_the_agents_is_no_figure():
    failure = Failure("models", "no such directory", "open", "default")
    answers = [answer(stage=PATTERNS, failure=failure)] * 3
    for figure in (added_latency(answers), blocking_rate(prompts(3), numbered(answers))):
        assert math.isnan(figure.value) and figure.n == 0
        assert "none of 3 requests" in figure.why and "no such directory" in figure.why


def test_a_percentiles_interval_covers_it():
    rng, inside, rounds = np.random.default_rng(0), 0, 400
    truth = -math.log(0.05)  # the 95th percentile of the exponential distribution
    for _ in range(rounds):
        low, high = percentile_interval(rng.exponential(size=200).tolist(), 95.0)
        inside += low <= truth <= high
    assert 0.94 <= inside / rounds <= 0.995
    assert all(map(math.isnan, percentile_interval([1.0, 2.0, 3.0], 95.0)))
