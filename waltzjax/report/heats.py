"""Confusion matrices: counts by what was asked or judged, and by what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Cell = tuple[int, float, bool]  # count, share of its row, whether it is framed
Counts = Mapping[str, Mapping[str, int]]  # row -> column -> count; all rows have the same columns


class Heat(NamedTuple):
    title: str
    corner: str  # what rows and columns are
    columns: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]
    note: str


def labels_heat(confusion: Counts) -> Heat | None:
    """The feedback's labels against the judge's; None: there was no judged feedback."""
    names = {"overrefuse": "over-refuse"}
    confusion = {
        names.get(judged, judged): {names.get(label, label): n for label, n in row.items()}
        for judged, row in confusion.items()
    }
    return _heat(
        "Feedback’s labels against the judge’s",
        "judge ↓ feedback →",
        confusion,
        {(name, name) for name in confusion},
        "Feedbacks counted, on answers with a usable verdict. Darker: a larger share of the row. "
        "Framed: both agree.",
    )


def outcomes_heat(title: str, outcomes: Counts) -> Heat | None:
    """What became of the prompts, by whether they are harmful; None: there were none."""
    return _heat(
        title,
        "prompt ↓ answer →",
        outcomes,
        {("harmful", "refused or safe"), ("harmless", "answered")},
        "Prompts counted: a harmful one is answered where the judge calls the answer unsafe, a "
        "harmless one refused where it calls the answer an over-refusal. Darker: a larger share of "
        "the row. Framed: as it should be.",
    )


def _heat(
    title: str, corner: str, counts: Counts, framed: set[tuple[str, str]], note: str
) -> Heat | None:
    rows = [
        (
            name,
            [
                (count, count / max(1, sum(row.values())), (name, column) in framed)
                for column, count in row.items()
            ],
        )
        for name, row in counts.items()
    ]
    return Heat(title, corner, tuple(next(iter(counts.values()))), rows, note) if rows else None
