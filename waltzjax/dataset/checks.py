"""The rules of a valid prompt dataset: its categories, rules of a line, rules between files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from waltzjax.data.tables import json_objects
from waltzjax.data.text import LONE_SURROGATE, described, has_lone_surrogate, normalised
from waltzjax.types import Prompt

FORMAT_VERSION = 1

# category -> (harmful, prompts of it in the full dataset)
CATEGORIES: dict[str, tuple[bool, int]] = {
    "jailbreak_attempt": (True, 3337),
    "harmful_instruction": (True, 3337),
    "malicious_query": (True, 3336),
    "safe_complex": (False, 3337),
    "edge_case": (False, 3337),
    "borderline_safe": (False, 3336),
}
LABELS = {"adversarial": True, "overrefusal": False}  # label -> harmful
_FIELDS = {"id": int, "prompt": str, "label": str, "category": str, "frame": str}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _reasons(record: Mapping[str, Any]) -> list[str]:
    """Why one JSON object is not a prompt; empty if it is one. Unknown keys are ignored."""
    reasons = []
    for key, kind in _FIELDS.items():
        if key not in record:
            if key != "frame":
                reasons.append(f"missing key {key!r}: add it ({kind.__name__})")
        elif type(record[key]) is not kind:  # not isinstance: True is an int
            got = record[key]
            reasons.append(
                f"wrong type of {key!r}: got {_short(got)} ({type(got).__name__}), "
                f"must be {kind.__name__}"
            )
    if reasons:
        return reasons
    text, label, category = record["prompt"], record["label"], record["category"]
    if not text.strip():
        reasons.append("empty prompt: write a text or remove the line")
    if has_lone_surrogate(text + record.get("frame", "")):
        reasons.append(LONE_SURROGATE)
    if label not in LABELS:
        reasons.append(f"unknown label {_short(label)}: must be one of {', '.join(LABELS)}")
    if category not in CATEGORIES:
        allowed = ", ".join(CATEGORIES)
        reasons.append(f"unknown category {_short(category)}: must be one of {allowed}")
    elif label in LABELS and CATEGORIES[category][0] != LABELS[label]:
        needed = next(name for name, harm in LABELS.items() if harm == CATEGORIES[category][0])
        reasons.append(
            f"label and category disagree: {category!r} is {needed!r}, got {label!r}; fix one"
        )
    return reasons


def parse_lines(data: bytes, name: str) -> tuple[dict[int, Prompt], list[str]]:
    """Reads the bytes of one JSON Lines file called ``name``.

    Returns the valid prompts by line number (from 1) and one problem for each bad line.
    """
    prompts: dict[int, Prompt] = {}
    problems: list[str] = []
    first_id: dict[int, int] = {}
    first_text: dict[str, int] = {}
    # Only b"\n" ends a line: str.splitlines would also cut at U+2028 inside a prompt.
    for number, row in enumerate(json_objects(io.BytesIO(data), name), start=1):
        record = row.fields
        reasons = [row.problem] if row.problem else _reasons(record)
        key, text = record.get("id"), record.get("prompt")
        if type(key) is int and first_id.setdefault(key, number) != number:
            reasons.append(f"duplicate id {key} of line {first_id[key]}: ids must be unique")
        if type(text) is str and text and first_text.setdefault(text, number) != number:
            reasons.append(f"duplicate prompt text of line {first_text[text]}: remove one")
        if reasons:
            problems.append(f"{row.where}: {'; '.join(reasons)}")
        else:
            harmful = LABELS[record["label"]]
            frame = record.get("frame", "")
            prompts[number] = Prompt(record["id"], str(text), harmful, record["category"], frame)
    if not data:
        problems.append(f"{name}: the file is empty; it must hold at least one prompt")
    return prompts, problems


def _overlaps(train: Mapping[int, Prompt], validation: Mapping[int, Prompt]) -> list[str]:
    """One problem for each id, text or frame of validation that train has too."""
    problems = []
    rules: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
        ("id", "id", int),
        ("prompt text", "text", normalised),
        ("frame", "frame", str),
    )
    for what, key, form in rules:
        seen = {form(getattr(prompt, key)): line for line, prompt in reversed([*train.items()])}
        reported = {""}  # user files have no frame
        for line, prompt in validation.items():
            value = getattr(prompt, key)
            if (same := form(value)) in seen and same not in reported:
                reported.add(same)
                problems.append(
                    f"train/validation overlap: {what} {_short(value)} is on train line "
                    f"{seen[same]} and validation line {line}; keep it in one of the two"
                )
    return problems


def _asked_too(asked: Mapping[str, str], split: str, prompts: Mapping[int, Prompt]) -> list[str]:
    """One problem for each text of ``asked`` that is a prompt of the split."""
    return [
        f"{asked[text]}: a benign chat asks {_short(prompt.text)}, which is also on "
        f"{split} line {line}; keep it in one of the two"
        for line, prompt in prompts.items()
        if (text := normalised(prompt.text)) in asked
    ]


def flat_counts(categories: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Counts of prompts from split -> category -> count.

    Keys: ``total``, each split, each category, and each ``split/category``.
    """
    counts = {"total": sum(sum(sizes.values()) for sizes in categories.values())}
    counts |= {split: sum(sizes.values()) for split, sizes in categories.items()}
    counts |= {
        name: sum(sizes.get(name, 0) for sizes in categories.values()) for name in CATEGORIES
    }
    for split, sizes in categories.items():
        counts |= {f"{split}/{name}": sizes.get(name, 0) for name in CATEGORIES}
    return counts


def inspect(
    files: Mapping[str, tuple[str, bytes]], asked: Mapping[str, str]
) -> tuple[dict[str, Any], list[list[str]]]:
    """Checks the files of a dataset, given as split -> (path to show, bytes).

    ``asked``: what users ask in its benign chats, normalised -> where. Returns the summary that
    is also the manifest, and the groups of problems: the bad lines of each file, then what train
    and validation share, then what either shares with the benign chats.
    """
    files_, categories, groups, parsed = {}, {}, [], {}
    for split, (name, data) in files.items():
        parsed[split], problems = parse_lines(data, name)
        groups.append(problems)
        counts = Counter(prompt.category for prompt in parsed[split].values())
        categories[split] = {category: counts[category] for category in CATEGORIES}
        files_[f"{split}.jsonl"] = described(data) | {"categories": categories[split]}
    groups.append(_overlaps(parsed.get("train", {}), parsed.get("validation", {})))
    groups += [_asked_too(asked, split, prompts) for split, prompts in parsed.items()]
    summary = {"format_version": FORMAT_VERSION, "files": files_}
    return summary | {"counts": flat_counts(categories)}, groups
