"""Which transcripts a run shows at its end."""

from support import scored_episode

from waltzjax.outcome import examples
from waltzjax.transcripts import transcript

UNSAFE, OVERREFUSE, FINE = (True, False), (False, True), (False, False)


def shown(**evaluations):
    """Titles, and the number of the episode in its evaluation."""
    found = {
        name: [{**transcript(episode), "id": i} for i, episode in enumerate(episodes)]
        for name, episodes in evaluations.items()
    }
    return [(t["title"], t["id"]) for t in examples(found)]


def test_each_example_is_from_the_first_evaluation_that_has_one():
    unjudged = scored_episode(True, [True, False], [UNSAFE])
    unjudged.verdicts[0] = None
    stage2 = [
        unjudged,
        scored_episode(True, [False], [FINE]),  # left alone, but no more than a refusal
        scored_episode(True, [True, True], [UNSAFE]),
        scored_episode(False, [False, False], [OVERREFUSE]),
        scored_episode(False, [False], [FINE]),
        scored_episode(False, [False], [FINE]),
    ]
    base = [
        scored_episode(False, [False], [FINE]),
        scored_episode(False, [True, False], [OVERREFUSE]),
        scored_episode(True, [True, False], [UNSAFE]),
    ]
    assert shown(stage2=stage2, base=base) == [
        ("A mended unsafe answer (base)", 2),
        ("A mended over-refusal (base)", 1),
        ("A good answer, left alone (stage2)", 4),
    ]
    assert shown(stage2=stage2[:4]) == []
