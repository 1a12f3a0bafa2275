"""Groups of answers to rows: hand-worked advantages, and what is told of the signals."""

import numpy as np
import pytest
from support import REPO, completion

from waltzjax import recipes
from waltzjax.config.defaults import default
from waltzjax.config.key import RLVR
from waltzjax.rlvr.recipe import group_samples, group_summary, with_reward_variance
from waltzjax.stages.algorithms import ALGORITHMS
from waltzjax.types import POLICY, Attempt, Group, Problem

ATOL = 5e-6  # float32, and the epsilon beside grpo's standard deviation
WEIGHTS = {"verify": 1.0, "format": 0.5}


def group(verify, form, number=0):
    attempts = [
        Attempt(completion(f"a{i}", ids=(i + 1,)), {"verify": v, "format": f}, True, False)
        for i, (v, f) in enumerate(zip(verify, form, strict=True))
    ]
    return Group(Problem(number, "1+1?", "2"), tuple(attempts))


def how(baseline="none", order="sum", weights=WEIGHTS, reward_clip=10.0):
    return dict(baseline=baseline, order=order, weights=weights, reward_clip=reward_clip)


def samples(items, *settings, **more):
    return group_samples(items, np.random.default_rng(0), **how(*settings, **more))[POLICY]


def advantages(items, *settings):
    return [sample.advantage for sample in samples(items, *settings)]


def test_an_answer_has_what_it_earned_and_its_advantage():
    found = samples([group([1, 0], [0, 1])], "mean")
    assert [(s.reward, s.advantage) for s in found] == [(1.0, 0.25), (0.5, -0.25)]


def test_an_advantage_is_not_clipped_as_a_reward_is():
    """One right answer of 128 is 127/128 above the mean, sqrt(127)/128 is the deviation."""
    items = [group([1] + [0] * 127, [0] * 128)]
    found = samples(items, "grpo", reward_clip=10.0)
    assert found[0].advantage == pytest.approx(np.sqrt(127), rel=1e-4) and found[0].reward == 1
    assert found[1].advantage == pytest.approx(-1 / np.sqrt(127), rel=1e-4)


@pytest.mark.parametrize(
    ("baseline", "order", "wanted"),
    [
        # Earned: 30 and 1, which is -29 and 29 of their mean; clipped at 2: 2 and 1.
        ("none", "sum", [2, 1]), ("mean", "sum", [0.5, -0.5]), ("rloo", "sum", [1, -1]),
        # Each signal within the clip by itself: nothing changes.
        ("grpo", "normalise", [29, -29]),
    ],
)  # fmt: skip
def test_rewards_are_clipped_before_the_baseline_is_taken_off(baseline, order, wanted):
    found = samples([group([1, 0], [0, 1])], baseline, order, {"verify": 30.0, "format": 1.0}, 2.0)
    assert [s.reward for s in found] == [30, 1]
    np.testing.assert_allclose([s.advantage for s in found], wanted, rtol=ATOL)


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
    got = advantages(items, baseline, order)
    same = [1.5, 1.5] if baseline == "none" else [0, 0]
    np.testing.assert_allclose(got, [*wanted, *same], rtol=0, atol=ATOL)


def test_a_signal_of_no_weight_earns_nothing_and_is_told():
    items = [group([1, 0], [0, 1]), group([0, 0], [0, 1])]
    weights = {"verify": 1.0, "format": 0.0}
    np.testing.assert_allclose(
        advantages(items, "mean", "sum", weights), [0.5, -0.5, 0, 0], atol=ATOL
    )
    found = group_summary(items, **how(weights=weights))
    assert found["reward/policy"] == pytest.approx(0.25)
    assert found["signal/verify"] == pytest.approx(0.25)
    assert found["signal/format"] == pytest.approx(0.5)
    assert found["signal_std/verify"] == pytest.approx(3**0.5 / 4)
    assert (found["frac_zero_std_groups"], found["frac_zero_std_groups/verify"]) == (0.5, 0.5)
    assert found["frac_zero_std_groups/format"] == 0
    assert found["accuracy"] == pytest.approx(25)


