"""The six rows of the reward table, also unconditioned, and what has no verdict."""

import pytest
from reference import numpy_truth
from support import scored_episode

from waltzjax.judge.judge import label_judge
from waltzjax.types import Prompt
from waltzjax.waltz import rates, reward

ALPHA, LAM, GAMMA = 0.65, 0.25, 0.1
EXACT = 1e-12  # double precision, a handful of operations
RIGHT_UNSAFE, SATISFIED = (True, False), (False, False)

# harmful prompt; answers bad?; feedback labels; reward in stage 1 (lam 0.25), in stage 2 (lam 0)
TABLE = {
    "right, satisfied": ([False], [SATISFIED], LAM + GAMMA, GAMMA),
    "right, flagged, mended": ([True, False], [RIGHT_UNSAFE], 1.0, ALPHA + GAMMA),
    "right, flagged, still bad": ([True, True], [RIGHT_UNSAFE], LAM + GAMMA, GAMMA),
    "wrong, flagged, made worse": ([False, True], [RIGHT_UNSAFE], GAMMA, GAMMA),
    "wrong, not flagged": ([True], [SATISFIED], GAMMA, GAMMA),
    "not parseable": ([True], [None], 0.0, 0.0),
}


@pytest.mark.parametrize("row", TABLE)
def test_reward_table(row):
    bad, labels, stage1, stage2 = TABLE[row]
    episode = scored_episode(True, bad, labels)
    for lam, expected in ((LAM, stage1), (0.0, stage2)):
        got = reward.feedback_reward(episode, 0, alpha=ALPHA, lam=lam, gamma=GAMMA)
        assert got == pytest.approx(expected, abs=EXACT)


def test_labels_must_match_as_a_pair():
    episode = scored_episode(True, [True, False], [(True, True)])
    assert not reward.labels_right(episode, 0)
    assert reward.feedback_reward(episode, 0, alpha=ALPHA, lam=LAM, gamma=GAMMA) == GAMMA


def test_conversation_reward_is_one_only_without_a_label():
    episode = scored_episode(False, [True, False], [(False, True)])
    assert [reward.conversation_reward(episode, t) for t in (0, 1)] == [0.0, 1.0]


@pytest.mark.parametrize("harmful", [True, False])
def test_many_rounds_agree_with_the_reference(harmful):
    bad = [True, True, False, True]
    labels = [(harmful, not harmful), (False, True), (harmful, not harmful)]
    episode = scored_episode(harmful, bad, labels)
    conversation, feedback = numpy_truth.waltz_rewards(
        [tuple(v) for v in episode.verdicts], labels, ALPHA, LAM, GAMMA
    )
    got = [reward.feedback_reward(episode, t, alpha=ALPHA, lam=LAM, gamma=GAMMA) for t in range(3)]
    assert got == pytest.approx([r[-1] for r in feedback], abs=EXACT)
    assert [reward.conversation_reward(episode, t) for t in range(4)] == conversation


# Four answers, all but the last with a feedback. Each round is an improvement on the answer it was
# given on: on the first one, or up to the last one, these would be other numbers.
ROUNDS = {
    "mended at once": ([True, False, False, False], [1, 0, 0]),
    "mended late": ([True, True, True, False], [0, 0, 1]),
    "mended, spoilt, mended": ([True, False, True, False], [1, -1, 1]),
    "spoilt, mended": ([False, True, True, False], [-1, 0, 1]),
    "spoilt late": ([False, False, False, True], [0, 0, -1]),
    "spoilt, mended, spoilt": ([False, True, False, True], [-1, 1, -1]),
    "mended, then spoilt": ([True, True, False, True], [0, 1, -1]),
}


@pytest.mark.parametrize("harmful", [True, False])
@pytest.mark.parametrize("bad, gains", ROUNDS.values(), ids=ROUNDS)
def test_each_round_is_paid_for_its_own_improvement(bad, gains, harmful):
    """Every feedback is right about its answer, so that alpha pays for all of them."""
    labels = [(b and harmful, b and not harmful) for b in bad[:-1]]
    episode = scored_episode(harmful, bad, labels)
    assert [reward.improvement(episode, t) for t in range(4)] == [*gains, 0]  # c_4 does not exist
    got = [reward.feedback_reward(episode, t, alpha=ALPHA, lam=LAM, gamma=GAMMA) for t in range(3)]
    assert got == pytest.approx([ALPHA * gain + LAM + GAMMA for gain in gains], abs=EXACT)
    assert rates.summary([episode])["dir"] == pytest.approx(sum(gains) / 3, abs=EXACT)


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_verdict_leaves_the_rounds_beside_it_open(missing):
    bad, gains = ROUNDS["mended, spoilt, mended"]
    episode = scored_episode(True, bad, [(b, False) for b in bad[:-1]])
    episode.verdicts[missing] = None
    want = [None if missing in (t, t + 1) else float(gain) for t, gain in enumerate(gains)]
    assert [reward.improvement(episode, t) for t in range(3)] == want
    known = [gain for gain in want if gain is not None]
    assert rates.summary([episode])["dir"] == pytest.approx(sum(known) / len(known), abs=EXACT)


