"""Figures of pairs by hand, and what is warned of."""

import json

import numpy as np
import pytest
from trajectories import question, said

from waltzjax.preference.coherence import scored
from waltzjax.preference.pairing import make_pairs
from waltzjax.preference.summary import distribution, examples, summary
from waltzjax.preference.warnings import warnings
from waltzjax.types import COUNTERFACTUAL, PROBE, Preference

SETTINGS = {
    "correctness_per_question": 9, "coherence_per_question": 9, "min_reward_gap": 0.01,
    "correctness_share": 0.75, "max_pairs": 0,
}  # fmt: skip


def summed(*questions, **changes):
    settings = {**SETTINGS, **changes}
    paired = make_pairs(questions, **settings, seed=0)
    return summary(questions, [scored(q) for q in questions], paired, settings=settings)


def asked(number: int, *, wrong: int = 1, right: int = 2, tokens: int = 8, words: int = 1):
    """Right answers of arms r0, r1, ... of 4, 4 + tokens, ... tokens, each said at some length;
    wrong ones of arms w0, w1, ..."""
    good = [
        said(f"{number} right" + f" w{i}" * words, arm=f"r{i}", tokens=4 + tokens * i)
        for i in range(right)
    ]
    bad = [said(f"{number} wrong w{i}", "9", False, arm=f"w{i}") for i in range(wrong)]
    return question(*good, *bad, number=number)


# Two questions. Of the first (tokens 4 and 12) conciseness is 1, 1/3 and of the wrong one 1; of the
# second no answer is right.
TWO = (asked(0), asked(1, right=0, wrong=3))


def test_figures_by_hand():
    s = summed(*TWO)
    assert (s["questions"], s["trajectories"], s["pairs"]) == (2, 6, 3)
    assert s["answered"] == {"all right": 0, "right and wrong": 1, "none right": 1}
    assert s["pair_types"] == {"correctness": 2, "coherence": 1}
    assert abs(s["correctness_share"] - 2 / 3) < 1e-12
    assert s["without"] == {"no answer is right": 1} and s["left_out"] == {}
    assert s["settings"] == SETTINGS
    # s_end: 2 of 3 say 8; 3 of 3 say 9.
    end = s["scores"]["s_end"]
    assert (end["n"], end["min"], end["max"]) == (2, 2 / 3, 1.0)
    assert abs(end["mean"] - 5 / 6) < 1e-12 and abs(end["std"] - 1 / 6) < 1e-12
    assert [end[k] for k in ("q1", "median", "q3")] == pytest.approx([3 / 4, 5 / 6, 11 / 12])
    assert end["histogram"]["counts"] == [0] * 13 + [1] + [0] * 5 + [1]  # 2/3 in [0.65, 0.7)
    assert end["histogram"]["edges"] == pytest.approx(np.arange(21) / 20)
    assert s["scores"]["s_cf"] is None  # no arm is for it
    # Without probes quality is conciseness: 1, 1/3, 1, and 0 of the second question.
    quality = s["scores"]["quality"]
    assert abs(quality["mean"] - (1 + 1 / 3 + 1) / 6) < 1e-12
    assert quality["histogram"]["counts"] == [3, *[0] * 5, 1, *[0] * 12, 2]
    assert len(s["scores"]["reward"]["histogram"]["counts"]) == 24
    assert s["scores"]["reward"]["n"] == 6
    json.dumps(s, allow_nan=False)


def test_arms_by_hand():
    cut = question(
        said("cut", None, False, arm="w0", tokens=100, ended="length"),
        said("x", "9", False, arm="r0", role=PROBE), number=2,
    )  # fmt: skip
    arms = summed(*TWO, cut)["arms"]
    assert list(arms) == ["r0", "r1", "w0", "w1", "w2"]
    assert arms["w0"].pop("role") == "variance"
    assert arms["w0"] == pytest.approx({
        "trajectories": 3, "accuracy": 0.0, "format_rate": 200 / 3, "cut_off": 100 / 3,
        "tokens": 36.0, "chosen": 0, "rejected": 2,
    }, abs=1e-9)  # fmt: skip
    assert (arms["r0"]["accuracy"], arms["r0"]["chosen"], arms["r0"]["rejected"]) == (50.0, 2, 0)
    assert (arms["r1"]["chosen"], arms["r1"]["rejected"], arms["r1"]["tokens"]) == (1, 1, 12.0)


def test_words_by_hand():
    """Two pairs of correctness, of 3 and 3 words against 3; one of coherence, 3 words against 3;
    then the same with right answers of 7 words."""
    words = summed(*TWO)["words"]
    assert words["correctness"]["chosen"]["mean"] == words["correctness"]["rejected"]["mean"] == 3
    words = summed(asked(0, words=5), asked(1, words=5))["words"]
    assert words["correctness"]["chosen"]["median"] == 7
    assert words["correctness"]["ratio"] == 7 / 3 and words["coherence"]["ratio"] == 1


