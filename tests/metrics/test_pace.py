"""Seconds a step, the time that is left and its range, and when a stage stands still."""

import random

import pytest

from waltzjax.metrics.pace import Step, durations, estimate, longest_quiet


def records(times, stage="s", first=1):
    return [{"stage": stage, "step": first + i, "wall_time": t} for i, t in enumerate(times)]


def test_steps_are_the_times_between_records():
    rows = [*records([100, 102, 105]), *records([200], stage="t"), *records([203, 213], "t", 2)]
    assert [s.seconds for s in durations(rows, [])] == [2, 3, 3, 10]
    assert durations(records([1.0]), []) == []
    old = [{"stage": "s", "step": 1, "time_s": 9}, {"stage": "s", "step": 2, "time_s": 4}]
    assert [s.seconds for s in durations(old, [])] == [4]


def test_ten_steps_in_one_record_are_ten():
    rows = [{"step": 10, "wall_time": 0.0}, {"step": 20, "wall_time": 50.0}]
    assert durations(rows, []) == [Step(5.0, False)]


def test_the_time_between_two_launches_is_no_step_and_a_pause_is_known():
    events = [{"kind": "resume", "wall_time": 103}, {"kind": "evaluation", "wall_time": 206}]
    rows = records([100, 102, 200, 207])
    assert durations(rows, events) == [Step(2, False), Step(7, True)]


def test_a_single_long_step_hardly_moves_the_estimate_and_pauses_that_recur_do():
    usual = [Step(10.0 + 0.1 * (i % 3), False) for i in range(100)]
    plain = estimate(usual, 1000).seconds
    once = estimate([*usual[:50], Step(3000.0, False), *usual[50:]], 1000)
    assert once.seconds == pytest.approx(plain, rel=0.01)
    twice = [*usual[:30], Step(500, False), *usual[30:60], Step(500, False), *usual[60:]]
    assert estimate(twice, 1000).seconds == pytest.approx(plain + 2 * 490 / 102, rel=0.01)
    known = [*usual, Step(500, True)]
    assert estimate(known, 1000).seconds == pytest.approx(plain + 490 / 101, rel=0.01)


def test_nothing_is_known_of_no_step_and_no_range_of_few():
    assert estimate([], 10) is None
    few = estimate([Step(2.0, False)] * 5, 10)
    assert (few.left, few.low, few.high) == (20.0, None, None)
    assert estimate([Step(2.0, False)] * 5, None).left is None
    assert estimate([Step(2.0, False)] * 50, 0)[1:] == (0.0, None, None)


def test_the_range_holds_what_comes_in_about_nine_of_ten():
    rng, within, wide = random.Random(0), 0, []
    for _ in range(200):
        steps = [rng.lognormvariate(2.0, 0.25) for _ in range(500)]
        pace = estimate([Step(s, False) for s in steps[:200]], 300)
        within += pace.low <= sum(steps[200:]) <= pace.high
        wide.append((pace.high - pace.low) / pace.left)
    assert 170 <= within <= 198  # of 200
    assert max(wide) < 0.15


def test_standing_still_is_much_longer_than_a_step():
    assert longest_quiet([Step(15.0, False)] * 20, False) == 150
    assert longest_quiet([Step(1.0, False)] * 20, False) == 60
    assert longest_quiet([Step(15.0, False)] * 20 + [Step(400.0, True)], False) == 1200
    assert longest_quiet([Step(15.0, False)] * 20, True) == longest_quiet([], False) == 1800
