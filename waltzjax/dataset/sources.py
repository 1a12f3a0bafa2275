"""Prompts from the files that others publish, as they publish them, none of them twice.

| source | files | columns that tell it |
| --- | --- | --- |
| WildJailbreak (arXiv 2406.18510) | train.tsv, eval.tsv, or Parquet | adversarial, data_type |
| OR-Bench (arXiv 2405.20947) | or-bench-80k, -hard-1k, -toxic .csv, or Parquet | prompt, category |
| XSTest (arXiv 2308.01263) | xstest_prompts.csv | prompt, type, label |
| your own | any .jsonl | prompt, and harmful or label; category, if one of ours; frame |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from waltzjax.data.tables import Row, open_table, read_objects
from waltzjax.data.text import LONE_SURROGATE, has_lone_surrogate, normalised
from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.published import (
    KINDS,
    PUBLISHED,
    Source,
    meant_as_ours,
    or_bench_kind,
    own_line,
)
from waltzjax.support.errors import dataset_error


class Links:
    def __init__(self) -> None:
        self._towards: dict[str, str] = {}

    def join(self, a: str, b: str) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self._towards[high] = low

    def root(self, text: str) -> str:
        """The least of all texts joined with this one, which is thus the same for each of them."""
        while (next_ := self._towards.setdefault(text, text)) != text:
            self._towards[text] = self._towards[next_]  # halves the way for those who come after
            text = next_
        return text


class Pool:
    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, Found]] = {}
        self._links = Links()
        self.contradicted: set[str] = set()  # harmful in one place, harmless in another

    def add(self, prompt: Found, file: int) -> bool:
        """Add a prompt; whether its text was there before, in another form perhaps.

        Of equal texts the pool keeps the first file's, and of several there the least, whatever
        the order of rows.
        """
        text = normalised(prompt.text)
        self._links.join(text, prompt.group)
        met = text in self._kept
        before = self._kept.get(text, (file, prompt))
        if before[1].harmful != prompt.harmful:
            self.contradicted.add(text)
        self._kept[text] = min(before, (file, prompt))
        return met

    def prompts(self) -> list[Found]:
        """All but the contradicted; a group is now all that is linked, by whatever chain."""
        return [
            prompt._replace(group=self._links.root(text))
            for text, (_, prompt) in self._kept.items()
            if text not in self.contradicted
        ]


# A question ends in a question mark or begins as one. No "do" or "have", which begin orders.
_QUESTION = re.compile(
    r"(?:what|how|why|who|whom|whose|when|where|which|is|are|can|could|would|should|does|did)"
    r"(?:n['\u2019]t)?\b",
    re.IGNORECASE,
)
_AROUND = " \t\r\n\"'\u201c\u201d\u2018\u2019()[]*_"


class Found(NamedTuple):
    """A prompt as found. ``group``: rewrites of one request have the same, normalised, and so has
    that request; prompts of one frame too."""

    text: str
    category: str
    kind: str
    where: str
    group: str
    ignored: str  # the category that the row names, where it is of another scheme

    @property
    def harmful(self) -> bool:
        return CATEGORIES[self.category][0]


def is_question(text: str) -> bool:
    bare = text.strip(_AROUND)
    return bare.endswith("?") or bool(_QUESTION.match(bare))


def open_source(path: Path) -> Iterator[Found]:
    """The prompts of one published file, one by one, recognised by its columns at once.

    Raises FileNotFoundError, and ValueError for a file of no known kind; the iterator, once it has
    given every good prompt, DatasetError with every bad row (its ``problems``; 20 in the text).
    """
    columns, rows = open_table(path)
    if path.suffix.lower() == ".jsonl":
        own = Source((), partial(own_line, ours=_names_ours(path)))
        return _prompts(path, rows(own.used), own)
    name = next((n for n, s in PUBLISHED.items() if {*s.columns} <= {*columns}), None)
    if name is None:
        wanted = "; ".join(f"{n} ({', '.join(s.columns)})" for n, s in PUBLISHED.items())
        raise ValueError(
            f"{path}: columns {', '.join(columns)} are those of no known source: {wanted}; "
            "or write .jsonl with prompt, and harmful (true or false) or label"
        )
    if name == "OR-Bench":
        or_bench_kind(path.name)  # a name that does not tell is one error, not one a row
    return _prompts(path, rows(PUBLISHED[name].used), PUBLISHED[name])


def _names_ours(path: Path) -> bool:
    """Whether the categories of a file's rows are meant to be ours, or are of another scheme."""
    values = (row.fields.get("category") for row in read_objects(path))
    return any(meant_as_ours(name) for name in {value for value in values if type(value) is str})


def _prompts(path: Path, rows: Iterator[Row], source: Source) -> Iterator[Found]:
    problems: list[str] = []
    row = None
    for row in rows:
        try:
            prompt = _read_prompt(row, source, path.name)
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
        else:
            yield prompt
    if row is None:
        problems.append(f"{path}: no row; it must hold at least one prompt")
    if problems:
        raise dataset_error(path, [problems])


def _read_prompt(row: Row, source: Source, name: str) -> Found:
    if row.problem:
        raise ValueError(row.problem)
    parsed = source.read(row.fields, name)
    text, kind = parsed.text, parsed.kind
    if type(text) is not str or not text.strip():
        raise ValueError(f"no text: the prompt of this {kind} row is {text!r:.60}; remove the row")
    if has_lone_surrogate(text):
        raise ValueError(LONE_SURROGATE)
    # A frame is no text, of which none has a line break once it is normalised.
    group = f"frame\n{parsed.frame}" if parsed.frame else normalised(parsed.origin or text)
    category = parsed.category or KINDS[kind][is_question(text)]
    return Found(text, category, kind, row.where, group, parsed.ignored)