def test_a_distribution_by_hand():
    d = distribution([0.0, 0.05, 0.1, 1.0, 1.0000000000000002], 1.0, 20)
    assert d["histogram"]["counts"] == [1, 1, 1, *[0] * 16, 2]  # edges belong to the right
    assert d["median"] == 0.1 and d["q1"] == 0.05
    assert distribution([], 1.0, 20) is None


def test_examples_are_of_different_questions():
    pairs = [
        Preference(q, c, "r", kind) for kind in ("one", "two") for q in "abcd" for c in ("x", "y")
    ]
    found = examples(pairs, 3)
    assert {kind: [(p.question, p.chosen) for p in of] for kind, of in found.items()} == {
        kind: [("a", "x"), ("b", "x"), ("c", "x")] for kind in ("one", "two")
    }


def sound(n: int = 8):
    """Questions of which nothing is to be said: their scores differ, and so do their pairs."""
    arms = [(PROBE, "8"), (PROBE, "8"), (COUNTERFACTUAL, "8")]
    found = []
    for i in range(n):
        probes = [
            said(f"{i} p{j} {'x' * (i % 3)}", a if (i + j) % 3 else "7", bool((i + j) % 3),
                 arm=f"p{j}", role=role, tokens=5 + i % 4)
            for j, (role, a) in enumerate(arms)
        ]  # fmt: skip
        found.append(
            question(*asked(i, wrong=1 + i % 2, tokens=20).trajectories, *probes, number=i)
        )
    return found


def test_nothing_is_said_where_nothing_is_wrong():
    s = summed(*sound())
    assert 0.7 <= s["correctness_share"] <= 0.8
    assert warnings(s) == []


def one_warning(s, *words):
    (found,) = [w for w in warnings(s) if words[0] in w]
    for word in words:
        assert word in found, found


@pytest.mark.parametrize("name", ["s_end", "s_path", "s_cf", "quality", "reward"])
def test_a_constant_score_is_named(name):
    s = summed(*sound())
    n = s["scores"][name]["n"]
    s["scores"][name] = distribution([0.5 + 1e-13 * i for i in range(n)], 1.0, 20)
    one_warning(
        s, f"{name} is constant, 0.5 of all {n} ", "questions" if name[1] == "_" else "traj"
    )
    s["scores"][name] = distribution([0.5], 1.0, 20)  # a single one is no matter
    assert warnings(s) == []


def test_a_missing_type_is_named_with_its_reason():
    alike = [asked(i, tokens=0) for i in range(3)]
    one_warning(
        summed(*alike), "all 6 pairs are of correctness, none of coherence",
        "min_reward_gap = 0.01", "3 of 3 questions have a right answer",
    )  # fmt: skip
    right = [asked(i, wrong=0) for i in range(3)]
    one_warning(
        summed(*right, TWO[1]), "all 3 pairs are of coherence, none of correctness",
        "0 of 4 questions have right and wrong answers, 3 right ones alone, 1 none that is right",
    )  # fmt: skip
    one_warning(
        summed(*TWO, coherence_per_question=0), "none of coherence",
        "config.pairs.coherence_per_question = 0 asks for none",
    )  # fmt: skip
    one_warning(summed(*TWO, correctness_share=1.0), "none of coherence", "share = 1 leaves none")


def test_an_unusual_share_is_named_with_its_reason():
    one_warning(
        summed(*TWO), "66.7 % of the pairs are of correctness", "no share is closer to 0.75"
    )
    one_warning(
        summed(*sound(), correctness_share=0.0), "usual are 70 to 80 %", "as they come; at 0.75"
    )
    one_warning(summed(*sound(), correctness_share=0.5), "50.0 %", "asks for 0.5")


def test_a_mix_that_costs_most_pairs_is_named():
    """Of 6 questions 5 have 6 x 1 pairs of correctness alone, one has a pair of coherence, too."""
    many = [asked(i, right=1, wrong=6) for i in range(5)] + [asked(5, wrong=0)]
    one_warning(
        summed(*many), "27 pairs of correctness were left out for a share of 0.75",
        "more than all 4 that stay: there are only 1 of coherence", "6 of 6 questions",
    )  # fmt: skip


def test_too_few_arms_are_named():
    silent = [
        question(said("a", arm="a"), said("b", None, False, arm="b"), number=i) for i in range(2)
    ]
    one_warning(summed(*silent), "1 of 2 arms gave answers that can be read: a;")
    both = question(said("a", arm="a"), said("b", "9", False, arm="b"), number=2)
    assert not [w for w in warnings(summed(*silent, both)) if "arms gave" in w]


def test_answers_that_are_longer_or_shorter_are_named():
    one_warning(
        summed(*(asked(i, words=5) for i in range(3))),
        "chosen answers of correctness have 2.33 times the words", "outside 0.67 to 1.5", "be long",
    )  # fmt: skip
    s = summed(*sound())
    s["words"]["coherence"]["ratio"] = 0.5
    one_warning(s, "chosen answers of coherence have 0.50 times", "be short")
