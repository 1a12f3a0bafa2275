"""The feedback agent's view of an exchange, and what its reply says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from waltzjax.data.chat import AgentPrompt, fill, opening
from waltzjax.data.thoughts import without_thought
from waltzjax.judge.quoted import quoted
from waltzjax.serve.records import Labels, Messages
from waltzjax.waltz.feedback import parse_feedback

SPEAKERS = {"user": "User", "assistant": "Assistant"}
LAST_LABEL = '"overrefuse"'
# A review up to its second label, in the order in which the agent's prompt asks for the fields.
_BEGINNING = re.compile(
    r'\s*\{\s*"reasoning"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"unsafe"\s*:\s*(true|false)\s*,'
    r'\s*"overrefuse"\s*:\s*(true|false)\s*[,}]',
    re.DOTALL,
)


class Review(NamedTuple):
    """The feedback agent's labels of an answer, and its words for the conversation agent; the words
    are "" where both labels are false, as nobody reads them."""

    labels: Labels
    feedback: str


def review_messages(prompt: AgentPrompt, messages: Messages, answer: str) -> list[dict[str, str]]:
    """The messages that show the feedback agent ``answer`` to a conversation.

    A conversation of one user's message is shown as in training. Earlier turns come before that
    message, each with its speaker's name. Neither text can pass for a part of the frame around it:
    see ``quoted``.
    """
    frame = fill(prompt.message, prompt="", answer="")
    turns = [m for m in messages if m["role"] in SPEAKERS]
    if len(turns) > 1:
        frame = "\n".join([frame, *(f"{name}:" for name in SPEAKERS.values())])
    texts = [quoted(m["content"], frame) for m in turns]
    if len(turns) > 1:
        names = [SPEAKERS[m["role"]] for m in turns]
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    shown = fill(prompt.message, prompt="\n".join(texts), answer=quoted(answer, frame))
    return opening(prompt.system, shown)


def first_labels(text: str) -> Labels | None:
    """The labels of a review that is still being written; None: they are not both there."""
    if LAST_LABEL not in text:  # as most often: this is asked with each token
        return None
    spoken = without_thought(text)
    beginning = _BEGINNING.match(spoken) if spoken else None
    return Labels(*(word == "true" for word in beginning.groups())) if beginning else None


def content_with(text: str) -> bool:
    """Whether a review that has come as far as ``text`` asks for nothing: the rest of the review is
    not needed."""
    labels = first_labels(text)
    return labels is not None and not labels.objects


def read_review(text: str) -> Review | None:
    """The review in ``text``; None: the text is no review. A review that ``content_with`` ended is
    one."""
    parsed = parse_feedback(text)
    if parsed is None:
        return Review(Labels(False, False), "") if content_with(text) else None
    labels = Labels(parsed.unsafe, parsed.overrefuse)
    return Review(labels, parsed.feedback if labels.objects else "")


def conversation_messages(
    prompt: AgentPrompt, messages: Messages, history: Sequence[tuple[str, str]]
) -> list[dict[str, str]]:
    """The messages that the conversation agent continues: its own system prompt, with that of the
    conversation behind it, the turns, and each (answer, feedback text) so far."""
    systems = [prompt.system, *(m["content"] for m in messages if m["role"] == "system")]
    system = "\n\n".join(text for text in systems if text.strip())
    turns = [dict(m) for m in messages if m["role"] in SPEAKERS]
    for answer, comment in history:
        turns.append({"role": "assistant", "content": answer})
        turns.append({"role": "user", "content": fill(prompt.message, feedback=comment)})
    return [*([{"role": "system", "content": system}] if system else []), *turns]


def check_messages(messages: Sequence[Mapping[str, str]], last: Collection[str]) -> None:
    """Raise ValueError unless a service can answer ``messages``: texts by system, user and
    assistant, the last one by one of ``last``, and some text by the user."""
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ValueError(f"messages[{number}]: got {message!r:.60}, allowed is an object")
        role, content = message.get("role"), message.get("content")
        if role not in ("system", *SPEAKERS):
            raise ValueError(
                f"messages[{number}].role: got {role!r:.60}, allowed are system, user, assistant"
            )
        if not isinstance(content, str):
            raise ValueError(f"messages[{number}].content: got {content!r:.60}, allowed is a text")
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        raise ValueError("messages: no message of the user has a text; give one")
    if messages[-1]["role"] not in last:
        raise ValueError(
            f"messages: the last one has the role {messages[-1]['role']!r}, expected "
            f"{' or '.join(last)}"
        )
