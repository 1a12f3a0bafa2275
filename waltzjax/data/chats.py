"""Chats for supervised fine-tuning: JSON Lines of {"messages": [{"role", "content"}, ...]}.

The format of fine-tuning services: an optional system message, then user and assistant by turns,
the assistant last. An assistant's message may have a ``weight``: 0, not to be trained on, or 1.
A set is a directory with ``conversation-train.jsonl``, ``conversation-validation.jsonl``, the same
of ``feedback``, and ``manifest.json``, which holds each file's SHA-256 and lines.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.dataset_check import DatasetError, dataset_error
from waltzjax.data.feedback import parse_feedback
from waltzjax.data.splits import SPLITS
from waltzjax.data.tables import read_objects
from waltzjax.files import new_directory
from waltzjax.types import CONVERSATION, FEEDBACK

Messages = list[dict[str, Any]]

FORMAT_VERSION = 1
NAMES = tuple(f"{role}-{split}.jsonl" for role in (CONVERSATION, FEEDBACK) for split in SPLITS)
ROLES = ("system", "user", "assistant")
_KEYS = ("role", "content", "weight")
_MANIFEST = "manifest.json"
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def read_chats(path: Path) -> list[Messages]:
    """The chats of one file, in order.

    Raises DatasetError with every bad line (the text shows the first 20 and the total; the
    attribute ``problems`` has all), and FileNotFoundError.
    """
    chats, problems = [], []
    for line in read_objects(path):
        reasons = [line.problem] if line.problem else list(_reasons(line.fields))
        if reasons:
            problems.append(f"{line.where}: {'; '.join(reasons)}")
        else:
            chats.append(line.fields["messages"])
    if not chats and not problems:
        problems.append(f"{path}: the file is empty; it must hold at least one chat")
    if problems:
        raise dataset_error(path, [problems])
    return chats


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
    elif _HALF_SURROGATE.search(content):
        yield "content: not UTF-8: a lone surrogate (\\ud800-\\udfff); remove or repair it"
    if "weight" in message:
        if role != "assistant":
            yield f"weight: only an assistant's message has one, not one of {role!r}"
        elif type(message["weight"]) is not int or message["weight"] not in (0, 1):
            yield f"weight: got {message['weight']!r}, must be 0 or 1"


def write_chats(directory: Path, files: Mapping[str, Sequence[Messages]]) -> dict[str, Any]:
    """Writes a new set, ``files`` by the names of NAMES, and returns its manifest: ``directory``
    appears complete and verified, or not at all.

    Raises DatasetError if it breaks a rule, and FileExistsError if ``directory`` exists.
    """
    with new_directory(directory) as temporary:
        for name in NAMES:
            (temporary / name).write_bytes(chat_lines(files[name]))
        manifest = {
            "format_version": FORMAT_VERSION,
            "files": {name: _described(temporary / name) for name in NAMES},
        }
        (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        return verify_chats(temporary)


def chat_lines(chats: Sequence[Messages]) -> bytes:
    lines = (json.dumps({"messages": m}, ensure_ascii=False) + "\n" for m in chats)
    return "".join(lines).encode("utf-8", "surrogatepass")  # which reading reports with its line


def _described(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "lines": data.count(b"\n")}


def verify_chats(directory: Path) -> dict[str, Any]:
    """Checks a set and returns its manifest.

    Every line must be valid, train and validation share no user's first message, the feedback
    agent's last words be its JSON, and the files be those of the manifest. Raises DatasetError
    with every problem found.
    """
    groups: list[list[str]] = []
    first: dict[str, dict[str, int]] = {}
    found: dict[str, Any] = {}
    for name in NAMES:
        path = directory / name
        if not path.exists():
            groups.append([f"{path}: missing; the set is not whole, write it again"])
            continue
        found[name] = _described(path)
        try:
            chats = read_chats(path)
        except DatasetError as error:
            groups.append(list(error.problems))
            continue
        first[name] = {_first_words(chat): i for i, chat in reversed([*enumerate(chats, start=1)])}
        if name.startswith(FEEDBACK):
            groups.append([
                f"{path}:{i}: the assistant's last message is not the feedback's JSON object"
                for i, chat in enumerate(chats, start=1)
                if parse_feedback(chat[-1]["content"]) is None
            ])  # fmt: skip
    for train, validation in (NAMES[:2], NAMES[2:]):
        groups.append([
            f"{directory / validation}:{i}: its first user message is also on line "
            f"{first[train][text]} of {train}; keep it in one of the two"
            for text, i in first.get(validation, {}).items() if text in first.get(train, {})
        ])  # fmt: skip
    manifest, problems = _manifest(directory / _MANIFEST, found)
    if any([problems, *groups]):
        raise dataset_error(directory, [problems, *groups])
    return manifest


def _first_words(chat: Messages) -> str:
    return next(message["content"] for message in chat if message["role"] == "user")


def _manifest(path: Path, found: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    try:
        manifest = json.loads(path.read_bytes())
        version, said = (
            manifest["format_version"],
            {name: manifest["files"][name] for name in found},
        )
    except FileNotFoundError:
        return {}, [f"{path}: missing; the set is not whole, write it again"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return {}, [f"{path}: not a manifest ({error!r}); write the set again"]
    if version != FORMAT_VERSION:
        return {}, [f"{path}: format version {version!r}, must be {FORMAT_VERSION}; write it again"]
    return manifest, [
        f"{path.parent / name}: is {got}, the manifest says {said[name]}; it changed after "
        "it was written, restore it or write the set again"
        for name, got in found.items()
        if got != said[name]
    ]
