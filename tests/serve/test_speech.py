"""What of a reply may be told before it is over."""

import random
import time

import pytest

from waltzjax.serve.speech import Speech


def told(pieces, **how):
    """What a listener hears as the pieces are written; then the whole text."""
    heard = []
    speech = Speech(heard.append, **how)
    for end in range(1, len(pieces) + 1):
        assert not speech.hear("".join(pieces[:end]))
    return heard, speech.text("".join(pieces))


@pytest.mark.parametrize(
    ("pieces", "how", "heard", "whole"),
    [
        (["Hel", "lo", "  ", " you "], {}, ["Hel", "Hello", "Hello   you"], "Hello   you"),
        (["a <", "b", " c"], {}, ["a", "a <b c"], "a <b c"),
        (["<thi", "nk>a", "</thi", "nk>b", "c"], {}, ["b", "bc"], "bc"),
        (["a", "</think>b"], {"opened": True}, ["b"], "b"),
        (["a", "b"], {"opened": True}, [], ""),
        (["<think>a", "b"], {}, [], ""),
        (["Let me ", "<think> the user", "</think> go"], {}, ["Let me", "Let me  go"],
         "Let me  go"),
        (["Let me <think> aloud"], {}, ["Let me"], "Let me <think> aloud"),
        (["plan", "</think>b", "c"], {"thinks": True}, ["b", "bc"], "bc"),
        (["a", "b"], {"thinks": True}, [], "ab"),
        (["x [", "THI", "NG] y"], {}, ["x", "x [THING] y"], "x [THING] y"),
        (["caf\ufffd"], {}, ["caf"], "caf\ufffd"),
        (["one E", "N", "T", "E"], {"stops": ("END",)}, ["one", "one ENT"], "one ENTE"),
        (["one E", "ND two"], {"stops": ("END", "two")}, ["one"], "one"),
    ],
)  # fmt: skip
def test_only_what_no_later_piece_changes_is_told(pieces, how, heard, whole):
    assert told(pieces, **how) == (heard, whole)


def test_enough_is_enough():
    speech = Speech(lambda text: text.endswith("stop"))
    assert [speech.hear(text) for text in ("go", "go stop", "go stop on")] == [False, True, True]
    assert speech.text("go stop on") == "go stop"


@pytest.mark.parametrize(
    "text",
    [
        "<" * 10**6, "\n" * 10**6 + "x", "<think" * 10**5, "[ " * 10**5, "<" + " " * 10**6,
        "<think>" * 10**5 + "</think>" * 10**5, "<th<think></think>" * 10**5 + "ink>" * 10**5,
    ],
    ids=range(7),
)  # fmt: skip
def test_a_long_text_is_told_in_a_moment(text):
    """Where a length costs its square, each of them takes minutes."""
    speech = Speech(lambda _: False, stops=("never",))
    began = time.perf_counter()
    speech.hear(text)
    speech.text(text)
    assert time.perf_counter() - began < 10


PIECES = [
    "<think>", "</think>", "<", "/", "think", ">", " ", "\n", "a", "b c", "é", "<thi", "nk>",
    "\ufffd",
]  # fmt: skip


@pytest.mark.parametrize("opened", [False, True])
def test_what_is_heard_bit_by_bit_is_what_is_heard_at_once(opened):
    """Texts of random pieces, many of which are tags or parts of them."""
    rng = random.Random(0)
    for _ in range(3000):
        written, heard = "", []
        speech = Speech(heard.append, opened=opened)
        for piece in rng.choices(PIECES, k=rng.randint(1, 12)):
            written += piece
            news: list[str] = []
            before = [*heard]
            speech.hear(written)
            Speech(news.append, opened=opened).hear(written)
            if heard != before:
                assert news == heard[-1:]
            elif news:
                assert heard and not (news[0].startswith(heard[-1]) and news[0] != heard[-1])


@pytest.mark.parametrize("opened", [False, True])
def test_a_reply_of_many_tokens_is_heard_in_linear_time(opened):
    def seconds(count):
        speech, began = Speech(lambda _: False, opened=opened), time.process_time()
        text = ""
        for _ in range(count):
            text += "a word "
            speech.hear(text)
        return time.process_time() - began

    assert seconds(8000) < 0.5 + 10 * seconds(800)
