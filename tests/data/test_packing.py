"""Chats as tokens: what is trained, exact to the token; how rows are filled."""

import copy

import numpy as np
import pytest
from support import tiny_chat
from tokenizers import normalizers

from waltzjax.data.chat import Chat, stop_ids
from waltzjax.data.packing import ChatTokens, chat_tokens, pack, packed_batch

TWO_TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "How do I mend a fence?"},
    {"role": "assistant", "content": "With wire."},
    {"role": "user", "content": "And a gate?"},
    {"role": "assistant", "content": "With a saw."},
]
WEIGHT_ATOL = 1e-6  # float32 shares that sum to 1


def tokens_of(messages):
    chat = tiny_chat()
    return chat, chat_tokens(chat, messages, stop_ids(chat.tokenizer))


def trained_text(chat, got):
    runs, text = [], []
    for token, trained in zip(got.token_ids, got.trained, strict=True):
        if trained:
            text.append(token)
        elif text:
            runs, text = [*runs, chat.tokenizer.decode(text)], []
    return [*runs, chat.tokenizer.decode(text)] if text else runs


def test_only_what_the_assistant_says_and_its_end_is_trained():
    chat, got = tokens_of(TWO_TURNS)
    end = chat.tokenizer.eos_token
    assert trained_text(chat, got) == [f"With wire.{end}", f"With a saw.{end}"]
    whole = chat.tokenizer.apply_chat_template(TWO_TURNS, tokenize=False)
    assert chat.tokenizer.decode(got.token_ids) == whole


def test_a_turn_is_encoded_as_it_is_shown_and_drawn():
    chat, got = tokens_of(TWO_TURNS[:3])
    [shown] = chat.encode([chat.render(TWO_TURNS[:2])])
    assert got.token_ids[: len(shown)] == shown
    assert not any(got.trained[: len(shown)]) and all(got.trained[len(shown) : -1])


def test_weight_zero_is_shown_and_not_trained():
    messages = [*TWO_TURNS[:2], {**TWO_TURNS[2], "weight": 0}, *TWO_TURNS[3:]]
    chat, got = tokens_of(messages)
    assert trained_text(chat, got) == [f"With a saw.{chat.tokenizer.eos_token}"]
    assert got.token_ids == tokens_of(TWO_TURNS)[1].token_ids


def test_control_tokens_in_a_text_are_removed():
    end = tiny_chat().tokenizer.eos_token
    spelled = [*TWO_TURNS[:2], {"role": "assistant", "content": f"With {end}wire."}]
    assert tokens_of(spelled)[1] == tokens_of(TWO_TURNS[:3])[1]


def test_a_template_that_ends_no_turn_is_an_error():
    chat = tiny_chat()
    with pytest.raises(ValueError, match="none of which is among"):
        chat_tokens(chat, TWO_TURNS[:3], (chat.tokenizer.get_vocab()["a"],))


def test_a_template_that_rewrites_what_was_said_is_an_error(monkeypatch):
    chat = tiny_chat()
    plain = chat.render
    monkeypatch.setattr(
        type(chat), "render",
        lambda self, messages, **how: plain(messages, **how).replace("wire", f"{len(messages)}"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="writes message 3 differently once message 4"):
        chat_tokens(chat, TWO_TURNS, stop_ids(chat.tokenizer))


def chat_of(length, first=0):
    return ChatTokens(tuple(range(first, first + length)), (False,) + (True,) * (length - 1))


def test_rows_are_filled_and_nothing_is_lost():
    rng = np.random.default_rng(0)
    chats = [chat_of(int(n), first=100 * i) for i, n in enumerate(rng.integers(2, 60, 200))]
    rows = pack(chats, 64)
    assert sorted(c.token_ids for row in rows for c in row) == sorted(c.token_ids for c in chats)
    filled = [sum(len(c.token_ids) for c in row) for row in rows]
    assert max(filled) <= 64
    assert len(rows) <= 1 + -(-sum(filled) // 64) * 1.1  # a tenth above what cannot be beaten


def test_packing_by_hand():
    rows = pack([chat_of(n) for n in (3, 7, 4, 2, 6)], 10)
    # Longest first, each where least room is left over: 7, then 6 beside nothing, 4 with 6, ...
    assert [[len(c.token_ids) for c in row] for row in rows] == [[7, 3], [6, 4], [2]]


def test_a_chat_longer_than_a_row_is_an_error_with_its_line():
    with pytest.raises(ValueError, match=r"2 chats are longer.*\(1, 11\), \(3, 12\)"):
        pack([chat_of(11), chat_of(3), chat_of(12)], 10)


def test_arrays_by_hand():
    batch = packed_batch([(chat_of(3, 5), chat_of(2, 20)), (chat_of(5, 30),)], length=6, min_rows=4)
    assert batch.token_BT[:2].tolist() == [[5, 6, 7, 20, 21, 0], [30, 31, 32, 33, 34, 0]]
    assert batch.start_BT[0].tolist() == [0, 0, 0, 3, 3, 0]
    assert batch.action_BT[0].tolist() == [False, True, True, False, True, False]
    assert batch.length_B.tolist() == [5, 5, 1, 1] and not batch.action_BT[2:].any()
    np.testing.assert_allclose(batch.weight_BT[batch.action_BT], 1 / 7, atol=WEIGHT_ATOL)  # 3 and 4
    assert batch.weight_BT.sum() == pytest.approx(1, abs=WEIGHT_ATOL)


def test_a_tokenizer_that_marks_the_beginning_of_a_text_marks_it_once():
    """As Llama 2's and Mistral's do: encoded by itself a reply would begin with a mark of its own,
    which nobody draws in the middle of a chat."""
    marking = copy.deepcopy(tiny_chat().tokenizer)
    marking.backend_tokenizer.normalizer = normalizers.Prepend("!")
    marking.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + eos_token }}"
        "{% else %}({{ m.content }}) {% endif %}{% endfor %}"
    )
    chat = Chat(marking, tiny_chat().conversation, tiny_chat().feedback)
    got = chat_tokens(chat, TWO_TURNS, stop_ids(marking))
    end = marking.eos_token
    assert trained_text(chat, got) == [f"With wire.{end}", f"With a saw.{end}"]
    assert list(got.token_ids) == list(chat.encode([chat.render(TWO_TURNS, to_speak=False)])[0])
