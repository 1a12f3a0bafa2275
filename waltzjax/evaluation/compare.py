"""Evaluations of one kind compared, each with the first: measures, parts, what changed, configs.

A is the first evaluation, and B, C, ... are the others; all are of the same questions.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.evaluation.files import Form, holds, read_evaluation, validations
from waltzjax.evaluation.rates import RateTable, difference_intervals, summary
from waltzjax.metrics.records import read_metrics
from waltzjax.report.comparison import Difference, Section
from waltzjax.report.measures import Measure
from waltzjax.report.run import validation_rows
from waltzjax.support.files import flat

SEED = 0  # of the resamples
NOT_THERE = "none"
LETTERS = string.ascii_uppercase[:6]  # runs that can be told apart in a figure
Items = Sequence[Any]
Pair = tuple[Any, Any]  # an item of A, and the one of the same question of another
Letters = tuple[str, str]  # of the two


class Run(NamedTuple):
    """The data of a path; the last two fields are empty where it is no run's directory."""

    name: str
    items: list[Any]
    result: dict[str, Any]
    config: dict[str, Any]  # leaves by dotted name
    metrics: list[dict]  # records of its steps and validations


class Kind(NamedTuple):
    """How evaluations of one kind are compared.

    form: how their items are written.
    table: their rates; it says what makes two items those of one question.
    described: an item -> its question, in words.
    remedy: what to do where two are not of the same questions.
    over: items -> what the intervals are over, "12 frames".
    measures: (A's items, B's) -> (rate, name, measure) of what is compared; parts by the first one.
    beside: (A's result, B's) -> differences of other things than the items.
    parts: title -> (items -> items by part).
    good: an item -> whether its question counts as solved; None: that is not known.
    changes: titles of what only B has solved, and of what only A has; {} is B's letter.
    unlike: runs by letter -> what they were not evaluated alike in, besides settings.
    page: (pair, letters) -> its question as plain values, with what each said under "said".
    screen: such values -> lines for the screen.
    """

    form: Form
    table: RateTable
    described: Callable[[Any], str]
    remedy: str
    over: Callable[[Items], str]
    measures: Callable[[Items, Items], Sequence[tuple[str, str, Measure]]]
    beside: Callable[[Mapping[str, Any], Mapping[str, Any]], list[Difference]]
    parts: Mapping[str, Callable[[Items], Mapping[str, Items]]]
    good: Callable[[Any], bool | None]
    changes: tuple[str, str]
    unlike: Callable[[Mapping[str, Run]], list[str]]
    page: Callable[[Pair, Letters], dict[str, Any]]
    screen: Callable[[Mapping[str, Any]], list[str]]


def kind_of(path: Path, kinds: Sequence[Kind]) -> Kind:
    """The kind of the evaluation at ``path``."""
    for kind in kinds:
        if holds(path, kind.form):
            return kind
    keys = [kind.form.key for kind in kinds]
    raise ValueError(
        f"{path}: no {' or '.join(keys)} in it, nor beside it; give a result of waltzjax.evaluate, "
        f"a run's directory, a file of its evaluations/, or a file of {' or '.join(keys)} (.jsonl)"
    )


def read_runs(kinds: Sequence[Kind], paths: Sequence[Path]) -> tuple[Kind, dict[str, Run]]:
    """The kind of the first evaluation, and all runs by letter, their items in its order.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or they differ in their questions.
    """
    if not 2 <= len(paths) <= len(LETTERS):
        raise ValueError(
            f"runs: got {len(paths)}, allowed are 2 to {len(LETTERS)}; compare fewer at a time"
        )
    kind = kind_of(paths[0], kinds)
    runs = {letter: read_run(kind, path) for letter, path in zip(LETTERS, paths, strict=False)}
    first = runs[LETTERS[0]]
    return kind, {
        letter: run._replace(
            items=paired(
                kind, first.items, run.items, (f"A ({first.name})", f"{letter} ({run.name})")
            )
        )
        for letter, run in runs.items()
    }


def read_run(kind: Kind, path: Path) -> Run:
    """Read the data of ``path``, as of ``evaluation.files.read_evaluation``."""
    items, result = read_evaluation(path, kind.form)
    config, metrics = {}, []
    if path.is_dir():
        config = flat(json.loads((path / "config.json").read_bytes()))
        metrics = read_metrics(path / "metrics.jsonl")
        metrics = [*metrics, *validation_rows(validations(path, metrics))]
    return Run(str(path), items, result, config, metrics)


