"""Chats as tokens, several a row: what supervised fine-tuning is trained on, exact to the token."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from waltzjax.data.batching import blank_batch, bucket, token_weights
from waltzjax.data.chat import Chat
from waltzjax.data.policy_packing import best_fit
from waltzjax.data.thoughts import opens_thought
from waltzjax.types import PolicyBatch


@dataclasses.dataclass(frozen=True)
class ChatTokens:
    """One chat. ``trained[t]``: token t was said by the assistant, or ends its turn."""

    token_ids: tuple[int, ...]
    trained: tuple[bool, ...]


def chat_tokens(
    chat: Chat, messages: Sequence[dict[str, Any]], stop_ids: Collection[int]
) -> ChatTokens:
    """A chat that ends with the assistant's turn, through the tokenizer's own template.

    What the assistant is shown is encoded as in a rollout, and what it says as it will be drawn:
    no token lies across the two. A turn is trained up to the first of ``stop_ids``; not with
    ``weight`` 0. What the template writes behind that may change once the chat goes on.

    Raises:
      ValueError: the template cannot be cut into turns, or ends none.
    """
    ids: list[int] = []
    trained: list[bool] = []
    seen = ""
    behind: tuple[int, ...] = ()
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        shown = [{"role": m["role"], "content": m["content"]} for m in messages[: i + 1]]
        before, through = chat.render(shown[:-1]), chat.render(shown, to_speak=False)
        if opens_thought(before) and not through.startswith(before):
            raise ValueError(
                f"{chat.template.directory}: the chat template opens a thought where the assistant "
                f"is to speak, {before[-30:]!r}, and not before what it said, so that nothing can "
                "be trained as it is drawn: have it open none (config.model.template_kwargs, where "
                "it reads one such as enable_thinking), or write the tag in both places"
            )
        if not (before.startswith(seen) and through.startswith(before)):
            raise ValueError(
                f"{chat.template.directory}: the chat template writes message {i - 1} differently "
                f"once message {i} follows: {_simpler(shown)}"
            )
        # Whole texts, as a rollout encodes them: some tokenizers mark the beginning of a text.
        shown_ids, all_ids = chat.encode([before, through])
        context = _after(shown_ids, ids) or chat.encode([before[len(seen) :]])[0]
        reply = _after(all_ids, [*ids, *context]) or chat.encode([through[len(before) :]])[0]
        end = next((n for n, token in enumerate(reply, 1) if token in stop_ids), 0)
        if not end:
            raise ValueError(
                f"{chat.template.directory}: the chat template ends the assistant's turn with "
                f"{chat.tokenizer.convert_ids_to_tokens(reply[-3:])}, none of which is "
                f"among the tokens that end a turn, {tuple(stop_ids)}"
            )
        weight = bool(message.get("weight", 1))
        ids += [*context, *reply[:end]]
        trained += [False] * len(context) + [weight] * end
        seen, behind = _through(chat, before, through, reply[end - 1]), reply[end:]
    return ChatTokens((*ids, *behind), (*trained, *[False] * len(behind)))


def _through(chat: Chat, before: str, through: str, end: int) -> str:
    """The chat's text up to and with the token ``end`` of the answer that follows ``before``."""
    token = chat.tokenizer.convert_ids_to_tokens(end)
    text, ending, _ = through[len(before) :].partition(token)
    return before + text + ending


def _simpler(shown: Sequence[Mapping[str, str]]) -> str:
    """Advice on what to train on instead of the chat ``shown``."""
    if sum(message["role"] == "assistant" for message in shown) > 1:
        return "train on chats of one turn, or with a template that leaves what was said alone"
    if shown[0]["role"] == "system":
        return "put the system message's text at the beginning of the user's message"
    return "take a template that leaves what was shown alone"


def _after(ids: Sequence[int], start: Sequence[int]) -> tuple[int, ...]:
    """The ids that follow ``start`` in ``ids``; () if they begin otherwise: a token lies across."""
    return tuple(ids[len(start) :]) if list(ids[: len(start)]) == list(start) else ()


def pack(chats: Sequence[ChatTokens], length: int) -> list[tuple[ChatTokens, ...]]:
    """The chats in rows of at most ``length`` tokens; ValueError as of ``packed_numbers``."""
    return [tuple(chats[i] for i in row) for row in packed_numbers(chats, length)]


def packed_numbers(chats: Sequence[ChatTokens], length: int) -> list[list[int]]:
    """The chats' numbers, from 0, in rows of at most ``length`` tokens: best fit, longest first.

    Raises:
      ValueError: chats that are longer, by number.
    """
    if long := [i for i, chat in enumerate(chats) if len(chat.token_ids) > length]:
        raise ValueError(
            f"config.sft.length: got {length}, but {len(long)} chats are longer, the first ones "
            f"{[(i + 1, len(chats[i].token_ids)) for i in long[:5]]} (line, tokens)"
        )
    return best_fit([len(chat.token_ids) for chat in chats], length)


def packed_batch(
    rows: Sequence[Sequence[ChatTokens]], *, length: int, min_rows: int = 1
) -> PolicyBatch:
    """One update's packed rows as arrays [B, length], every trained token of the same weight.

    Rows are padded to a multiple of ``min_rows`` with empty ones.
    """
    batch = blank_batch((bucket(len(rows), min_rows), length))
    for b, row in enumerate(rows):
        end = 0
        for chat in row:
            begin, end = end, end + len(chat.token_ids)
            text = b, slice(begin, end)
            batch.token_BT[text], batch.action_BT[text] = chat.token_ids, chat.trained
            batch.start_BT[text] = begin
        batch.length_B[b] = end
    weight_B = token_weights(batch.action_BT.sum(axis=1), "token")
    batch.weight_BT[:] = batch.action_BT * weight_B[:, None]
    return batch
