"""Frames on one side, numbers exact: against every choice there is, and at full size."""

import dataclasses
import itertools
import random
from collections import Counter

import pytest

from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.splits import split_counts, stratified_split, take_share
from waltzjax.types import Prompt

NAMES = list(CATEGORIES)


def prompts_of(groups: list[list[int]]) -> list[Prompt]:
    """Prompts of the categories of each group, all of a group in one frame."""
    made = []
    for number, group in enumerate(groups):
        for which in group:
            name = NAMES[which]
            text, frame = f"prompt {len(made)}", f"frame {number}" * (len(group) > 1)
            made.append(Prompt(len(made), text, CATEGORIES[name][0], name, frame))
    return made


def counts(prompts) -> dict[str, int]:
    found = Counter(prompt.category for prompt in prompts)
    return {name: found[name] for name in NAMES}


def check(prompts, train, validation):
    assert Counter([*train, *validation]) == Counter(prompts)
    assert not {p.frame for p in train} & {p.frame for p in validation} - {""}
    wanted = split_counts(counts(prompts))
    assert counts(train) == {name: n for name, (n, _) in wanted.items()}


def members(taken, width):
    return [sum(n * shape[c] for shape, n in taken.items()) for c in range(width)]


def test_a_choice_is_found_where_there_is_one_and_only_there():
    rng, possible = random.Random(0), 0
    for _ in range(400):
        shapes = {tuple(rng.randint(0, 3) for _ in range(3)) for _ in range(rng.randint(1, 4))}
        groups = {shape: rng.randint(1, 4) for shape in shapes}
        wanted = [(3 * n + rng.randint(0, 3)) // 4 for n in members(groups, 3)]
        every = itertools.product(*(range(n + 1) for n in groups.values()))
        there = any(members(dict(zip(groups, n, strict=True)), 3) == wanted for n in every)
        taken = take_share(groups, 0.75, wanted)
        assert (taken is not None) == there, (groups, wanted)
        if taken is not None:
            assert members(taken, 3) == wanted
            assert all(0 <= taken[shape] <= n for shape, n in groups.items())
        possible += there
    assert 50 < possible < 350


def test_of_each_shape_about_the_share_is_taken():
    rng = random.Random(0)
    sizes = [1 + int(rng.expovariate(0.5)) for _ in range(3000)]
    groups = Counter((size, int(rng.random() < 0.5), 1) for size in sizes)
    taken = take_share(groups, 0.75, [3 * n // 4 for n in members(groups, 3)])
    assert taken is not None and len(groups) > 20
    # Rounded either way, and a few more that make the numbers exact; about 6 if rounded blindly.
    assert max(abs(taken[shape] - 0.75 * n) for shape, n in groups.items()) < 4


def full(pairs: int) -> list[Prompt]:
    """The 20,020: requests with two rewrites, or with one, and prompts of their own."""
    groups = [[0, 0, 1], [3, 4]] * pairs
    left = Counter({name: n for name, (_, n) in CATEGORIES.items()})
    left.subtract(NAMES[i] for group in groups for i in group)
    groups += [[i] for i, name in enumerate(NAMES) for _ in range(left[name])]
    return prompts_of(groups)


@pytest.mark.parametrize("pairs", [500, 1668])
def test_the_full_numbers_hold_with_frames_on_one_side(pairs):
    prompts = full(pairs)
    train, validation = stratified_split(prompts, seed=0)
    check(prompts, train, validation)
    assert len(train) == 15_015
    together = sum(p.frame != "" for p in train) / (5 * pairs)
    assert together == pytest.approx(0.75, abs=0.01)  # not all on one side
    again = stratified_split(prompts[::-1], seed=0)
    assert [set(side) for side in again] == [set(train), set(validation)]
    other, _ = stratified_split(prompts, seed=1)
    assert 0.5 < len(set(other) & set(train)) / len(train) < 0.9  # 0.75 by chance


def test_without_prompts_of_their_own():
    rng = random.Random(0)
    groups = [[0] * rng.randint(1, 6) + [rng.randint(1, 2)] for _ in range(500)]
    groups += [[3] * rng.randint(1, 6) + [4] for _ in range(500)]
    prompts = prompts_of(groups)
    check(prompts, *stratified_split(prompts, seed=0))


def test_a_split_that_cannot_be_is_an_error():
    one = [dataclasses.replace(p, frame="f") for p in prompts_of([[0]] * 4)]
    with pytest.raises(ValueError) as caught:
        stratified_split([*one, *prompts_of([[1]] * 4)], seed=0)
    said = str(caught.value)
    assert "keeps the prompts of each frame on one side" in said
    assert "jailbreak_attempt 3 and 1, harmful_instruction 3 and 1" in said
    assert "largest frames: 4 of 'prompt 0'; 1 of 'prompt" in said
