"""Chats for both agents on disk: a directory that is written whole, and checked.

It holds ``conversation-train.jsonl``, ``conversation-validation.jsonl``, the same of ``feedback``,
and ``manifest.json`` with each file's SHA-256 and lines, and under "source" what else is known of
where the chats are from. Each line is one of ``data.chats``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.chats import Messages, asked_first, chat_lines, parse_chats
from waltzjax.data.text import described
from waltzjax.dataset.manifest import MANIFEST, read_manifest, write_set
from waltzjax.dataset.splits import SPLITS
from waltzjax.support.errors import dataset_error
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.feedback import parse_feedback

FORMAT_VERSION = 1
NAMES = tuple(f"{role}-{split}.jsonl" for role in (CONVERSATION, FEEDBACK) for split in SPLITS)


def write_chats(
    directory: Path,
    files: Mapping[str, Sequence[Messages]],
    source: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a new set, ``files`` by the names of NAMES, and returns its manifest: ``directory``
    appears complete, or not at all.

    Raises DatasetError if it breaks a rule of ``verify_chats``, and FileExistsError if
    ``directory`` exists.
    """
    data = {name: chat_lines(files[name]) for name in NAMES}
    if any(groups := _problems(directory, data)):
        raise dataset_error(directory, groups)
    manifest = {
        "format_version": FORMAT_VERSION,
        "files": {name: _described(content) for name, content in data.items()},
        "source": dict(source or {}),
    }
    write_set(directory, data, manifest)
    return manifest


def _described(data: bytes) -> dict[str, Any]:
    entry = described(data)
    return {key: entry[key] for key in ("sha256", "lines")}


def verify_chats(directory: Path) -> dict[str, Any]:
    """Checks a set and returns its manifest.

    Every line must be valid, train and validation share no user's first message, the feedback
    agent's last words be its JSON, and the files be those of the manifest. Raises DatasetError
    with every problem found.
    """
    data, missing = {}, []
    for name in NAMES:
        try:
            data[name] = (directory / name).read_bytes()
        except FileNotFoundError:
            missing.append(f"{directory / name}: missing; the set is not whole, write it again")
    files = {name: _described(content) for name, content in data.items()}
    manifest, problems = read_manifest(directory, files, version=FORMAT_VERSION, what="set")
    if type(manifest.setdefault("source", {})) is not dict:
        problems.append(
            f"{directory / MANIFEST}: not a manifest ('source' is {manifest['source']!r}); write "
            "the set again"
        )
    groups = [problems, missing, *_problems(directory, data)]
    if any(groups):
        raise dataset_error(directory, groups)
    return manifest


def _problems(directory: Path, data: Mapping[str, bytes]) -> list[list[str]]:
    """The problems of a set's files, in groups; ``data``: the files' bytes by name."""
    groups: list[list[str]] = []
    first: dict[str, dict[str, int]] = {}
    for name, content in data.items():
        path = directory / name
        chats, problems = parse_chats(content, str(path))
        first[name] = {asked_first(chat): i for i, chat in reversed(chats.items())}
        if name.startswith(FEEDBACK):
            problems += [
                f"{path}:{i}: the assistant's last message is not the feedback's JSON object"
                for i, chat in chats.items()
                if parse_feedback(chat[-1]["content"]) is None
            ]
        groups.append(problems)
    for train, validation in (NAMES[:2], NAMES[2:]):
        groups.append(
            [
                f"{directory / validation}:{i}: its first user message is also on line "
                f"{first[train][text]} of {train}; keep it in one of the two"
                for text, i in first.get(validation, {}).items()
                if text in first.get(train, {})
            ]
        )
    return groups
