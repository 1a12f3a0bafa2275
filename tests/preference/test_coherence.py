"""Scores of several answers to one question, each worked out by hand from its definition."""

import itertools
import math

import numpy as np
import pytest
from trajectories import question, said

from waltzjax.preference.coherence import Quality, Scored, answer_value, scored
from waltzjax.types import COUNTERFACTUAL, PROBE, VARIANCE

EXACT = 1e-12

A = said("a b c d", "8")
B = said("a B c e", "9", False, tokens=6)
P = said("a b", "8.0", role=PROBE, tokens=2)
Q = said("c d!", "$8", role=PROBE)
SILENT = said("", None, False, role=COUNTERFACTUAL)

# Tokens 4, 6, 2, 4, 4: mean 4, variance (0 + 4 + 4 + 0 + 0) / 5 = 1.6, so that std / mean
# is sqrt(1.6) / 4 = sqrt(0.1). Overlaps: AB {a b c} of {a b c d e} 3/5, AP {a b} of {a b c d} 1/2,
# AQ 1/2, BP 1/2, BQ {c} of {a b c d e} 1/5, PQ none, and none with the empty text: 2.3 of 10 pairs.
MIXED = 0.4 * (1 - math.sqrt(0.1)) + 0.6 * 0.23
# The counterfactual gives no answer, so s_cf is 0; three of five say 8.
MIXED_MEAN = (3 / 5 + MIXED + 0) / 3
# Shortest correct: 2 tokens. Alignment is the mean overlap with P and Q; of P with Q alone.
MIXED_QUALITIES = [
    (1 / 2, 1 / 2, 0.4 / 2 + 0.6 / 2),
    (1 / 3, (1 / 2 + 1 / 5) / 2, 0.4 / 3 + 0.6 * 0.35),
    (1.0, 0.0, 0.4),
    (1 / 2, 0.0, 0.2),
    (1 / 2, 0.0, 0.2),
]


def flat(found: Scored) -> list:
    return [*found[:3], *itertools.chain(*found.trajectories)]


def check(found: Scored, wanted: Scored) -> None:
    assert len(found.trajectories) == len(wanted.trajectories)
    for got, value in zip(flat(found), flat(wanted), strict=True):
        assert (got is None) == (value is None)
        assert got is None or abs(got - value) < EXACT, (got, value)


def test_a_mixed_question():
    qualities = (Quality(*q, MIXED_MEAN + 0.2 * q[2]) for q in MIXED_QUALITIES)
    wanted = Scored(3 / 5, MIXED, 0.0, tuple(qualities))
    check(scored(question(A, B, P, Q, SILENT)), wanted)


def test_all_alike():
    """Everything is at its most: scores of 1, quality 1, rewards 1.2."""
    arms = [said("It is 8.", role=role) for role in (VARIANCE, PROBE, PROBE, COUNTERFACTUAL)]
    check(scored(question(*arms)), Scored(1.0, 1.0, 1.0, (Quality(1.0, 1.0, 1.0, 1.2),) * 4))


def test_nothing_is_right():
    """Three different answers: s_end 1/3. Tokens 1, 1, 10: mean 4, variance (9 + 9 + 36) / 3 = 18,
    std / mean = sqrt(18) / 4 > 1: no length coherence. Overlaps: {x} of {x y} 1/2, else 0: their
    mean is 1/6, s_path 0.1. Without arms for it there is no s_cf: the reward is the mean of the
    other two, (1/3 + 1/10) / 2 = 13/60. No answer is correct: conciseness 0."""
    arms = [
        said("x", "1", False, tokens=1, role=PROBE),
        said("x y", "2", False, tokens=1),
        said("z", "3", False, tokens=10),
    ]
    # The only probe is compared with none: its quality is its conciseness.
    wanted = (
        Quality(0.0, None, 0.0, 13 / 60),
        Quality(0.0, 0.5, 0.3, 13 / 60 + 0.06),
        Quality(0.0, 0.0, 0.0, 13 / 60),
    )
    check(scored(question(*arms)), Scored(1 / 3, 0.1, None, wanted))


def test_without_probes_quality_is_conciseness():
    """Tokens 3 and 5: mean 4, std 1: length coherence 3/4. Overlap {2 3 is} of {2 3 is 5 6} 3/5.
    s_path = 0.3 + 0.36; the mean with s_end = 1/2 is 0.58."""
    arms = [said("2 + 3 is 5", "5", tokens=3), said("2 * 3 is 6", "6", False, tokens=5)]
    wanted = Quality(1.0, None, 1.0, 0.58 + 0.2), Quality(0.6, None, 0.6, 0.58 + 0.12)
    check(scored(question(*arms)), Scored(0.5, 0.66, None, wanted))


