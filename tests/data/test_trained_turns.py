"""Templates with text behind the end of a turn: that text is shown, and neither said nor trained.

What a turn is trained on ends with the token that ends it in a rollout, the first that does."""

import copy
import json

import numpy as np
import pytest
from support import tiny_chat

from waltzjax.core.losses import nll
from waltzjax.data.chat import Chat
from waltzjax.data.packing import chat_tokens, packed_batch

END = "<|end|>"
CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "How do I mend a fence?"},
    {"role": "assistant", "content": "With wire."},
    {"role": "user", "content": "And a gate?"},
    {"role": "assistant", "content": "With a saw."},
]
# Texts that a template may put behind an assistant's turn.
BEHIND = {
    "a line break": "\n",
    "a blank line": "\n\n",
    "words": " that was said ",
    "another end": END,
    "a line break and another end": "\n" + END,
    "the next turn's mark": "<|user|>",
}


def chat_with(behind):
    tokenizer = copy.deepcopy(tiny_chat().tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>"
        "{% if m.role == 'assistant' %}{{ BEHIND }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    ).replace("BEHIND", json.dumps(behind))
    return Chat(tokenizer, tiny_chat().conversation, tiny_chat().feedback)


def runs(got):
    """The stretches of trained tokens, and of those between them."""
    trained, between, last = [[]], [[]], False
    for token, now in zip(got.token_ids, got.trained, strict=True):
        if now and not last:
            trained.append([])
        if last and not now:
            between.append([])
        (trained if now else between)[-1].append(token)
        last = now
    return trained[1:], between


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_follows_the_end_of_a_turn_is_not_trained(behind):
    chat = chat_with(behind)
    stop = chat.tokenizer.convert_tokens_to_ids(END)
    got = chat_tokens(chat, CHAT, (stop,))
    trained, between = runs(got)
    assert [chat.tokenizer.decode(ids) for ids in trained] == [
        f"With wire.{END}",
        f"With a saw.{END}",
    ]
    assert chat.tokenizer.decode(between[1]).startswith(behind)  # but it is shown
    assert chat.tokenizer.decode(between[2]) == behind
    assert chat.tokenizer.decode(got.token_ids) == chat.render(CHAT, to_speak=False)


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_the_loss_is_of_each_turn_and_its_end_alone(behind):
    """Every trained token of the same weight, and nothing off them: summed by hand."""
    chat = chat_with(behind)
    got = chat_tokens(chat, CHAT, (chat.tokenizer.convert_tokens_to_ids(END),))
    batch = packed_batch([(got,)], length=len(got.token_ids))
    logp_BT = -np.arange(len(got.token_ids), dtype=np.float32)[None]
    said = [f"With wire.{END}", f"With a saw.{END}"]
    places, at = [], 0
    for text in said:
        ids = chat.encode([text])[0]
        while got.token_ids[at : at + len(ids)] != ids:
            at += 1
        places += range(at, at + len(ids))
        at += len(ids)
    assert float(nll(logp_BT, batch)[0]) == pytest.approx(np.mean(places), rel=1e-6)


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_a_later_turn_is_shown_what_a_rollout_shows(behind):
    """The second turn's context, text behind the first one's end included, is what an agent that
    answers for the second time is shown."""
    chat = chat_with(behind)
    got = chat_tokens(chat, CHAT, (chat.tokenizer.convert_tokens_to_ids(END),))
    _, between = runs(got)
    [shown] = chat.encode([chat.render(CHAT[:-1])])
    assert got.token_ids[: len(shown)] == shown and not got.trained[len(shown) - 1]
    assert got.trained[len(shown)]
    assert chat.tokenizer.decode(between[1]) == behind + chat.render(CHAT[3:4])