def paired(kind: Kind, a: Items, b: Items, names: tuple[str, str]) -> list[Any]:
    """``b`` in the order of ``a``.

    Raises:
      ValueError: they are not of the same questions, each of them once.
    """
    what, asked = kind.table.what, kind.table.asked
    of_a, of_b = ({asked(item): item for item in items} for items in (a, b))
    for name, unique, items in zip(names, (of_a, of_b), (a, b), strict=True):
        if len(unique) < len(items):
            raise ValueError(
                f"{name}: {len(items) - len(unique)} {what} occur again; each must be there once"
            )
    problems = []
    for name, ours, theirs in ((names[0], of_a, of_b), (names[1], of_b, of_a)):
        alone = [item for key, item in ours.items() if key not in theirs]
        if alone:
            problems.append(
                f"{len(alone)} of {len(ours)} in {name} are not in the other (first: "
                f"{kind.described(alone[0])})"
            )
    if problems:
        raise ValueError(f"the {what} differ: {'; '.join(problems)}; {kind.remedy}")
    return [of_b[asked(item)] for item in a]


def against_first(kind: Kind, runs: Mapping[str, Run]) -> list[Section]:
    """Each other run compared with run A."""
    (name, first), *others = runs.items()
    sections = []
    for letter, run in others:
        pairs, unknown = changed(kind, first.items, run.items, letter)
        parts = {title: _parts(kind, part_of, first, run) for title, part_of in kind.parts.items()}
        sections.append(
            Section(
                letter,
                differences(kind, first.items, run.items) + kind.beside(first.result, run.result),
                {title: rows for title, rows in parts.items() if rows},
                {
                    x: [kind.page(pair, (name, letter)) for pair in group]
                    for x, group in pairs.items()
                },
                unknown,
            )
        )
    return sections


def differences(kind: Kind, a: Items, b: Items) -> list[Difference]:
    """Each measure of ``a``, of ``b``, and b - a; both are of the same questions in one order."""
    ours, theirs = summary(kind.table, a), summary(kind.table, b)
    ranges = difference_intervals(kind.table, a, b, seed=SEED)
    return [
        Difference(
            name, m.unit, ours[key], theirs[key], theirs[key] - ours[key], *ranges[key], m.better
        )
        for key, name, m in kind.measures(a, b)
    ]


def changed(kind: Kind, a: Items, b: Items, letter: str) -> tuple[dict[str, list[Pair]], int]:
    """The pairs that are good in one of the two only, by which; and how many there are of which one
    is not known to be."""
    only_b: list[Pair] = []
    only_a: list[Pair] = []
    unknown = 0
    for pair in zip(a, b, strict=True):
        before, after = map(kind.good, pair)
        if before is None or after is None:
            unknown += 1
        elif before != after:
            (only_b if after else only_a).append(pair)
    titles = [title.format(letter) for title in kind.changes]
    return dict(zip(titles, (only_b, only_a), strict=True)), unknown


def _parts(
    kind: Kind, part_of: Callable[[Items], Mapping[str, Items]], a: Run, b: Run
) -> list[Difference]:
    """The first measure of each part, named with its number of items; of those parts that hold the
    same questions in both."""
    rows, theirs, asked = [], part_of(b.items), kind.table.asked
    for name, items in part_of(a.items).items():
        if [asked(item) for item in theirs.get(name, [])] == [asked(item) for item in items]:
            first = differences(kind, items, theirs[name])[0]
            rows.append(first._replace(name=f"{name} ({len(items)})"))
    return rows


def evaluated_unalike(kind: Kind, runs: Mapping[str, Run]) -> list[str]:
    """The points in which the runs were not evaluated alike: a difference may come from them.
    Settings that one of the runs does not tell are not compared."""
    reported = {
        letter: {f"config.{key}": value for key, value in settings.items()}
        for letter, run in runs.items()
        if (settings := run.result.get("settings"))
    }
    return [*unalike(reported), *kind.unlike(runs)]


def trained_unalike(runs: Mapping[str, Run]) -> list[str]:
    """The differences between the configs of the runs, of those that are directories."""
    return unalike({letter: run.config for letter, run in runs.items() if run.config})


def unalike(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all, with the values by letter."""
    keys = dict.fromkeys(key for values in settings.values() for key in values)
    texts = {
        key: {letter: repr(v[key]) if key in v else NOT_THERE for letter, v in settings.items()}
        for key in keys
    }
    return [
        f"{key}: {', '.join(f'{text} in {letter}' for letter, text in values.items())}"
        for key, values in texts.items()
        if len(set(values.values())) > 1
    ]
