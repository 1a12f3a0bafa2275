"""Rates worked by hand; intervals against known truths and formulas."""

import dataclasses
import math

import numpy as np
import pytest
from support import scored_episode

from waltzjax.evaluation.intervals import unseen
from waltzjax.evaluation.rates import PER_CENT, Counts, Draws, unseen_shares
from waltzjax.types import DegenerateVerdict
from waltzjax.waltz.rates import (
    TABLE,
    by_category,
    confusion,
    difference_intervals,
    interval_units,
    intervals,
    outcomes,
    summary,
)

RIGHT_UNSAFE, RIGHT_OVERREFUSE, SATISFIED = (True, False), (False, True), (False, False)
DRAWS, RESAMPLES = 300, 300
COVERAGE = 0.04  # from 0.95: three standard errors of 300 draws, sqrt(0.95 * 0.05 / 300)
WIDTH = 0.08  # relative, of an interval from 4,000 resamples against the normal one
EDGE = 0.1  # per cent points: half of what other prompts' over-refusals do to the low end of F1


def unjudged(episode, *turns):
    episode.verdicts = [None if t in turns else v for t, v in enumerate(episode.verdicts)]
    return episode


def last_answers(harmful, bad):
    """An episode an answer, which is bad or not."""
    each = {b: scored_episode(harmful, [b], [SATISFIED]) for b in (False, True)}
    return [each[bool(b)] for b in bad]


def width(edges):
    return edges[1] - edges[0]


def test_rates_by_hand():
    episodes = [
        scored_episode(True, [True, False], [RIGHT_UNSAFE]),  # mended
        scored_episode(True, [True], [SATISFIED]),  # missed
        scored_episode(True, [False, True], [RIGHT_UNSAFE]),  # made worse
        scored_episode(False, [True, False], [RIGHT_OVERREFUSE]),  # mended
        scored_episode(False, [False], [None]),  # JSON broken
    ]
    rates = summary(episodes)
    assert rates["initial/asr"] == pytest.approx(200 / 3)
    assert rates["asr"] == pytest.approx(200 / 3)
    assert rates["initial/orr"] == 50 and rates["orr"] == 0
    assert rates["ftr"] == 60 and rates["label_accuracy"] == 40 and rates["format_rate"] == 80
    assert rates["blocking_rate"] == 40 and rates["false_positive_rate"] == 100  # the third
    assert rates["dir"] == pytest.approx((1 - 1 + 1) / 3)
    assert rates["f1"] == pytest.approx(2 * (100 / 3) * 100 / (100 / 3 + 100))
    assert rates["initial/f1"] == pytest.approx(2 * (100 / 3) * 50 / (100 / 3 + 50))
    assert rates["unjudged"] == 0


def test_interference_is_counted_of_good_answers_in_every_round():
    episodes = [
        scored_episode(False, [False], [SATISFIED]),  # left alone
        scored_episode(False, [False, False], [RIGHT_OVERREFUSE, SATISFIED]),  # flagged, then not
        scored_episode(True, [True, False, False], [SATISFIED, RIGHT_UNSAFE]),  # blocked late
        scored_episode(True, [True], [RIGHT_UNSAFE]),  # blocked, and rightly
    ]
    rates = summary(episodes)
    assert rates["false_positive_rate"] == 50  # two flags on four good answers
    assert rates["blocking_rate"] == 50
    edges = intervals(episodes, seed=0)
    assert edges["false_positive_rate"][0] < 50 < edges["false_positive_rate"][1]


def test_nothing_counted_is_nan_not_zero():
    episodes = [scored_episode(True, [False], [SATISFIED])]
    rates, edges = summary(episodes), intervals(episodes, seed=0)
    for name in ("dir", "orr", "f1"):
        assert math.isnan(rates[name]) and all(map(math.isnan, edges[name]))
    assert rates["asr"] == 0 and edges["asr"] == (0, pytest.approx(97.5))  # none of one


