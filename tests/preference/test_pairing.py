"""Which answers become pairs, by hand: order, caps, mix, equal texts, and why there is none."""

import itertools
from collections import Counter

import numpy as np
import pytest
from trajectories import question, said

from waltzjax.preference.balance import in_turn, mixed, thinned
from waltzjax.preference.coherence import scored
from waltzjax.preference.pairing import make_pairs
from waltzjax.types import COHERENCE, CORRECTNESS, PROBE

ALL = {
    "correctness_per_question": 99, "coherence_per_question": 99, "min_reward_gap": 0.01,
    "correctness_share": 0.0, "max_pairs": 0, "seed": 0,
}  # fmt: skip


def pairs_of(*questions, **changes):
    return make_pairs(questions, **{**ALL, **changes})


def told(paired):
    return sorted((p.pair_type, p.chosen, p.rejected) for p in paired.pairs)


def answers(right: int, wrong: int = 0, *, falling: bool = False):
    """Right answers, each two tokens longer than the one before if ``falling``, and wrong ones.
    Without probes quality is conciseness, so that rewards fall with it."""
    good = [said(f"right {i}", arm=f"r{i}", tokens=4 + 2 * i * falling) for i in range(right)]
    return *good, *(said(f"wrong {i}", "9", False, arm=f"w{i}") for i in range(wrong))


def varied(n: int, seed: int = 0):
    """Questions with 0 to 5 right and 0 to 5 wrong answers."""
    rng = np.random.default_rng(seed)
    return [
        question(*answers(*map(int, rng.integers(0, 6, 2)), falling=True), said("end"), number=i)
        for i in range(n)
    ]


def test_a_question_by_hand():
    """Conciseness of the right ones is 1, 1/2 and 1/2, of the wrong one 2/3: rewards of the right
    ones are 0.1 apart, or alike."""
    asked = question(
        said("long", arm="a"), said("bad", "9", False, arm="b", tokens=3),
        said("short", arm="c", tokens=2), said("slow", arm="d"), text="Why?",
    )  # fmt: skip
    found = pairs_of(asked)
    assert told(found) == [
        (COHERENCE, "short", "long"), (COHERENCE, "short", "slow"), (CORRECTNESS, "long", "bad"),
        (CORRECTNESS, "short", "bad"), (CORRECTNESS, "slow", "bad"),
    ]  # fmt: skip
    assert [p.pair_type for p in found.pairs] == [CORRECTNESS] * 3 + [COHERENCE] * 2
    assert (found.without, found.left_out) == ({}, {})
    rewards = {t.text: q.reward for t, q in zip(asked.trajectories, scored(asked)[3], strict=True)}
    arms = {t.text: t.arm for t in asked.trajectories}
    for p in found.pairs:
        assert p.question == "Why?"
        assert (p.chosen_reward, p.rejected_reward) == (rewards[p.chosen], rewards[p.rejected])
        assert (p.chosen_arm, p.rejected_arm) == (arms[p.chosen], arms[p.rejected])
    assert abs(rewards["short"] - rewards["long"] - 0.1) < 1e-12


@pytest.mark.parametrize(("tokens", "least", "pairs"), [(20, 0.01, 0), (21, 0.01, 1), (20, 0, 1)])
def test_rewards_must_differ_by_more(tokens, least, pairs):
    """Conciseness 19/20: the rewards differ by 0.2 / 20 = 0.01, which is not more than 0.01."""
    asked = question(said("a", tokens=19), said("b", tokens=tokens))
    assert len(pairs_of(asked, min_reward_gap=least).pairs) == pairs


def test_rewards_that_are_equal_but_for_rounding_are_equal():
    """Qualities 0.4 / 4 + 0.6 / 3 and 0.4 * 3 / 4 + 0.6 * 0 are 0.3, but not in floating point."""
    asked = question(
        said("p q", role=PROBE, tokens=3), said("p r", tokens=12), said("z", tokens=4),
        said("", None, False, tokens=9),
    )  # fmt: skip
    _, one, other, _ = scored(asked).trajectories
    assert one.reward != other.reward and abs(one.reward - other.reward) < 1e-12
    found = pairs_of(asked, min_reward_gap=0.0)
    assert told(found) == [(COHERENCE, "p q", "p r"), (COHERENCE, "p q", "z")]


def test_only_whole_answers_are_chosen():
    cut = said("cut", ended="length", tokens=1)
    silent = said("silent", None, True, tokens=1)  # its label is a lie
    bad = said("bad", "9", False, ended="length")
    assert told(pairs_of(question(cut, silent, bad))) == []
    good = said("good", tokens=1)
    long = said("long", ended="length", tokens=8)
    found = told(pairs_of(question(cut, silent, bad, good, long)))
    # What is cut off may be rejected, for its reward too.
    assert found == [(COHERENCE, "good", "long"), (CORRECTNESS, "good", "bad")]
    ended = said("wrong", "9", False)
    pairs = pairs_of(question(good, bad, ended)).pairs
    assert {p.rejected: p.rejected_cut_off for p in pairs} == {"bad": True, "wrong": False}