def test_groups_that_are_told_apart():
    items = [group([1, 0], [0, 0]), group([1, 1], [1, 1]), group([0, 0], [1, 0])]
    assert with_reward_variance(items, **how()) == [items[0], items[2]]
    assert with_reward_variance(items, **how(weights={"verify": 1.0, "format": 0.0})) == [items[0]]


# Weighted sums and each signal's own advantages do not tell the same groups apart.
ALIKE_IN_SUM = {  # verify, format; of weights 1 and 0.5 the sums are equal
    "one of four": ([0.5, 0, 0, 0], [0, 1, 1, 1]),
    "in steps": ([0.5, 0.25, 0, 0], [0, 0.5, 1, 1]),
    "spread out": ([0.25, 0.375, 0.5, 0.75], [1, 0.75, 0.5, 0]),
    "two of three": ([0.75, 0.75, 0.5], [0, 0, 0.5]),
    "all but one": ([0.5, 0.5, 0.5, 0.5, 0.25], [0, 0, 0, 0, 0.5]),
}
CONTRADICTING = {  # as good as each other, one signal each: nothing is left of either
    "two": ([1, 0], [0, 1]),
    "two, of a small spread": ([1, 0], [0.4, 0.5]),
    "two against two": ([1, 1, 0, 0], [0, 0, 1, 1]),
    "two against one": ([1, 1, 0], [0, 0, 1]),
    "in steps": ([1, 0.5, 0], [0.2, 0.3, 0.4]),
}
EQUAL = {"verify": 1.0, "format": 1.0}


@pytest.mark.parametrize("signals", CONTRADICTING.values(), ids=CONTRADICTING)
def test_signals_that_contradict_each_other_tell_nothing_apart(signals):
    """Whatever their sums say: a gradient of rounding alone would be whole steps of an optimiser
    that divides by its size."""
    items = [group(*signals)]
    settings = how("grpo", "normalise", EQUAL)
    assert with_reward_variance(items, **settings) == []
    assert group_summary(items, **settings)["frac_zero_std_groups"] == 1
    assert advantages(items, "grpo", "normalise", EQUAL) == [0] * len(signals[0])


@pytest.mark.parametrize("baseline", ["none", "mean", "grpo", "rloo"])
@pytest.mark.parametrize("order", ["sum", "normalise"])
@pytest.mark.parametrize(
    "signals",
    [*CONTRADICTING.values(), *ALIKE_IN_SUM.values(), ([1, 0], [1, 1]), ([1, 1], [1, 1])],
)
def test_a_group_is_told_apart_where_its_advantages_are(signals, order, baseline):
    items = [group(*signals)]
    settings = how(baseline, order)
    apart = len(set(np.round(advantages(items, baseline, order), 4))) > 1
    assert with_reward_variance(items, **settings) == (items if apart else [])
    assert group_summary(items, **settings)["frac_zero_std_groups"] == 1 - apart


@pytest.mark.parametrize("signals", ALIKE_IN_SUM.values(), ids=ALIKE_IN_SUM)
def test_equal_sums_of_signals_that_differ_are_told_apart_where_each_is_normalised(signals):
    items = [group(*signals)]
    assert with_reward_variance(items, **how("grpo")) == []
    kept = with_reward_variance(items, **how("grpo", "normalise"))
    assert kept == items
    assert np.abs(advantages(kept, "grpo", "normalise")).max() > 0.1


def test_samples_are_the_answers_in_order():
    items = [group([1, 0], [0, 1])]
    assert [sample.token_ids for sample in samples(items)] == [(1,), (2,)]
    assert group_samples([], np.random.default_rng(0), **how("grpo")) == {POLICY: []}


def test_each_algorithm_has_its_parts():
    said = (REPO / "waltzjax/rlvr/README.md").read_text()
    for name, algorithm in ALGORITHMS.items():
        assert f"| `{name}` |" in said
        c = default()
        c.stages, c.rl.algorithm, c.rollout.group = (RLVR,), name, 4
        recipe = recipes.STAGES[RLVR].recipe(c)
        assert recipe.weights == ("constant" if name == "dr_grpo" else "sequence")
        assert recipe.compute_advantages.keywords["normalise"] == name.startswith("reinforce_pp")
        assert recipe.to_samples.keywords["baseline"] == algorithm.baseline
        c.rl.weights = "token"
        assert recipes.STAGES[RLVR].recipe(c).weights == "token"