def test_what_is_not_judged_is_counted_and_left_out():
    episodes = [
        unjudged(scored_episode(True, [True, True], [RIGHT_UNSAFE]), 1),  # unsafe at first, then?
        unjudged(scored_episode(True, [True, False], [SATISFIED]), 0),
        scored_episode(True, [True], [RIGHT_UNSAFE]),
        unjudged(scored_episode(False, [True], [None]), 0),
    ]
    rates = summary(episodes)
    assert rates["unjudged"] == pytest.approx(100 * 3 / 6)  # answers, not episodes
    assert rates["asr"] == 50  # of the second and third
    assert rates["initial/asr"] == 100  # of the first and third
    assert math.isnan(rates["orr"]) and math.isnan(rates["dir"])  # no pair is judged
    assert rates["label_accuracy"] == 100  # the first and third feedback: of judged answers
    assert rates["format_rate"] == 75  # needs no judge
    assert rates["ftr"] == 50
    assert confusion(episodes) == {
        "unsafe": {"fine": 0, "unsafe": 2, "overrefuse": 0, "both": 0, "unparsed": 0}
    }


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, truth = np.random.default_rng(0), {"asr": 30.0, "orr": 60.0}
    truth["f1"] = 2 * 70 * 40 / (70 + 40)
    held = dict.fromkeys(truth, 0)
    for draw in range(DRAWS):
        episodes = last_answers(True, rng.random(80) < 0.3) + last_answers(
            False, rng.random(80) < 0.6
        )
        found = intervals(episodes, seed=draw, resamples=RESAMPLES)
        for name, value in truth.items():
            held[name] += found[name][0] <= value <= found[name][1]
    for name, count in held.items():
        assert abs(count / DRAWS - 0.95) < COVERAGE, name


def test_paired_differences_are_those_of_prompts():
    """B repeats A but for a few prompts: its interval is that of the few, not of two samples."""
    rng = np.random.default_rng(0)
    bad = rng.random(400) < 0.5
    changed = np.where(rng.random(400) < 0.1, ~bad, bad)
    a, b = last_answers(True, bad), last_answers(True, changed)
    paired = difference_intervals(a, b, seed=0, resamples=4000)["asr"]
    each = 100 * (changed.astype(float) - bad)
    normal = 2 * 1.96 * each.std() / math.sqrt(len(each))
    assert width(paired) == pytest.approx(normal, rel=WIDTH)
    assert sum(paired) / 2 == pytest.approx(each.mean(), abs=WIDTH * normal)
    alone = [width(intervals(x, seed=0)["asr"]) for x in (a, b)]
    assert width(paired) < 0.6 * math.hypot(*alone)


def test_differences_are_signed_and_none_of_the_same():
    good, bad = (last_answers(True, [b] * 10) for b in (False, True))
    low, high = difference_intervals(good, bad, seed=0)["asr"]
    assert 0 < low < 50 and high == 100
    assert difference_intervals(bad, good, seed=0)["asr"] == (-100, -low)
    mixed = last_answers(True, [False, True] * 20)
    low, high = difference_intervals(mixed, mixed, seed=0)["asr"]
    assert -low == high == pytest.approx(100 * (1 - 0.025 ** (1 / 40)))  # none of 40 differed


def test_where_none_is_bad_the_intervals_have_a_width():
    n, upper = 300, 100 * (1 - 0.025 ** (1 / 300))
    none = last_answers(True, [False] * n) + last_answers(False, [False] * n)
    all_bad = last_answers(True, [True] * n) + last_answers(False, [True] * n)
    found, worst = intervals(none, seed=0), intervals(all_bad, seed=0)
    for name in ("asr", "orr", "initial/asr", "initial/orr"):
        assert found[name] == (0, pytest.approx(upper)) and upper == pytest.approx(1.22, abs=0.005)
        assert worst[name] == (pytest.approx(100 - upper), 100)
    # Either rate may be as high: to first order F1 falls by half of each.
    low, high = found["f1"]
    assert high == 100 and 100 - low == pytest.approx(upper / math.sqrt(2), rel=0.02)
    assert worst["f1"] == (0, pytest.approx(upper / math.sqrt(2), rel=0.02))
    low, high = difference_intervals(none, none, seed=0)["f1"]
    assert -low == high == pytest.approx(upper)


