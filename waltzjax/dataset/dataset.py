"""Prompt datasets on disk: a directory of train.jsonl, validation.jsonl and manifest.json.

With benign.jsonl, if it has any, chats of ``waltzjax.data.chats`` in which nobody means harm:
what training should leave as it was.

Each line is ``{"id": int, "prompt": str, "label": "adversarial" | "overrefusal",
"category": str, "frame": str (optional)}``. The manifest holds the format version and, per file,
the SHA-256, the bytes, the lines and the prompts of each category.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.chats import Messages, chat_lines, parse_chats
from waltzjax.data.text import described, normalised
from waltzjax.dataset.checks import FORMAT_VERSION, LABELS, inspect, parse_lines
from waltzjax.dataset.manifest import read_manifest, write_set
from waltzjax.dataset.splits import SPLITS, expected_counts
from waltzjax.support.errors import dataset_error
from waltzjax.types import Prompt

BENIGN = "benign.jsonl"
OLDER = "ordinary.jsonl"  # what the same chats lay in before


def _encode(prompts: Sequence[Prompt]) -> bytes:
    label = {harmful: name for name, harmful in LABELS.items()}
    lines = []
    for prompt in prompts:
        record = {"id": prompt.id, "prompt": prompt.text, "label": label[prompt.harmful]}
        record |= {"category": prompt.category} | ({"frame": prompt.frame} if prompt.frame else {})
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    # A lone surrogate becomes invalid UTF-8 here, which the check reports with its line.
    return "".join(lines).encode("utf-8", errors="surrogatepass")


def write_dataset(
    directory: Path,
    train: Sequence[Prompt],
    validation: Sequence[Prompt],
    benign: Sequence[Messages] = (),
) -> None:
    """Writes a new dataset: ``directory`` appears complete, or not at all.

    Everything is checked as ``verify`` does, written to a sibling directory (hidden, named
    ``.tmp``; only a killed process leaves it behind), flushed to disk and renamed.
    Raises DatasetError if the prompts break a rule, and FileExistsError if ``directory`` exists
    or another process creates it first.
    """
    files = {"train.jsonl": _encode(train), "validation.jsonl": _encode(validation)}
    if benign:
        files[BENIGN] = chat_lines(benign)
    summary, groups = _inspected(directory, files)
    if any(groups):
        raise dataset_error(directory, groups)
    write_set(directory, files, summary)


def benign_file(directory: Path) -> Path | None:
    """Where a dataset's benign chats lie; None: it has none.

    Raises:
      ValueError: an older version wrote the dataset, under another name.
    """
    if (directory / OLDER).exists():
        raise ValueError(
            f"{directory / OLDER}: an older version wrote this dataset; benign chats are in "
            f"{BENIGN} now. Write the dataset again; an unfinished run of that version begins "
            "anew, in another --workdir"
        )
    path = directory / BENIGN
    return path if path.exists() else None


def _inspected(
    directory: Path, files: Mapping[str, bytes]
) -> tuple[dict[str, Any], list[list[str]]]:
    """``inspect`` of the files that are to lie in ``directory``, bytes by name."""
    shown = {
        split: (str(directory / f"{split}.jsonl"), files[f"{split}.jsonl"])
        for split in SPLITS
        if f"{split}.jsonl" in files
    }
    if BENIGN not in files:
        return inspect(shown, {})
    name = str(directory / BENIGN)
    chats, problems = parse_chats(files[BENIGN], name)
    asked = {
        normalised(message["content"]): f"{name}:{line}"
        for line, chat in reversed(chats.items())  # the first of two is told
        for message in chat
        if message["role"] == "user"
    }
    summary, groups = inspect(shown, asked)
    summary["files"][BENIGN] = described(files[BENIGN])
    return summary, [*groups, problems]


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of one JSON Lines file, in order.

    Raises DatasetError with every bad line (the text shows the first 20 and the total; the
    attribute ``problems`` has all), and FileNotFoundError.
    """
    prompts, problems = parse_lines(path.read_bytes(), str(path))
    if problems:
        raise dataset_error(path, [problems])
    return list(prompts.values())


def verify(directory: Path, *, expected: Mapping[str, int] | None) -> dict[str, Any]:
    """Checks a dataset and returns its summary: the manifest's ``format_version`` and ``files``,
    and ``counts``.

    The files must match the manifest; every line must be valid; train and validation must share
    no id, prompt text or frame, and benign chats ask no prompt of either; texts that differ in
    case, width or white space only are one. ``expected`` gives the numbers of prompts to find, by
    any of the keys of ``counts``: "total", "train", "validation", a category, "train/<category>",
    "validation/<category>". None: any numbers. Raises DatasetError with every problem found, and
    ValueError for an unknown key of ``expected``.
    """
    allowed = expected_counts()
    if unknown := [key for key in expected or {} if key not in allowed]:
        raise ValueError(f"expected: unknown keys {unknown}; must be among {list(allowed)}")
    benign_file(directory)  # an older version's is told
    files, missing = {}, []
    for name in (*(f"{split}.jsonl" for split in SPLITS), BENIGN):
        path = directory / name
        try:
            files[name] = path.read_bytes()
        except FileNotFoundError:
            if name != BENIGN:
                missing.append(f"{path}: missing; the dataset is not whole, write it again")
    summary, groups = _inspected(directory, files)
    manifest, changed = read_manifest(
        directory, summary["files"], version=FORMAT_VERSION, what="dataset"
    )
    if BENIGN in manifest.get("files", {}) and BENIGN not in files:
        missing.append(f"{directory / BENIGN}: missing; the dataset is not whole, write it again")
    counts = [
        f"{directory}: {summary['counts'].get(key, 0)} prompts of {key!r}, expected {count}; "
        "write the dataset again or correct the expectation"
        for key, count in (expected or {}).items()
        if summary["counts"].get(key, 0) != count
    ]
    if any(groups) or missing or changed or counts:
        raise dataset_error(directory, [missing + changed + counts, *groups])
    return summary