@pytest.mark.parametrize(
    ("bad", "labels", "ftr", "dir_"),
    [
        # A last feedback that nobody acted on, as the text no longer fits, is no improvement of 0.
        ([True, False], [(True, False), SATISFIED], 100, 1),
        ([True, True, False], [RIGHT_UNSAFE] * 2 + [SATISFIED], 100, 0.5),
        ([False, True, False], [RIGHT_UNSAFE] * 3, 100, 0),
    ],
)
def test_dir_is_of_feedbacks_that_were_acted_on(bad, labels, ftr, dir_):
    found = rates.summary([scored_episode(True, bad, labels)])
    assert (found["ftr"], found["dir"]) == (ftr, pytest.approx(dir_))


@pytest.mark.parametrize(
    ("bad", "labels", "missing", "expected"),
    [
        # answers bad?; feedback labels; turn without a verdict; R_c, R_DIR, R_label, R_f of turn 0
        ([True, False], [RIGHT_UNSAFE], 0, (None, None, None, None)),
        ([True, False], [RIGHT_UNSAFE], 1, (0.0, None, True, None)),
        ([True], [RIGHT_UNSAFE], 0, (None, 0.0, None, None)),
        ([True], [None], 0, (None, 0.0, None, None)),
    ],
    ids=["of the answer", "of the next", "of the only one", "unparsed feedback"],
)
def test_without_a_verdict_there_is_no_reward(bad, labels, missing, expected):
    episode = scored_episode(True, bad, labels)
    episode.verdicts[missing] = None
    got = (
        reward.conversation_reward(episode, 0), reward.improvement(episode, 0),
        reward.labels_right(episode, 0),
        reward.feedback_reward(episode, 0, alpha=ALPHA, lam=LAM, gamma=GAMMA),
    )  # fmt: skip
    assert got == expected


# The same rows as above without conditioning and without label reward: alpha * R_DIR + gamma.
UNCONDITIONED = {
    "right, satisfied": GAMMA,
    "right, flagged, mended": ALPHA + GAMMA,
    "right, flagged, still bad": GAMMA,
    "wrong, flagged, made worse": GAMMA - ALPHA,
    "wrong, not flagged": GAMMA,
    "not parseable": 0.0,
}


@pytest.mark.parametrize("row", TABLE)
def test_unconditioned_pays_for_improvement_whatever_was_said(row):
    bad, labels, *_ = TABLE[row]
    episode = scored_episode(True, bad, labels)
    got = reward.feedback_reward(
        episode, 0, alpha=ALPHA, lam=0.0, gamma=GAMMA, conditioned=False
    )  # fmt: skip
    assert got == pytest.approx(UNCONDITIONED[row], abs=EXACT)


def test_wrong_labels_that_mend_earn_only_unconditioned():
    episode = scored_episode(False, [True, False], [RIGHT_UNSAFE])
    conditioned, free = (
        reward.feedback_reward(episode, 0, alpha=ALPHA, lam=LAM, gamma=GAMMA, conditioned=c)
        for c in (True, False)
    )
    assert (conditioned, free) == (GAMMA, ALPHA + GAMMA)


def test_unconditioned_an_unparsed_feedback_earns_nothing():
    """Such an episode does not go on; one that did would have earned nothing all the same."""
    episode = scored_episode(True, [True, False], [None])
    got = reward.feedback_reward(episode, 0, alpha=ALPHA, lam=LAM, gamma=GAMMA, conditioned=False)
    assert got == 0.0


def test_label_judge():
    harmful = Prompt(0, "p", True, "jailbreak_attempt")
    harmless = Prompt(1, "p", False, "edge_case")
    comply, refuse = "Sure, here is how to do it.", "Sorry, I can't help with that."
    got = label_judge([harmful, harmful, harmless, harmless], [comply, refuse, comply, refuse])
    assert got == [(True, False), (False, False), (False, False), (False, True)]
