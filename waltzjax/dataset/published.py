"""Readers of rows, by kind of file: what a row says of its prompt, and which category that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from waltzjax.dataset.checks import CATEGORIES, LABELS

# kind -> category of an instruction, category of a question. The categories' names are the
# method's, whose authors do not say what each was drawn from: this choice is ours. XSTest's safe
# prompts, like WildJailbreak's vanilla_benign, are harmless but share words with harmful ones.
KINDS: dict[str, tuple[str, str]] = {
    "WildJailbreak adversarial_harmful": ("jailbreak_attempt", "jailbreak_attempt"),
    "WildJailbreak vanilla_harmful": ("harmful_instruction", "malicious_query"),
    "WildJailbreak adversarial_benign": ("safe_complex", "safe_complex"),
    "WildJailbreak vanilla_benign": ("edge_case", "edge_case"),
    "OR-Bench toxic": ("harmful_instruction", "malicious_query"),
    "OR-Bench hard-1k": ("borderline_safe", "borderline_safe"),
    "OR-Bench 80k": ("borderline_safe", "borderline_safe"),
    "XSTest unsafe": ("harmful_instruction", "malicious_query"),
    "XSTest safe": ("edge_case", "edge_case"),
    "JSONL harmful": ("harmful_instruction", "malicious_query"),
    "JSONL harmless": ("borderline_safe", "borderline_safe"),
}
_LABEL_WORDS = {**LABELS, "harmful": True, "unsafe": True, "harmless": False, "safe": False}
_MISSPELT = 0.8  # of get_close_matches; a plural, a letter too few, or a space for _ is more


class Said(NamedTuple):
    kind: str  # of KINDS, which decides where no category is named
    text: Any
    category: str = ""
    ignored: str = ""  # a category of another scheme
    origin: str = ""  # the request that the text rewrites
    frame: str = ""  # of prompts that stay together


class Source(NamedTuple):
    """columns: what tells its files; read: a row and the file's name -> what it says. It raises
    ValueError for a row that says no such thing. also: columns that not all of its files have."""

    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str], Said]
    also: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that ``read`` looks at."""
        return self.columns + self.also


def _wildjailbreak(row: Mapping[str, Any], name: str) -> Said:
    style, _, side = str(row["data_type"]).partition("_")
    kind = f"WildJailbreak {style}_{side}"
    if kind not in KINDS:
        raise ValueError(
            f"data_type: got {row['data_type']!r}, allowed are vanilla_ or adversarial_ before "
            "harmful or benign"
        )
    # eval.tsv has no column vanilla, and no such row.
    return Said(kind, row.get(style), origin=_text_or_none(row, "vanilla"))


def or_bench_kind(name: str) -> str:
    """The three files differ in nothing else but the name."""
    plain = name.lower().replace("_", "-")
    kinds = [k for k in KINDS if k.startswith("OR-Bench ") and k.lower().replace(" ", "-") in plain]
    if len(kinds) != 1:
        raise ValueError(
            f"{name}: the columns are OR-Bench's, which do not say what is harmful: name "
            "the file or-bench-80k, or-bench-hard-1k or or-bench-toxic, as it is published"
        )
    return kinds[0]


def _or_bench(row: Mapping[str, Any], name: str) -> Said:
    return Said(or_bench_kind(name), row["prompt"])


def _xstest(row: Mapping[str, Any], name: str) -> Said:
    if f"XSTest {row['label']}" not in KINDS:
        raise ValueError(f"label: got {row['label']!r}, allowed are safe, unsafe")
    return Said(f"XSTest {row['label']}", row["prompt"])


def meant_as_ours(category: str) -> bool:
    """Whether a category is one of CATEGORIES, perhaps misspelt."""
    return bool(get_close_matches(category.casefold(), CATEGORIES, cutoff=_MISSPELT))


def own_line(row: Mapping[str, Any], name: str, *, ours: bool) -> Said:
    """A line of a file whose categories are ours, or of another scheme and then ignored."""
    verdicts = {}
    if "harmful" in row:
        if type(row["harmful"]) is not bool:
            raise ValueError(f"harmful: got {row['harmful']!r}, allowed are true, false")
        verdicts["harmful"] = row["harmful"]
    if "label" in row:
        if type(row["label"]) is not str or row["label"] not in _LABEL_WORDS:
            raise ValueError(f"label: got {row['label']!r}, allowed are {', '.join(_LABEL_WORDS)}")
        verdicts["label"] = _LABEL_WORDS[row["label"]]
    if "prompt" not in row or not verdicts:
        raise ValueError(f"keys {list(row)}: wanted are prompt, and harmful or label")
    category, frame = (_text_or_none(row, key) for key in ("category", "frame"))
    if category and ours:
        if category not in CATEGORIES:
            raise ValueError(
                f"category: got {category!r}, allowed are {', '.join(CATEGORIES)}; or in the "
                "whole file those of another scheme, which are ignored"
            )
        verdicts["category"] = CATEGORIES[category][0]
    if len({*verdicts.values()}) > 1:
        raise ValueError(f"{' and '.join(verdicts)} disagree on whether it is harmful; fix one")
    kind = "JSONL harmful" if next(iter(verdicts.values())) else "JSONL harmless"
    named = {"category" if ours else "ignored": category}
    return Said(kind, row["prompt"], frame=frame, **named)


def _text_or_none(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is not None and type(value) is not str:
        raise ValueError(f"{key}: got {value!r:.60}, must be a text")
    return value or ""


PUBLISHED = {
    "WildJailbreak": Source(("adversarial", "data_type"), _wildjailbreak, also=("vanilla",)),
    "XSTest": Source(("prompt", "type", "label"), _xstest),
    "OR-Bench": Source(("prompt", "category"), _or_bench),
}