def test_a_wrong_answer_is_at_most_as_concise_as_a_right_one():
    arms = [said("a", tokens=6), said("a", "9", False, tokens=2), said("a", "9", False, tokens=8)]
    found = [q.conciseness for q in scored(question(*arms)).trajectories]
    assert found == [1.0, 1.0, 0.75]


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [
        ("", " ... ", 1.0),  # no word in either
        ("", "word", 0.0),
        ("The cat", "the CAT, the cat", 1.0),
        ("Straße 7", "STRASSE 7", 1.0),  # case is folded
        ("1,200 is", "1200 is", 1 / 3),  # words as written: {is} of {is 1,200 1200}
        ("3.5", "3", 0.0),
        ("3x", "3 x", 1.0),
        ("7, 8.", "7 8", 1.0),  # stops and commas that are a sentence's
    ],
)
def test_overlap_of_texts(a, b, overlap):
    """As long as each other: s_path is 0.4 and 0.6 of the overlap."""
    found = scored(question(said(a), said(b)))
    assert abs(found.s_path - (0.4 + 0.6 * overlap)) < EXACT


def test_a_missing_answer_agrees_with_nothing():
    none = [said("a", None, False) for _ in range(3)]
    assert scored(question(*none)).s_end == 0
    assert scored(question(*none, said("a"))).s_end == 0.25
    assert scored(question(said("a", ""), said("a", " "), said("a"))).s_end == 1 / 3
    silent = [said("a", None, role=role) for role in (PROBE, PROBE, COUNTERFACTUAL)]
    assert scored(question(*silent)).s_cf == 0


@pytest.mark.parametrize(
    ("check", "probes", "s_cf"),
    [
        ("8", ("8.0", "$8"), 1),
        ("8", ("8", "9"), 0.5),
        ("8", ("9", None), 0),
        ("8", (None, "8"), 0.5),
        (None, ("8", "8"), 0),
        ("9", ("8", "8"), 0),
    ],
)
def test_s_cf_is_how_many_probes_the_check_agrees_with(check, probes, s_cf):
    arms = [said("a", p, role=PROBE) for p in probes]
    found = scored(question(*arms, said("a", check, role=COUNTERFACTUAL), said("a", "8")))
    assert found.s_cf == s_cf


def test_s_cf_of_two_checks():
    """Of four pairs (8, 8), (8, 9), (9, 8), (9, 9) two agree."""
    arms = [said("a", n, role=role) for role in (PROBE, COUNTERFACTUAL) for n in "89"]
    assert scored(question(*arms)).s_cf == 0.5


@pytest.mark.parametrize(
    "same",
    [
        ("8", "8.0", "$8", r"\$8", "8 apples", "x = 8", "**8**", "8.", " 8 ", r"\frac{16}{2}"),
        ("1,200", "1200", "1200.00", r"1{,}200", "$1,200"),
        ("1/2", "0.5", r"\frac12", "50/100"),
        ("50", "50%"),
        ("no number", " no number "),
        ("-3", "−3"),
    ],
)
def test_answers_of_one_value(same):
    assert {answer_value(text) for text in same} == {answer_value(same[0])}
    assert answer_value(same[0]) is not None


def test_answers_of_different_values():
    told = ("8", "-8", "80", "8.01", "0.8", "east", "West", "1,20", "9" * 2000, "5 million", "5")
    assert len({answer_value(text) for text in told}) == len(told)
    assert answer_value(None) is answer_value("") is answer_value("\n") is None


def drawn(rng: np.random.Generator, *, probes: int = 2, checks: int = 1) -> list:
    roles = [VARIANCE] * 8 + [PROBE] * probes + [COUNTERFACTUAL] * checks
    words = np.array(["so", "we", "add", "take", "8", "9", "half", "twice"])
    arms = []
    for role in roles:
        answer = [None, "7", "8", "8.0"][rng.integers(4)]
        text = " ".join(rng.choice(words, rng.integers(0, 9)))
        right = answer in ("8", "8.0")
        arms.append(said(text, answer, right, role=role, tokens=int(rng.integers(1, 60))))
    return arms


def test_the_order_of_trajectories_does_not_matter():
    rng = np.random.default_rng(0)
    for _ in range(50):
        arms = drawn(rng)
        order = rng.permutation(len(arms))
        found, again = (scored(question(*a)) for a in (arms, [arms[i] for i in order]))
        back = tuple(again.trajectories[i] for i in np.argsort(order))
        check(again._replace(trajectories=back), found)


def test_scores_are_in_their_ranges():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(300):
        found = scored(question(*drawn(rng)))
        seen.add(found.s_cf)
        assert 0 <= found.s_end <= 1 and 0 <= found.s_path <= 1
        for q in found.trajectories:
            assert 0 <= q.conciseness <= 1 and 0 <= q.alignment <= 1 and 0 <= q.quality <= 1
            assert 0 <= q.reward <= 1.2
    assert seen == {0, 0.5, 1}


def test_a_question_without_trajectories_is_refused():
    with pytest.raises(ValueError, match="question 3: got no trajectories"):
        scored(question(number=3))