def test_equal_and_empty_texts_are_in_no_pair():
    asked = question(
        said("same", tokens=2), said(" same\n", tokens=8), said("", "9", False),
        said(" \n", "9", False), said("\ud800", "9", False), said("bad", "9", False),
        said("bad ", "9", False),
    )  # fmt: skip
    assert told(pairs_of(asked)) == [(CORRECTNESS, "same", "bad")]


def test_of_equal_texts_one_that_ended_is_chosen():
    asked = question(said("same", arm="a", ended="length"), said("same", arm="b"), *answers(0, 1))
    assert [p.chosen_arm for p in pairs_of(asked).pairs] == ["b"]


def test_no_two_answers_are_in_two_pairs():
    """Nor the other way round: "x" is a probe in one place and none in the other, where its reward
    differs, and that of "x y" lies between the two."""
    asked = [
        question(said("x", role=PROBE), said("x y"), said("x"), *answers(0, 2), text="The same?"),
        question(*answers(1, 1), said("x y"), said("x", tokens=9), text="The same?", number=1),
        question(*answers(1, 1), text="Another?", number=2),
    ]
    found = pairs_of(*asked, min_reward_gap=0.0)
    keys = [(p.question, frozenset((p.chosen, p.rejected))) for p in found.pairs]
    assert len(keys) == len(set(keys))
    assert {("Another?", frozenset(("right 0", "wrong 0")))} < {*keys}


