"""Guesses from earlier replies and from what a reply may quote."""

from waltzjax.serve import drafts as drafts_module
from waltzjax.serve.drafts import Drafts

PROMPT = (90, 1, 2, 3, 4, 91)  # a question of four words, and the sign to speak


def test_nothing_is_known_at_first():
    assert Drafts().guesses(PROMPT)((), 5) == []


def test_what_came_twice_is_expected_again():
    drafts = Drafts()
    drafts.learn(PROMPT, (50, 51, 52))
    assert drafts.guesses(PROMPT)((), 5) == []
    drafts.learn((7, 8, 4, 91), (50, 51, 52))
    assert drafts.guesses((5, 4, 91))((), 5) == [50, 51, 52]
    assert drafts.guesses((5, 4, 91))((), 2) == [50, 51]
    assert drafts.guesses((5, 4, 91))((50,), 5) == [51, 52]


def test_a_reply_that_quotes_is_expected_to_quote_on():
    """Replies name words of their prompts, each its own; then they go on alike."""
    drafts = Drafts()
    for words in ((11, 12), (21, 22), (31, 32), (41, 42)):
        drafts.learn((90, *words, 4, 91), (50, *words, 60, 61))
    guess = drafts.guesses((90, 13, 14, 4, 91))
    assert guess((50, 13), 1) == [14]
    for words in ((1, 2), (1, 2)):
        drafts.learn((90, *words, 4, 91), (50, *words, 60, 61))
    # After (1, 2) replies went on with 60, the prompt with 4.
    assert drafts.guesses((90, 1, 2, 4, 91))((50, 1, 2), 3) == [60, 61]


def test_the_beginning_is_not_taken_for_a_quote():
    assert Drafts().guesses((91, 5, 91))((), 3) == []


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(drafts_module, "MOST_KEYS", 100)
    drafts = Drafts()
    for i in range(1000):
        drafts.learn((i, i + 1), (i, i + 2, i + 3))
    assert len(drafts._next) <= 100
