"""Rates of answered problems worked by hand; intervals against every resample there is."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from support import answered, attempt

from waltzjax.rlvr.rates import (
    UNNAMED,
    by_level,
    by_subject,
    difference_intervals,
    intervals,
    result,
    summary,
)

ROUNDING = 1e-9  # of sums in another order


def answers(rights):
    return [answered(i, bool(right)) for i, right in enumerate(rights)]


def width(edges):
    return edges[1] - edges[0]


def test_rates_by_hand():
    groups = [
        answered(0, attempt(True, tokens=10, reflect=1.0), attempt(True, tokens=20)),
        answered(1, attempt(False, format=0.5, ended="length", tokens=90, parsed=False), True),
        answered(2, attempt(False, timed_out=True, tokens=1), attempt(False, tokens=1)),
    ]
    found = summary(groups)
    assert found["accuracy"] == pytest.approx(100 * 3 / 6)
    assert found["pass_at_k"] == pytest.approx(100 * 2 / 3)
    assert found["format_rate"] == pytest.approx(100 * 5 / 6)  # 0.5 is not well-formed
    assert found["reflect"] == pytest.approx(1 / 6)  # in [0, 1]
    for name in ("unparsed", "timed_out", "cut_off"):
        assert found[name] == pytest.approx(100 / 6), name
    assert found["tokens"] == pytest.approx((10 + 20 + 90 + 3 + 1 + 1) / 6)


def test_problems_count_alike_however_many_samples_they_have():
    groups = [answered(0, True), answered(1, False, False, False, False)]
    assert summary(groups)["accuracy"] == 50


def test_a_signal_that_was_not_computed_is_not_counted():
    bare = dataclasses.replace(attempt(True), signals={"verify": 1.0})
    found = summary([answered(0, bare)])
    assert math.isnan(found["format_rate"]) and math.isnan(found["reflect"])
    assert found["accuracy"] == 100
    assert all(map(math.isnan, intervals([answered(0, bare)], seed=0)["reflect"]))
    both = [answered(0, bare, attempt(True, reflect=0.5)), answered(1, bare, bare)]
    assert summary(both)["reflect"] == 0.5  # of the one sample that has it


def test_nothing_answered_is_nan_and_no_samples_are_an_error():
    assert all(math.isnan(value) for value in summary([]).values())
    with pytest.raises(ValueError, match="problem 7: no samples"):
        summary([answered(7)])


def test_an_interval_is_that_of_all_resamples():
    """Of what is no share: four problems have 4^4 equally likely resamples, and the edges cut 5 %
    of their means off."""
    lengths = [(3, 5), (9, 9), (1, 2), (30, 6)]
    groups = [answered(i, *(attempt(True, tokens=t) for t in of)) for i, of in enumerate(lengths)]
    values = [np.mean(of) for of in lengths]
    means = np.array([np.mean(draw) for draw in itertools.product(values, repeat=4)])
    found = intervals(groups, seed=0, resamples=20000)["tokens"]
    assert found == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=ROUNDING)


def test_a_difference_is_that_of_all_paired_resamples():
    a, b = [1, 20, 3, 9, 4], [4, 15, 3, 30, 1]
    each = np.subtract(b, a)
    means = [np.mean(draw) for draw in itertools.product(each, repeat=5)]
    before, after = (
        [answered(i, attempt(True, tokens=t)) for i, t in enumerate(x)] for x in (a, b)
    )
    found = difference_intervals(before, after, seed=0, resamples=20000)["tokens"]
    assert found == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=ROUNDING)


def test_pairs_are_narrower_than_two_samples():
    rng = np.random.default_rng(0)
    a = rng.random(300) < 0.5
    b = np.where(rng.random(300) < 0.1, ~a, a)
    paired = difference_intervals(answers(a), answers(b), seed=0)["accuracy"]
    apart = [width(intervals(answers(x), seed=0)["accuracy"]) for x in (a, b)]
    assert 0 < width(paired) < 0.6 * math.hypot(*apart)
    same = difference_intervals(answers(a), answers(a), seed=0)
    absent = 1 - 0.025 ** (1 / 300)  # of other problems, which none of these 300 shows
    assert same.pop("tokens") == (0, 0)
    assert same.pop("reflect") == pytest.approx((-absent, absent))
    for name, edges in same.items():
        assert edges == pytest.approx((-100 * absent, 100 * absent)), name


def test_none_right_and_all_right_have_a_width():
    upper = 100 * (1 - 0.025 ** (1 / 250))
    assert intervals(answers([0] * 250), seed=0)["accuracy"] == (0, pytest.approx(upper))
    assert intervals(answers([1] * 250), seed=0)["accuracy"] == (pytest.approx(100 - upper), 100)
    assert intervals(answers([1] * 250), seed=0)["timed_out"] == (0, pytest.approx(upper))


def test_samples_of_a_problem_that_always_agree_count_as_one():
    rights = np.random.default_rng(0).random(80) < 0.4
    once = intervals(answers(rights), seed=0)["accuracy"]
    eight = [answered(i, *[bool(right)] * 8) for i, right in enumerate(rights)]
    assert width(intervals(eight, seed=0)["accuracy"]) == pytest.approx(width(once), rel=0.1)
    mixed = np.random.default_rng(0).random((80, 8)) < 0.4
    apart = [answered(i, *map(bool, row)) for i, row in enumerate(mixed)]
    assert width(intervals(apart, seed=0)["accuracy"]) < 0.5 * width(once)


def test_intervals_depend_on_the_seed_alone():
    groups = [answered(i, attempt(True, tokens=i * i)) for i in range(50)]
    assert intervals(groups, seed=1) == intervals(groups, seed=1)
    assert intervals(groups, seed=1)["tokens"] != intervals(groups, seed=2)["tokens"]
    ninety = intervals(groups, seed=1, level=0.9)["tokens"]
    assert width(ninety) < width(intervals(groups, seed=1)["tokens"])


def test_differences_are_of_b_from_a_and_need_the_same_problems():
    a, b = answers([0] * 9), answers([1] * 9)
    low, high = difference_intervals(a, b, seed=0)["accuracy"]
    assert 0 < low < 50 and high == 100
    for other in (b[::-1], b[:-1], [*b[:-1], answered(8, True, answer="2")]):
        with pytest.raises(ValueError, match="their problems differ, or their order"):
            difference_intervals(a, other, seed=0)


def test_parts_are_named_and_ordered():
    groups = [
        answered(0, True, subject="Geometry", level="10"),
        answered(1, False, subject="Algebra", level="9"),
        answered(2, True, subject="Algebra", level="hard"),
        answered(3, True),
    ]
    subjects = by_subject(groups)
    assert [*subjects] == [UNNAMED, "Algebra", "Geometry"]
    assert [g.problem.id for g in subjects["Algebra"]] == [1, 2]
    assert [*by_level(groups)] == ["9", "10", UNNAMED, "hard"]
    assert by_subject(answers([1, 0])) == {}


def test_the_result():
    groups = [
        answered(0, True, False, subject="Algebra", level="1"),
        answered(1, False, attempt(False, format=0.0), subject="Algebra", level="2"),
        answered(2, True, True, subject="Geometry", level="2"),
    ]
    found = result(groups, seed=3, settings={"eval.temperature": 0.6})
    assert (found["n"], found["samples"], found["seed"]) == (3, 2, 3)
    assert found["settings"] == {"eval.temperature": 0.6}
    assert found["subjects"] == {
        "Algebra": {"accuracy": 25.0, "format_rate": 75.0, "n": 2},
        "Geometry": {"accuracy": 100.0, "format_rate": 100.0, "n": 1},
    }
    assert found["levels"]["2"] == {"accuracy": 50.0, "format_rate": 75.0, "n": 2}
    assert found["accuracy"] == summary(groups)["accuracy"] == 50
    assert found["intervals"] == intervals(groups, seed=3)
    for bad in ([], [*groups, answered(3, True)]):
        with pytest.raises(ValueError, match="wanted are problems, all with the same number"):
            result(bad, seed=0, settings={})