@pytest.mark.parametrize("seed", range(5))
def test_caps_take_answers_in_turn(seed):
    asked = question(*answers(3, 6, falling=True))
    for cap in range(8):
        found = pairs_of(asked, correctness_per_question=cap, coherence_per_question=2, seed=seed)
        pairs = {k: [p for p in found.pairs if p.pair_type == k] for k in (CORRECTNESS, COHERENCE)}
        assert len(pairs[CORRECTNESS]) == cap and len(pairs[COHERENCE]) == 2
        for side, of in (("chosen", 3), ("rejected", 6)):
            uses = Counter(getattr(p, side) for p in pairs[CORRECTNESS])
            assert len(uses) == min(cap, of)
            assert max(uses.values(), default=0) == -(-cap // of)
        # Two of the three pairs of three answers: one answer is in both, the other two in one.
        uses = Counter(t for p in pairs[COHERENCE] for t in (p.chosen, p.rejected))
        assert sorted(uses.values()) == [1, 1, 2]
        assert found.left_out == {"more of a question than config.pairs allows": 18 - cap + 3 - 2}


def test_a_type_with_a_cap_of_0_is_not_made():
    asked = question(*answers(3, 3, falling=True))
    for kind in (CORRECTNESS, COHERENCE):
        found = pairs_of(asked, **{f"{kind}_per_question": 0}, correctness_share=0.75)
        assert found.pairs and all(p.pair_type != kind for p in found.pairs)


@pytest.mark.parametrize(
    ("counts", "share", "most", "kept"),
    [
        ((100, 100), 0.75, 0, (100, 33)),
        ((900, 100), 0.75, 0, (300, 100)),
        ((300, 100), 0.75, 0, (300, 100)),
        ((300, 100), 0.75, 40, (30, 10)),
        ((900, 100), 0.75, 40, (30, 10)),
        ((900, 100), 0.0, 0, (900, 100)),
        ((900, 100), 0.0, 100, (90, 10)),
        ((900, 100), 1.0, 0, (900, 0)),
        ((900, 0), 0.75, 0, (900, 0)),
        ((0, 7), 0.75, 0, (0, 7)),
        ((0, 7), 0.75, 3, (0, 3)),
        ((0, 0), 0.75, 3, (0, 0)),
    ],
)
def test_the_mix(counts, share, most, kept):
    assert mixed(*counts, share, most) == kept


def test_thinning_takes_from_the_questions_with_most():
    rng = np.random.default_rng(0)
    assert thinned([1, 5, 0, 2, 9], 11, rng) == [1, 4, 0, 2, 4]
    for counts, keep in itertools.product(([1, 5, 0, 2, 9], [3, 3, 3], []), range(20)):
        kept = thinned(counts, keep, rng)
        assert sum(kept) == min(keep, sum(counts))
        assert all(k <= n for k, n in zip(kept, counts, strict=True))
        gave_up = [k for k, n in zip(kept, counts, strict=True) if k < n]
        assert not gave_up or max(kept) <= min(gave_up) + 1


def test_thinned_pairs_stay_spread_over_questions_and_answers():
    """Ten questions with 9 pairs of correctness and 1 of coherence each, for a share of 3/4: of the
    90 pairs 30 stay, 3 of each question, with three different answers on either side."""
    two = (said("base", tokens=6, ended="length"),)
    asked = [question(*answers(3, 3), *two, number=i) for i in range(10)]
    found = pairs_of(*asked, correctness_share=0.75, coherence_per_question=1)
    kinds = Counter((p.question, p.pair_type) for p in found.pairs)
    assert set(kinds.values()) == {1, 3} and len(kinds) == 20
    for _, group in itertools.groupby(found.pairs, lambda p: p.question):
        chosen, rejected = zip(*((p.chosen, p.rejected) for p in [*group][:3]), strict=True)
        assert len({*chosen}) == len({*rejected}) == 3
    assert found.left_out == {
        "of correctness, for config.pairs.correctness_share": 60,
        "more of a question than config.pairs allows": 20,
    }


def test_the_mix_of_many_questions():
    asked = varied(100)
    for share, most in ((0.75, 0), (0.5, 0), (0.75, 50), (0.3, 41)):
        found = pairs_of(*asked, correctness_share=share, max_pairs=most)
        right = sum(p.pair_type == CORRECTNESS for p in found.pairs)
        assert not most or len(found.pairs) == most
        assert abs(right - share * len(found.pairs)) <= 1
        everything = len(pairs_of(*asked).pairs)
        assert len(found.pairs) + sum(found.left_out.values()) == everything


def test_the_seed_decides_and_nothing_else():
    asked = varied(30)
    few = {
        "correctness_per_question": 2, "coherence_per_question": 2, "correctness_share": 0.75,
        "max_pairs": 40,
    }  # fmt: skip
    first = pairs_of(*asked, **few)
    assert pairs_of(*asked, **few) == first
    assert pairs_of(*asked, **few, seed=1).pairs != first.pairs
    # What is drawn of a question does not depend on the others.
    few = {**few, "max_pairs": 0, "correctness_share": 0.0}
    alone = [p for q in asked for p in pairs_of(q, **few).pairs]
    assert pairs_of(*asked, **few).pairs == alone
    assert pairs_of(*asked, **few, seed=1).pairs != alone
    # Every question is now and then the one that keeps more than the others.
    kept = [thinned([2, 2, 2], 4, np.random.default_rng(seed)) for seed in range(20)]
    assert {tuple(of) for of in kept} == {(2, 1, 1), (1, 2, 1), (1, 1, 2)}


ENDED = "no right answer is whole: all are cut off, or cannot be read"
WITHIN = "all answers are right, and their rewards lie within 0.01"
WHY = {
    "none right": (answers(0, 3), "no answer is right"),
    "cut off": ((said("a", ended="length"), *answers(0, 1)), ENDED),
    "alike": (answers(3), WITHIN),
    "one text": ((said("a"), said("a ")), "all answers are right, in the same words"),
    "one answer": ((said("a"),), "all answers are right, in the same words"),
    "empty": (
        (said("a"), said("b"), said("", None, False)),
        "all answers that say anything are right, and their rewards lie within 0.01",
    ),
    "better cut": (
        (said("a", tokens=1, ended="length"), said("b")),
        "all answers are right, and those with the higher rewards are cut off",
    ),
}


@pytest.mark.parametrize(("trajectories", "why"), WHY.values(), ids=WHY)
def test_why_a_question_gives_no_pair(trajectories, why):
    assert pairs_of(question(*trajectories)) == ([], {why: 1}, {})


def test_why_questions_give_no_pair_are_counted():
    asked = [
        *(question(*answers(0, 2), number=i) for i in range(3)),
        question(*answers(2), number=3),
        *(question(*answers(1, 1), text="Again?", number=4) for _ in range(3)),
    ]
    again = "its pairs are those of the same question before"
    wanted = {"no answer is right": 3, WITHIN: 1, again: 2}
    assert pairs_of(*asked).without == wanted
    assert list(pairs_of(*asked).without) == ["no answer is right", again, WITHIN]
    none = "all its pairs are of a type that config.pairs has 0 of"
    found = pairs_of(*asked, correctness_per_question=0)
    assert found.without == {"no answer is right": 3, WITHIN: 1, none: 3}
    full = [question(*answers(1, 2), number=i) for i in range(5)]
    rest = "its pairs were left out for the share of the types, or the number of pairs"
    assert pairs_of(*full, max_pairs=2).without == {rest: 3}
    assert pairs_of(*full, max_pairs=2).left_out == {"for config.pairs.max_pairs": 8}


def test_no_questions_no_pairs():
    assert pairs_of() == ([], {}, {})


def test_in_turn_takes_each_pair_once():
    rng = np.random.default_rng(0)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert sorted(in_turn(pairs, 9, rng)) == pairs
    assert in_turn(pairs, 0, rng) == in_turn([], 3, rng) == []
