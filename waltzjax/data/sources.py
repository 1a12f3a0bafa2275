"""Prompts from the files that others publish, as they publish them.

| source | files | columns that tell it |
| --- | --- | --- |
| WildJailbreak (arXiv 2406.18510) | train.tsv, eval.tsv, or Parquet | adversarial, data_type |
| OR-Bench (arXiv 2405.20947) | or-bench-80k, -hard-1k, -toxic .csv, or Parquet | prompt, category |
| XSTest (arXiv 2308.01263) | xstest_prompts.csv | prompt, type, label |
| your own | any .jsonl | prompt, and harmful or label; category, if one of ours |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.data.dataset_check import CATEGORIES, LABELS, dataset_error
from waltzjax.data.tables import Row, open_table

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
# A question ends in a question mark or begins as one. No "do" or "have", which begin orders.
_QUESTION = re.compile(
    r"(?:what|how|why|who|whom|whose|when|where|which|is|are|can|could|would|should|does|did)"
    r"(?:n['\u2019]t)?\b",
    re.IGNORECASE,
)
_AROUND = " \t\r\n\"'\u201c\u201d\u2018\u2019()[]*_"
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")
_LABEL_WORDS = {**LABELS, "harmful": True, "unsafe": True, "harmless": False, "safe": False}


class Found(NamedTuple):
    """A prompt as found; ``kind`` is a key of KINDS."""

    text: str
    category: str
    kind: str
    where: str

    @property
    def harmful(self) -> bool:
        return CATEGORIES[self.category][0]


class Source(NamedTuple):
    """columns: what tells its files; read: a row and the file's name -> kind, text, category, the
    last "" where KINDS decides. It raises ValueError for a row that says no such thing."""

    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str], tuple[str, Any, str]]


def is_question(text: str) -> bool:
    bare = text.strip(_AROUND)
    return bare.endswith("?") or bool(_QUESTION.match(bare))


def normalised(text: str) -> str:
    """What two prompts that differ in case, width, or white space have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def open_source(path: Path) -> Iterator[Found]:
    """The prompts of one published file, one by one, recognised by its columns at once.

    Raises FileNotFoundError, and ValueError for a file of no known kind; the iterator, once it has
    given every good prompt, DatasetError with every bad row (its ``problems``; 20 in the text).
    """
    columns, rows = open_table(path)
    if path.suffix.lower() == ".jsonl":
        return _prompts(path, rows, JSONL)
    name = next((n for n, s in SOURCES.items() if {*s.columns} <= {*columns}), None)
    if name is None:
        wanted = "; ".join(f"{n} ({', '.join(s.columns)})" for n, s in SOURCES.items())
        raise ValueError(
            f"{path}: columns {', '.join(columns)} are those of no known source: {wanted}; "
            "or write .jsonl with prompt, and harmful (true or false) or label"
        )
    if name == "OR-Bench":
        _or_bench_kind(path.name)  # a name that does not tell is one error, not one a row
    return _prompts(path, rows, SOURCES[name])


def _prompts(path: Path, rows: Iterator[Row], source: Source) -> Iterator[Found]:
    problems: list[str] = []
    row = None
    for row in rows:
        try:
            found = _found(row, source, path.name)
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
        else:
            yield found
    if row is None:
        problems.append(f"{path}: no row; it must hold at least one prompt")
    if problems:
        raise dataset_error(path, [problems])


def _found(row: Row, source: Source, name: str) -> Found:
    if row.problem:
        raise ValueError(row.problem)
    kind, text, category = source.read(row.fields, name)
    if type(text) is not str or not text.strip():
        raise ValueError(f"no text: the prompt of this {kind} row is {text!r}; remove the row")
    if _HALF_SURROGATE.search(text):
        raise ValueError("not UTF-8: a lone surrogate (\\ud800-\\udfff); remove or repair it")
    return Found(text, category or KINDS[kind][is_question(text)], kind, row.where)


def _wildjailbreak(row: Mapping[str, Any], name: str) -> tuple[str, Any, str]:
    style, _, side = str(row["data_type"]).partition("_")
    kind = f"WildJailbreak {style}_{side}"
    if kind not in KINDS:
        raise ValueError(
            f"data_type: got {row['data_type']!r}, allowed are vanilla_ or adversarial_ before "
            "harmful or benign"
        )
    return kind, row.get(style), ""  # eval.tsv has no column vanilla, and no such row


def _or_bench_kind(name: str) -> str:
    """The three files differ in nothing else but the name."""
    plain = name.lower().replace("_", "-")
    kinds = [k for k in KINDS if k.startswith("OR-Bench ") and k.lower().replace(" ", "-") in plain]
    if len(kinds) != 1:
        raise ValueError(
            f"{name}: the columns are OR-Bench's, which do not say what is harmful: name "
            "the file or-bench-80k, or-bench-hard-1k or or-bench-toxic, as it is published"
        )
    return kinds[0]


def _or_bench(row: Mapping[str, Any], name: str) -> tuple[str, Any, str]:
    return _or_bench_kind(name), row["prompt"], ""


def _xstest(row: Mapping[str, Any], name: str) -> tuple[str, Any, str]:
    if f"XSTest {row['label']}" not in KINDS:
        raise ValueError(f"label: got {row['label']!r}, allowed are safe, unsafe")
    return f"XSTest {row['label']}", row["prompt"], ""


def _jsonl(row: Mapping[str, Any], name: str) -> tuple[str, Any, str]:
    said = {}
    if "harmful" in row:
        if type(row["harmful"]) is not bool:
            raise ValueError(f"harmful: got {row['harmful']!r}, allowed are true, false")
        said["harmful"] = row["harmful"]
    if "label" in row:
        if type(row["label"]) is not str or row["label"] not in _LABEL_WORDS:
            raise ValueError(f"label: got {row['label']!r}, allowed are {', '.join(_LABEL_WORDS)}")
        said["label"] = _LABEL_WORDS[row["label"]]
    if "prompt" not in row or not said:
        raise ValueError(f"keys {list(row)}: wanted are prompt, and harmful or label")
    if row.get("frame"):
        raise ValueError(
            f"frame: got {row['frame']!r}; a frame may not be on both sides of a split"
        )
    category = row.get("category")
    if type(category) is str and category in CATEGORIES:
        said["category"] = CATEGORIES[category][0]
    else:
        category = ""  # none, or one of a taxonomy of its own
    if len({*said.values()}) > 1:
        raise ValueError(f"{' and '.join(said)} disagree on whether it is harmful; fix one")
    kind = "JSONL harmful" if next(iter(said.values())) else "JSONL harmless"
    return kind, row["prompt"], category


SOURCES = {
    "WildJailbreak": Source(("adversarial", "data_type"), _wildjailbreak),
    "XSTest": Source(("prompt", "type", "label"), _xstest),
    "OR-Bench": Source(("prompt", "category"), _or_bench),
}
JSONL = Source((), _jsonl)
