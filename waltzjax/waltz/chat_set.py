"""Chats for both agents on disk: a directory that is written whole, and checked.

It holds ``conversation-train.jsonl``, ``conversation-validation.jsonl``, the same of ``feedback``,
and ``manifest.json`` with each file's SHA-256 and lines, and under "source" what else is known of
where the chats are from. Each line is one of ``data.chats``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.chats import Messages, asked_first, chat_lines, parse_chats
from waltzjax.data.text import described
from waltzjax.dataset.splits import SPLITS
from waltzjax.support.errors import dataset_error
from waltzjax.support.files import new_directory
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.feedback import parse_feedback

FORMAT_VERSION = 1
NAMES = tuple(f"{role}-{split}.jsonl" for role in (CONVERSATION, FEEDBACK) for split in SPLITS)
MANIFEST = "manifest.json"


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
        "files": {name: _described(of) for name, of in data.items()},
        "source": dict(source or {}),
    }
    with new_directory(directory) as temporary:
        for name, of in data.items():
            (temporary / name).write_bytes(of)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _described(data: bytes) -> dict[str, Any]:
    found = described(data)
    return {key: found[key] for key in ("sha256", "lines")}


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
    found = {name: _described(of) for name, of in data.items()}
    manifest, problems = _manifest(directory / MANIFEST, found)
    groups = [problems, missing, *_problems(directory, data)]
    if any(groups):
        raise dataset_error(directory, groups)
    return manifest


def _problems(directory: Path, data: Mapping[str, bytes]) -> list[list[str]]:
    """What is wrong with the files of a set, in groups; their bytes by name."""
    groups: list[list[str]] = []
    first: dict[str, dict[str, int]] = {}
    for name, of in data.items():
        path = directory / name
        chats, problems = parse_chats(of, str(path))
        first[name] = {asked_first(chat): i for i, chat in reversed(chats.items())}
        if name.startswith(FEEDBACK):
            problems += [
                f"{path}:{i}: the assistant's last message is not the feedback's JSON object"
                for i, chat in chats.items()
                if parse_feedback(chat[-1]["content"]) is None
            ]
        groups.append(problems)
    for train, validation in (NAMES[:2], NAMES[2:]):
        groups.append([
            f"{directory / validation}:{i}: its first user message is also on line "
            f"{first[train][text]} of {train}; keep it in one of the two"
            for text, i in first.get(validation, {}).items() if text in first.get(train, {})
        ])  # fmt: skip
    return groups


def _manifest(path: Path, found: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["format_version"]
        said = {name: manifest["files"][name] for name in found}
        if not isinstance(manifest.setdefault("source", {}), dict):
            raise TypeError(f"'source' is {manifest['source']!r}")
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
