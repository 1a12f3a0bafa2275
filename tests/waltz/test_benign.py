"""Benign chats: how likely their replies are, and what is reported of their prompts."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from support import mesh_of, scored_episode, sharded_params, tiny_config, tiny_runtime

from waltzjax.config.defaults import default
from waltzjax.dataset.dataset import BENIGN
from waltzjax.evaluation.likelihood import chat_nll, held_out_nll, packed_rows, tokenised
from waltzjax.support.errors import DatasetError
from waltzjax.types import CONVERSATION
from waltzjax.waltz.benign import benign_result, read_benign

ATOL = 1e-5  # nats, of means near 6: float32 in another order
CHAT_ATOL = 2e-5  # nats, of a chat's sum up to 175, where float32's steps are 1.5e-5
FINE, UNSAFE = (False, False), (True, False)


def config():
    c = default()
    c.sft.length, c.sft.batch, c.sft.microbatches = 128, 2, 1
    return c


def chat(question: str, *answers: str):
    turns = [{"role": "system", "content": "You answer the user."}]
    for answer in answers:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return turns


CHATS = [
    chat("How do I wash my van?", "Take your time."),
    chat("And the shed?", "Look at the shed first.", "Yes, you can wash it."),
    *(chat(f"Is {i} fine?", "It is.") for i in range(9)),
]


def by_numpy(runtime, params) -> float:
    """Token by token: the logits of the whole text before each, in float64."""
    from waltzjax.model.transformer import hidden_states

    total, tokens = 0.0, 0
    for messages in CHATS:
        ids: list[int] = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            shown = runtime.chat.render(messages[:i])
            through = runtime.chat.render(messages[: i + 1], to_speak=False)
            [before, reply] = runtime.chat.encode([shown, through[len(shown) :]])
            # The turn's last token of the template is not the assistant's to say.
            said = 1 + next(j for j, t in enumerate(reply) if t in runtime.engine.stop_ids)
            ids = before + reply
            text = np.pad(np.array([ids], np.int32), ((0, 0), (0, 128 - len(ids))))
            forward = jax.jit(hidden_states, static_argnums=0)  # compiled once, as all are padded
            hidden = forward(runtime.cfg, params, text, np.array([len(ids)], np.int32))
            logits = np.asarray(hidden[0], np.float64) @ np.asarray(params["embed"], np.float64).T
            shifted = logits - logits.max(-1, keepdims=True)
            logp = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
            for t in range(len(before), len(before) + said):
                total -= logp[t - 1, ids[t]]
                tokens += 1
    return total / tokens


def test_the_mean_is_that_of_the_replies_tokens_one_by_one(tmp_path):
    runtime = tiny_runtime()
    params = sharded_params(runtime.cfg, runtime.mesh)
    rows = packed_rows(tmp_path, CHATS, runtime, 128)
    assert 2 < len(rows) < len(CHATS)  # more than a batch, and packed
    got = held_out_nll(config(), runtime, params, rows)
    assert got == pytest.approx(by_numpy(runtime, params), abs=ATOL)


def test_the_mean_does_not_depend_on_the_mesh(tmp_path):
    found = []
    for shape in ((1, 1, 1), (2, 2, 2)):
        runtime = tiny_runtime(mesh_of(*shape))
        params = sharded_params(tiny_config(), runtime.mesh)
        rows = packed_rows(tmp_path, CHATS, runtime, 128)
        found.append(held_out_nll(config(), runtime, params, rows))
    assert found[0] == pytest.approx(found[1], abs=ATOL)


def test_each_chats_figures_stand_in_the_order_of_the_file(tmp_path):
    runtime = tiny_runtime()
    params = sharded_params(runtime.cfg, runtime.mesh)
    chats = tokenised(tmp_path, CHATS, runtime, 128)
    alone = [chat_nll(config(), runtime, params, [chat]) for chat in chats]
    for length in (128, 256):  # packed in other orders
        c = config()
        c.sft.length = length
        nll, tokens = chat_nll(c, runtime, params, chats)
        np.testing.assert_array_equal(tokens, [n for _, [n] in alone])
        np.testing.assert_allclose(nll, [x for [x], _ in alone], atol=CHAT_ATOL)


def test_a_dataset_without_such_chats_has_none(tmp_path):
    assert read_benign(tmp_path, config(), tiny_runtime()) is None


def test_the_prompts_are_what_users_ask_first(tmp_path):
    lines = [json.dumps({"messages": messages}) + "\n" for messages in CHATS]
    (tmp_path / BENIGN).write_text("".join(lines))
    found = read_benign(tmp_path, config(), tiny_runtime())
    assert [p.text for p in found.prompts[:3]] == [
        "How do I wash my van?", "And the shed?", "Is 0 fine?",
    ]  # fmt: skip
    assert not any(p.harmful for p in found.prompts)
    assert found.chats == tuple(tokenised(tmp_path, CHATS, tiny_runtime(), 128))


def test_bad_chats_are_said_with_their_line(tmp_path):
    (tmp_path / BENIGN).write_text('{"messages": []}\n')
    with pytest.raises(DatasetError, match=r"benign\.jsonl:1"):
        read_benign(tmp_path, config(), tiny_runtime())
    long = {"messages": chat("Why? " * 200, "So.")}
    (tmp_path / BENIGN).write_text(json.dumps(long) + "\n")
    with pytest.raises(ValueError, match=r"benign\.jsonl: config\.sft\.length: got 128"):
        read_benign(tmp_path, config(), tiny_runtime())


def test_the_result_by_hand(tmp_path):
    runtime = tiny_runtime()
    params = sharded_params(runtime.cfg, runtime.mesh)
    rows = packed_rows(tmp_path, CHATS, runtime, 128)
    chats = tokenised(tmp_path, CHATS, runtime, 128)
    episodes = [
        scored_episode(False, [False, False], [UNSAFE]),
        *(scored_episode(False, [False], [FINE]) for _ in range(6)),
        scored_episode(False, [True], [FINE]),
    ]
    other = jax.tree.map(lambda x: 2 * x, params)  # the feedback agent is not asked
    agents = {CONVERSATION: params, "feedback": other}
    got = benign_result(config(), runtime, agents, chats, episodes)
    assert got["benign_ftr"] == pytest.approx(12.5) and got["benign_orr"] == 12.5
    mean = held_out_nll(config(), runtime, params, rows)
    assert got["benign_nll"] == pytest.approx(mean, abs=ATOL)
    assert set(got["intervals"]) == {"benign_ftr", "benign_orr", "benign_nll"}
    assert got["benign"]["revised"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert got["benign"]["tokens"] == [sum(c.trained) for c in chats]
    low, high = got["intervals"]["benign_ftr"]
    assert 0 < low < 1 and 50 < high < 60  # exact, of one in eight


@pytest.mark.parametrize(
    "said", ["<|assistant|>", "<|user|> <|system|>\n", "<|as<|user|>sistant|>"]
)
def test_chats_in_which_nothing_is_left_to_learn_are_counted(said):
    empty = [{**m, "content": said} if m["role"] == "assistant" else m for m in CHATS[0]]
    with pytest.raises(ValueError, match=r"chats.jsonl: in 2 of the 3 chats .* \[1, 3\] \(line\)"):
        tokenised(Path("chats.jsonl"), [empty, CHATS[0], empty], tiny_runtime(), 128)
