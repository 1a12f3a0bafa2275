"""Prompt batches: every prompt once an epoch, a new order each epoch, exact resumption."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from waltzjax.data.source import prompt_batches, steps_per_run
from waltzjax.types import Prompt

GOLDEN = [[4, 6, 0, 7, 5, 3, 1, 2], [2, 1, 3, 7, 6, 0, 5, 4]]
PROMPTS = [Prompt(i, f"prompt {i}", True, "malicious_query") for i in range(23)]


def ids(*, batch_size: int = 4, seed: int = 7, epochs: int | None = 3, n: int = 23):
    batches = prompt_batches(PROMPTS[:n], batch_size=batch_size, seed=seed, epochs=epochs)
    return [[prompt.id for prompt in batch] for batch in batches]


@pytest.mark.parametrize("n, batch_size, epochs", [(23, 4, 3), (20, 5, 2), (3, 7, 5), (1, 1, 2)])
def test_every_prompt_once_an_epoch_and_only_the_last_remainder_dropped(n, batch_size, epochs):
    batches = ids(n=n, batch_size=batch_size, epochs=epochs)
    assert len(batches) == steps_per_run(n, batch_size, epochs) == n * epochs // batch_size
    assert {len(batch) for batch in batches} == {batch_size}
    stream = list(itertools.chain(*batches))
    for start in range(0, len(stream), n):
        epoch = stream[start : start + n]  # the last one may lack its remainder
        assert len(epoch) == len(set(epoch))
        assert set(epoch) <= set(range(n))


def test_order_differs_between_epochs_and_from_the_file():
    stream = list(itertools.chain(*ids(batch_size=1)))
    epochs = [tuple(stream[start : start + 23]) for start in (0, 23, 46)]
    assert len({*epochs, tuple(range(23))}) == 4


def test_seed_decides_the_order():
    assert ids(seed=7) == ids(seed=7)
    orders = [ids(seed=seed, batch_size=23, epochs=2) for seed in (0, 1, 2, 2**32)]
    epochs = {tuple(batch) for order in orders for batch in order}
    assert len(epochs) == 8  # neither two seeds nor one seed's epoch 1 and the next one's epoch 0


def test_order_is_the_one_of_past_releases():
    # A saved run resumes by position: should a new grain shuffle differently, runs saved with the
    # old one would see prompts twice. If this fails, say so in the changelog, then update it.
    assert ids(n=8, batch_size=8, epochs=2, seed=3) == GOLDEN


@pytest.mark.parametrize("epochs", [3, None])
@pytest.mark.parametrize("position", [0, 1, 5, 6, 11, 12, 16, 17])
def test_resumed_equals_uninterrupted(position: int, epochs: int | None):
    def fresh():
        return prompt_batches(PROMPTS, batch_size=4, seed=7, epochs=epochs)

    # 23 prompts, batches of 4: batch 5 holds the end of epoch 0 and the start of epoch 1.
    expected = list(itertools.islice(fresh(), 17))
    first = fresh()
    for _ in range(position):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    resumed = fresh()
    next(resumed)  # where it stood before must not matter
    resumed.set_state(state)
    assert resumed.get_state() == state
    assert list(itertools.islice(resumed, 17 - position)) == expected[position:]
    if epochs:
        with pytest.raises(StopIteration):
            next(resumed)
    assert list(itertools.islice(first, 17 - position)) == expected[position:]  # undisturbed


def test_going_back_repeats_and_a_longer_run_continues():
    batches = prompt_batches(PROMPTS, batch_size=4, seed=7, epochs=1)
    start = batches.get_state()
    run = list(batches)
    end = batches.get_state()
    batches.set_state(start)
    assert list(batches) == run
    longer = prompt_batches(PROMPTS, batch_size=4, seed=7, epochs=3)
    expected = list(longer)
    longer.set_state(end)
    assert list(longer) == expected[len(run) :]


@pytest.mark.parametrize(
    "key, other",
    [
        ("seed", {"seed": 8}),
        ("batch_size", {"batch_size": 5}),
        ("items", {"prompts": PROMPTS[::-1]}),
        ("items", {"prompts": [*PROMPTS[:-1], Prompt(22, "edited", True, "malicious_query")]}),
    ],
)
def test_state_of_another_run_is_refused(key: str, other):
    same = {"prompts": PROMPTS, "batch_size": 4, "seed": 7, "epochs": 3}
    batches = prompt_batches(**same)
    with pytest.raises(ValueError, match=rf"state\['{key}'\]: got .*this run has"):
        batches.set_state(prompt_batches(**(same | other)).get_state())


@pytest.mark.parametrize("index", [-1, 18, "3", None, 1.0, True])
def test_position_outside_the_run_is_refused(index):
    batches = prompt_batches(PROMPTS, batch_size=4, seed=7, epochs=3)
    with pytest.raises(ValueError, match=r"next_index.*must be an integer in \[0, 17\]"):
        batches.set_state(batches.get_state() | {"next_index": index})


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"prompts": []}, "prompts: got none"),
        ({"batch_size": 0}, "batch_size: got 0, must be 1 or more"),
        ({"seed": -1}, "seed: got -1, must be 0 or more"),
        ({"epochs": 0}, "epochs: got 0, must be 1 or more, or None"),
        ({"batch_size": 24, "epochs": 1}, r"batch_size: got 24, must be at most .* = 23"),
    ],
)
def test_bad_arguments_are_named(wrong, message: str):
    with pytest.raises(ValueError, match=message):
        prompt_batches(**({"prompts": PROMPTS, "batch_size": 4, "seed": 7, "epochs": 3} | wrong))


def test_prompts_are_the_callers_objects():
    batch = next(prompt_batches(PROMPTS, batch_size=23, seed=0, epochs=None))
    assert isinstance(batch, list)
    assert {id(prompt) for prompt in batch} == {id(prompt) for prompt in PROMPTS}


def test_another_process_resumes_exits_at_once_and_starts_no_thread():
    batches = prompt_batches(PROMPTS, batch_size=4, seed=7, epochs=None)
    for _ in range(5):
        next(batches)
    code = (
        "import json, sys, threading\n"
        "from waltzjax.data.source import prompt_batches\n"
        "from waltzjax.types import Prompt\n"
        "prompts = [Prompt(i, f'prompt {i}', True, 'malicious_query') for i in range(23)]\n"
        "batches = prompt_batches(prompts, batch_size=4, seed=7, epochs=None)\n"
        "batches.set_state(json.loads(sys.argv[1]))\n"
        "ids = [[p.id for p in next(batches)] for _ in range(9)]\n"
        "print(json.dumps([ids, threading.active_count()]))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, json.dumps(batches.get_state())],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    expected = [[prompt.id for prompt in next(batches)] for _ in range(9)]
    assert json.loads(child.stdout) == [expected, 1]
