"""Groups of answers to rows: hand-worked advantages, and what is told of the signals."""

import numpy as np
import pytest
from support import REPO, completion

from waltzjax import recipes, rlvr_keys
from waltzjax.config import RLVR, default
from waltzjax.rows import group_rows, group_summary, told_apart
from waltzjax.types import POLICY, Attempt, Group, Problem

ATOL = 5e-6  # float32, and the epsilon beside grpo's standard deviation
WEIGHTS = {"verify": 1.0, "format": 0.5}


def group(verify, form, number=0):
    attempts = [
        Attempt(completion(f"a{i}", ids=(i + 1,)), {"verify": v, "format": f}, True, False)
        for i, (v, f) in enumerate(zip(verify, form, strict=True))
    ]
    return Group(Problem(number, "1+1?", "2"), tuple(attempts))


def rewards(items, baseline, order, weights=WEIGHTS):
    rows = group_rows(
        items, np.random.default_rng(0), weights=weights, baseline=baseline, order=order
    )
    return [row.reward for row in rows[POLICY]]


@pytest.mark.parametrize(
    ("baseline", "order", "wanted"),
    [
        # Earned: 1 and 0.5; mean 0.75.
        ("none", "sum", [1, 0.5]),
        ("mean", "sum", [0.25, -0.25]),
        ("grpo", "sum", [1, -1]),
        ("rloo", "sum", [0.5, -0.5]),
        ("mean", "normalise", [0.25, -0.25]),
        # verify says +1 and -1, format -1 and +1, of half the weight.
        ("grpo", "normalise", [0.5, -0.5]),
    ],
)
def test_advantages_of_a_group_by_hand(baseline, order, wanted):
    items = [group([1, 0], [0, 1]), group([1, 1], [1, 1])]
    got = rewards(items, baseline, order)
    same = [1.5, 1.5] if baseline == "none" else [0, 0]
    np.testing.assert_allclose(got, [*wanted, *same], rtol=0, atol=ATOL)


def test_a_signal_of_no_weight_earns_nothing_and_is_told():
    items = [group([1, 0], [0, 1]), group([0, 0], [0, 1])]
    weights = {"verify": 1.0, "format": 0.0}
    np.testing.assert_allclose(rewards(items, "mean", "sum", weights), [0.5, -0.5, 0, 0], atol=ATOL)
    found = group_summary(items, weights=weights)
    assert found["reward/policy"] == pytest.approx(0.25)
    assert found["signal/verify"] == pytest.approx(0.25)
    assert found["signal/format"] == pytest.approx(0.5)
    assert found["signal_std/verify"] == pytest.approx(3**0.5 / 4)
    assert (found["zero_groups"], found["zero_groups/verify"]) == (0.5, 0.5)
    assert found["zero_groups/format"] == 0
    assert found["accuracy"] == pytest.approx(25)


def test_groups_that_are_told_apart():
    items = [group([1, 0], [0, 0]), group([1, 1], [1, 1]), group([0, 0], [1, 0])]
    assert told_apart(items, WEIGHTS) == [items[0], items[2]]
    assert told_apart(items, {"verify": 1.0, "format": 0.0}) == [items[0]]


def test_rows_are_the_answers_in_order():
    items = [group([1, 0], [0, 1])]
    rows = group_rows(
        items, np.random.default_rng(0), weights=WEIGHTS, baseline="none", order="sum"
    )[POLICY]
    assert [row.token_ids for row in rows] == [(1,), (2,)]
    assert group_rows([], np.random.default_rng(0), weights=WEIGHTS, baseline="grpo", order="sum") \
        == {POLICY: []}  # fmt: skip


def test_each_algorithm_has_its_parts():
    assert tuple(recipes.ALGORITHMS) == rlvr_keys.ALGORITHMS
    said = (REPO / "README.md").read_text()
    for name, algorithm in recipes.ALGORITHMS.items():
        assert f"| `{name}` |" in said
        c = default()
        c.stages, c.rl.algorithm, c.rollout.group = (RLVR,), name, 4
        recipe = recipes.RECIPES[RLVR](c)
        assert recipe.weights == ("constant" if name == "dr_grpo" else "sequence")
        assert recipe.credit.keywords["normalise"] == name.startswith("reinforce_pp")
        assert recipe.rows.keywords["baseline"] == algorithm.baseline
        c.rl.weights = "token"
        assert recipes.RECIPES[RLVR](c).weights == "token"