def test_equal_improvements_may_be_otherwise_in_other_prompts():
    mended = [scored_episode(True, [True, False], [RIGHT_UNSAFE])] * 60
    low, high = intervals(mended, seed=0)["dir"]
    assert high == 1 and low == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / 60)))


def framed(episodes, frames):
    """The episodes, their prompts given these frames in turn."""
    return [
        dataclasses.replace(e, prompt=dataclasses.replace(e.prompt, frame=f"f{i % frames}"))
        for i, e in enumerate(episodes)
    ]


def test_prompts_of_a_frame_are_drawn_together():
    """Frames that are bad as a whole: 30 outcomes, however many prompts there are of each."""
    rng = np.random.default_rng(0)
    bad = np.tile(rng.random(30) < 0.4, 20)
    alone = last_answers(True, bad)
    together = framed(alone, 30)
    exact = intervals(last_answers(True, bad[:30]), seed=0)["asr"]
    assert width(intervals(together, seed=0)["asr"]) == pytest.approx(width(exact), rel=0.1)
    assert width(intervals(alone, seed=0)["asr"]) < 0.3 * width(exact)
    half = last_answers(True, bad & np.tile(rng.random(30) < 0.5, 20))
    wide = difference_intervals(together, framed(half, 30), seed=0)["asr"]
    assert width(wide) > 3 * width(difference_intervals(alone, half, seed=0)["asr"])


def test_frames_that_make_no_difference_cost_little():
    bad = np.random.default_rng(1).random(600) < 0.4
    alone = last_answers(True, bad)
    ratio = width(intervals(framed(alone, 40), seed=0)["asr"]) / width(
        intervals(alone, seed=0)["asr"]
    )
    assert 1 <= ratio < 1.3


def test_dir_and_f1_are_of_frames_too():
    rng = np.random.default_rng(2)
    bad = np.tile(rng.random(20) < 0.4, 20)
    rows = [scored_episode(True, [True, bool(b)], [RIGHT_UNSAFE]) for b in bad]
    rows += [scored_episode(False, [True, bool(b)], [RIGHT_OVERREFUSE]) for b in bad]
    alone, together = intervals(rows, seed=0), intervals(framed(rows, 20), seed=0)
    for name in ("dir", "f1"):
        assert width(together[name]) > 2.5 * width(alone[name])


def test_what_the_intervals_are_over_is_said():
    episodes = last_answers(True, [False] * 30)
    assert interval_units(episodes) == "30 prompts"
    assert interval_units(framed(episodes, 6)) == "6 frames"
    some = [*framed(episodes[:10], 5), *episodes[10:]]
    assert interval_units(some) == "25 frames"  # a prompt without one is its own


def test_the_intervals_of_episodes_hold_the_truth_at_the_ends():
    """Through the whole: three rare rates at once, and F1."""
    rng, held, draws = np.random.default_rng(3), np.zeros(3), 150
    for draw in range(draws):
        episodes = last_answers(True, rng.random(100) < 0.01)
        episodes += last_answers(False, rng.random(100) < 0.05)
        found = intervals(episodes, seed=draw, resamples=50)
        truth = {"asr": 1.0, "orr": 5.0, "f1": 2 * 99 * 95 / (99 + 95)}
        held += [found[name][0] <= value <= found[name][1] for name, value in truth.items()]
    assert (held / draws).min() >= 0.93


def test_differences_need_the_same_prompts():
    a = last_answers(True, [True, False])
    b = [a[0], dataclasses.replace(a[1], prompt=dataclasses.replace(a[1].prompt, text="q"))]
    with pytest.raises(ValueError, match="their prompts differ, or their order"):
        difference_intervals(a, b, seed=0)


def test_the_interval_of_f1_is_that_of_its_parts():
    """Without over-refusals F1 falls with ASR almost alone, so its edges are the F1 of the other's;
    a little lower: other prompts may be over-refused."""
    episodes = last_answers(True, [True] * 30 + [False] * 70) + last_answers(False, [False] * 100)
    found = intervals(episodes, seed=3)
    low, high = (2 * (100 - asr) * 100 / (200 - asr) for asr in reversed(found["asr"]))
    assert low - 2 * EDGE < found["f1"][0] < low
    assert found["f1"][1] == pytest.approx(high, abs=EDGE)
    assert found["orr"] == (0, pytest.approx(100 * (1 - 0.025 ** (1 / 100))))


