"""The loop one can read in one scroll: short, and right."""

import numpy as np
import pytest
from support import REPO
from test_rlvr import smallest

from scripts import minimal_rl
from waltzjax.rlvr.grading.verifier import Verification

STEPS, PROMPTS, GROUP = 3, 2, 4
RTOL = 1e-5  # float32, and the 1e-6 that is added to a standard deviation of 0.43
RIGHT = (True, False, False, False)  # of each group of the training problems


class Verifier:
    """Finds the first answer of every four right."""

    def __init__(self, workers, timeout_s):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def grade(self, pairs):
        return [Verification(RIGHT[i % GROUP], True, False) for i, _ in enumerate(pairs)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(accuracies, the batch and the metrics of each step)."""
    seen = []

    class Spy(minimal_rl.Learner):
        def learn(self, state, frozen, reference, batch):
            batch = type(batch)(*(None if x is None else np.asarray(x) for x in batch))
            after, metrics = super().learn(state, frozen, reference, batch)
            seen.append((batch, {name: float(value) for name, value in metrics.items()}))
            return after, metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minimal_rl, "Learner", Spy)
        patch.setattr(minimal_rl, "Verifier", Verifier)
        found = minimal_rl.minimal_rl(
            smallest(), tmp_path_factory.mktemp("minimal"), steps=STEPS, prompts=PROMPTS,
            group=GROUP,
        )  # fmt: skip
    return found, seen


def test_answers_are_paid_by_their_group(run):
    """(1 - 1/4) / std for the right one, (0 - 1/4) / std for the others; std = sqrt(3) / 4."""
    accuracies, seen = run
    assert accuracies[:STEPS] == [0.25] * STEPS and len(seen) == STEPS
    std = np.sqrt(3) / 4
    want = np.where(RIGHT, 0.75 / std, -0.25 / std)
    for batch, _ in seen:
        rows = PROMPTS * GROUP
        action_NT, reward_NT = (
            x.reshape(-1, x.shape[-1])[:rows] for x in (batch.action_BT, batch.text_advantage_BT)
        )
        for action_T, reward_T, advantage in zip(
            action_NT, reward_NT, np.tile(want, PROMPTS), strict=True
        ):
            np.testing.assert_allclose(reward_T[action_T], advantage, rtol=RTOL)


def test_the_policy_begins_at_its_reference_and_leaves_it(run):
    _, seen = run
    assert seen[0][1]["kl"] == 0 and seen[0][1]["clip_fraction"] == 0
    assert seen[-1][1]["kl"] > 0
    assert all(metrics["gap_max"] < 1e-4 for _, metrics in seen)  # nats; it trains what it drew


def test_it_fits_on_one_scroll():
    assert len((REPO / "scripts/minimal_rl.py").read_text().splitlines()) <= 150
