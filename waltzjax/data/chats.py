"""Chats for supervised fine-tuning: JSON Lines of {"messages": [{"role", "content"}, ...]}.

The format of fine-tuning services: an optional system message, then user and assistant by turns,
the assistant last. An assistant's message may have a ``weight``: 0, not to be trained on, or 1.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.tables import json_objects
from waltzjax.data.text import LONE_SURROGATE, has_lone_surrogate
from waltzjax.support.errors import dataset_error

Messages = list[dict[str, Any]]

ROLES = ("system", "user", "assistant")
_KEYS = ("role", "content", "weight")


def read_chats(path: Path) -> list[Messages]:
    """The chats of one file, in order.

    Raises DatasetError with every bad line (the text shows the first 20 and the total; the
    attribute ``problems`` has all), and FileNotFoundError.
    """
    chats, problems = parse_chats(path.read_bytes(), str(path))
    if problems:
        raise dataset_error(path, [problems])
    return list(chats.values())


def parse_chats(data: bytes, name: str) -> tuple[dict[int, Messages], list[str]]:
    """The valid chats of the bytes of a file called ``name`` by line number (from 1), and one
    problem for each bad line."""
    chats: dict[int, Messages] = {}
    problems: list[str] = []
    for number, line in enumerate(json_objects(io.BytesIO(data), name), start=1):
        reasons = [line.problem] if line.problem else list(_reasons(line.fields))
        if reasons:
            problems.append(f"{line.where}: {'; '.join(reasons)}")
        else:
            chats[number] = line.fields["messages"]
    if not data:
        problems.append(f"{name}: the file is empty; it must hold at least one chat")
    return chats, problems


def _reasons(record: Mapping[str, Any]) -> Iterator[str]:
    """Why one JSON object is no chat; nothing if it is one."""
    if unknown := [key for key in record if key != "messages"]:
        yield f"unknown keys {unknown}: the only one is messages"
    messages = record.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        yield "messages: must be a list of objects with role and content"
        return
    for i, message in enumerate(messages):
        yield from (f"messages[{i}].{reason}" for reason in _message_reasons(message))
    roles = [m.get("role") for m in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    wanted = ["user", "assistant"] * (len(turns) // 2)
    if not turns or turns != wanted:
        yield (
            f"roles: got {', '.join(map(str, roles)) or 'none'}; after at most one system message "
            "must come user and assistant by turns, the assistant last"
        )
    elif not any(m.get("weight", 1) for m in messages if m["role"] == "assistant"):
        yield "weight: 0 for every assistant message, so there is nothing to train on"


def _message_reasons(message: Mapping[str, Any]) -> Iterator[str]:
    for key in message:
        if key not in _KEYS:
            yield f"{key}: unknown; allowed are {', '.join(_KEYS)}"
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        yield f"role: got {role!r}, must be one of {', '.join(ROLES)}"
    if type(content) is not str or not content.strip():
        yield f"content: got {content!r}, must be a text that is not empty"
    elif has_lone_surrogate(content):
        yield f"content: {LONE_SURROGATE}"
    if "weight" in message:
        if role != "assistant":
            yield f"weight: only an assistant's message has one, not one of {role!r}"
        elif type(message["weight"]) is not int or message["weight"] not in (0, 1):
            yield f"weight: got {message['weight']!r}, must be 0 or 1"


def asked_first(chat: Messages) -> str:
    """The user's first message."""
    return next(message["content"] for message in chat if message["role"] == "user")


def chat_lines(chats: Sequence[Messages]) -> bytes:
    lines = (json.dumps({"messages": m}, ensure_ascii=False) + "\n" for m in chats)
    return "".join(lines).encode("utf-8", "surrogatepass")  # which reading reports with its line