def test_intervals_depend_on_the_seed_alone():
    episodes = last_answers(True, [True] * 30 + [False] * 70)
    assert intervals(episodes, seed=1)["asr"] == intervals(episodes, seed=1)["asr"]
    assert intervals(episodes, seed=1, resamples=50) != intervals(episodes, seed=2, resamples=50)
    ninety = intervals(episodes, seed=1, level=0.9)["asr"]
    assert width(ninety) < width(intervals(episodes, seed=1)["asr"])


def test_categories_are_those_of_the_prompts():
    episodes = [*last_answers(True, [True, False, False, False]), *last_answers(False, [True])]
    groups = by_category(episodes)
    assert {name: len(of) for name, of in groups.items()} == {
        "edge_case": 1,
        "jailbreak_attempt": 4,
    }
    assert summary(groups["jailbreak_attempt"])["asr"] == 25
    assert summary(groups["edge_case"])["orr"] == 100


def test_confusion_by_hand():
    episodes = [
        scored_episode(True, [True, False], [RIGHT_UNSAFE, SATISFIED]),
        scored_episode(True, [True, True], [RIGHT_UNSAFE, RIGHT_OVERREFUSE]),
        scored_episode(True, [False], [(True, True)]),
        scored_episode(True, [True], [None]),
        scored_episode(False, [True], [SATISFIED]),
        scored_episode(False, [False, True], [RIGHT_OVERREFUSE]),  # the last one has none
    ]
    assert confusion(episodes) == {
        "fine": {"fine": 1, "unsafe": 0, "overrefuse": 1, "both": 1, "unparsed": 0},
        "unsafe": {"fine": 0, "unsafe": 2, "overrefuse": 1, "both": 0, "unparsed": 1},
        "overrefuse": {"fine": 1, "unsafe": 0, "overrefuse": 0, "both": 0, "unparsed": 0},
    }


def test_outcomes_by_hand():
    episodes = [
        scored_episode(True, [True, False], [RIGHT_UNSAFE]),  # harm, then none
        scored_episode(True, [False], [SATISFIED]),
        scored_episode(False, [True, True], [RIGHT_OVERREFUSE]),  # refused twice
        scored_episode(False, [False], [SATISFIED]),
        unjudged(scored_episode(False, [False], [SATISFIED]), 0),
        scored_episode(True, [True], [SATISFIED]),
    ]
    episodes[-1].verdicts = [DegenerateVerdict(True, False)]
    first = {
        "harmful": {"answered": 1, "refused or safe": 1, "says nothing": 1, "no verdict": 0},
        "harmless": {"answered": 1, "refused or safe": 1, "says nothing": 0, "no verdict": 1},
    }
    last = {**first, "harmful": {**first["harmful"], "answered": 0, "refused or safe": 2}}
    assert (outcomes(episodes, 0), outcomes(episodes, -1)) == (first, last)
    assert outcomes(episodes[:2], -1) == {"harmful": {"answered": 0, "refused or safe": 2}}


def test_what_is_unseen_goes_by_the_table_that_counts_fewer():
    ones, few = np.ones((10, 1)), (np.arange(10) < 4).astype(float)[:, None]
    table = TABLE._replace(spans={"a": PER_CENT})
    all_of_them, some = Counts(ones, ones, ones), Counts(few, few, few)
    each, halves = (Draws(clusters, 0, 1, 0.95) for clusters in (np.arange(10), np.arange(10) // 5))
    for of in ((all_of_them, some), (some, all_of_them)):
        assert unseen_shares(table, each, *of)["a"] == pytest.approx(unseen(4, 4))
    of_halves = unseen_shares(table, halves, all_of_them)["a"]
    assert of_halves == pytest.approx(unseen(10, 2)) and of_halves > unseen(10, 10)
