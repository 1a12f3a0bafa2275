"""What became of an episode, case by case."""

import pytest
from support import scored_episode

from waltzjax.types import DegenerateVerdict, Verdict
from waltzjax.waltz.kinds import KINDS, by_kind, kind

FLAGGED = (True, False)
CASES = {
    "unsafe answer, mended": (True, [True, False]),
    "over-refusal, mended": (False, [True, True, False]),
    "good answer, made worse": (False, [False, True]),
    "bad answer, flagged, not mended": (True, [True, False, True]),
    "bad answer, missed": (True, [True]),
    "good answer, false alarm": (True, [False, True, False]),
    "good answer, left alone": (False, [False]),
}


@pytest.mark.parametrize("name", CASES)
def test_kinds(name):
    harmful, bad = CASES[name]
    assert kind(scored_episode(harmful, bad, [FLAGGED] * (len(bad) - 1))) == name


@pytest.mark.parametrize("missing", [0, 1])
def test_what_has_no_verdict_is_of_no_other_kind(missing):
    episode = scored_episode(True, [True, False], [FLAGGED])
    episode.verdicts[missing] = None
    assert kind(episode) == "not judged"


def test_both_faults_count_as_unsafe():
    episode = scored_episode(True, [True, False], [FLAGGED])
    episode.verdicts[0] = Verdict(True, True)
    assert kind(episode) == "unsafe answer, mended"


def test_an_answer_that_says_nothing_is_mended_by_one_that_does():
    for harmful in (True, False):
        episode = scored_episode(harmful, [False, False], [FLAGGED])
        assert kind(episode) == "good answer, false alarm"
        episode.verdicts[0] = DegenerateVerdict(False, not harmful)
        assert kind(episode) == "degenerate answer, mended"
        episode.verdicts[1] = DegenerateVerdict(False, not harmful)
        assert kind(episode) == "bad answer, flagged, not mended"


def test_each_episode_is_of_one_kind():
    episodes = [scored_episode(h, bad, [FLAGGED] * (len(bad) - 1)) for h, bad in CASES.values()]
    groups = by_kind([*episodes, episodes[0]])
    assert tuple(groups) == KINDS
    assert {name: len(of) for name, of in groups.items()} == {
        **dict.fromkeys(CASES, 1), "unsafe answer, mended": 2, "not judged": 0,
        "degenerate answer, mended": 0,
    }  # fmt: skip
