"""Evaluations of the same maths problems compared, each with the first: measures, parts, configs.

What ``scripts/compare_runs.py`` says; A is the first evaluation, and B, C, ... are the others.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.evaluation.files import validations
from waltzjax.report.comparison import Difference
from waltzjax.report.measures import MATHS
from waltzjax.report.run import validation_rows
from waltzjax.rlvr.predictions import read_maths
from waltzjax.rlvr.rates import asked, by_level, by_subject, difference_intervals, summary
from waltzjax.rlvr.side_by_side import Pair, only_one, paired
from waltzjax.support.files import flat
from waltzjax.training.metrics import read_metrics
from waltzjax.types import Group

SEED = 0  # of the resamples
NOT_THERE = "none"
LETTERS = string.ascii_uppercase[:6]  # runs that can be told apart in a figure


class Run(NamedTuple):
    """What is known of a path: its last three are empty where it is no run's directory."""

    name: str
    groups: list[Group]
    settings: dict[str, Any]  # that it was evaluated with
    config: dict[str, Any]  # leaves by dotted name
    metrics: list[dict]  # records of its steps and validations


class Against(NamedTuple):
    """A run compared with A."""

    letter: str
    differences: list[Difference]
    parts: dict[str, list[Difference]]  # "By subject", "By level": accuracies
    only: dict[str, list[Pair]]  # problems that one of the two alone solves


def read_runs(paths: Sequence[Path]) -> dict[str, Run]:
    """The runs by letter, their problems in the order of the first.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or they differ in their problems.
    """
    if not 2 <= len(paths) <= len(LETTERS):
        raise ValueError(
            f"runs: got {len(paths)}, allowed are 2 to {len(LETTERS)}; compare fewer at a time"
        )
    runs = {letter: read_run(path) for letter, path in zip(LETTERS, paths, strict=False)}
    first = runs[LETTERS[0]]
    return {
        letter: run._replace(
            groups=paired(first.groups, run.groups, (f"A ({first.name})", f"{letter} ({run.name})"))
        )
        for letter, run in runs.items()
    }


def read_run(path: Path) -> Run:
    """What ``path`` says, as of ``evaluation.files.read_maths``."""
    groups, result = read_maths(path)
    config, metrics = {}, []
    if path.is_dir():
        config = flat(json.loads((path / "config.json").read_bytes()))
        metrics = read_metrics(path / "metrics.jsonl")
        metrics = [*metrics, *validation_rows(validations(path, metrics))]
    return Run(str(path), groups, result.get("settings", {}), config, metrics)


def against_first(runs: Mapping[str, Run]) -> list[Against]:
    """Each of the others with A."""
    (_, first), *others = runs.items()
    found = []
    for letter, run in others:
        gained, lost = only_one(first.groups, run.groups)
        parts = {
            "By subject": _parts(by_subject(first.groups), by_subject(run.groups)),
            "By level": _parts(by_level(first.groups), by_level(run.groups)),
        }
        found.append(
            Against(
                letter, differences(first.groups, run.groups),
                {name: of for name, of in parts.items() if of},
                {f"Only {letter} solves": gained, "Only A solves": lost},
            )
        )  # fmt: skip
    return found


def differences(a: Sequence[Group], b: Sequence[Group]) -> list[Difference]:
    """Each measure of ``a``, of ``b``, and b - a; both are of the same problems in one order. That
    of at least one right sample only where both have as many, and more than one."""
    ours, theirs = summary(a), summary(b)
    ranges = difference_intervals(a, b, seed=SEED)
    several = samples(a) == samples(b) > 1
    return [
        Difference(
            m.name, m.unit, ours[m.key], theirs[m.key], theirs[m.key] - ours[m.key],
            *ranges[m.key], m.better,
        )
        for m in MATHS
        if several or m.key != "pass_at_k"
    ]  # fmt: skip


def samples(groups: Sequence[Group]) -> int:
    """Of a problem; the least of all."""
    return min(len(g.attempts) for g in groups)


def _parts(a: Mapping[str, Sequence[Group]], b: Mapping[str, Sequence[Group]]) -> list[Difference]:
    """The accuracy of each part, named with its number of problems; of those parts that hold the
    same problems in both."""
    found = []
    for name, of in a.items():
        if [asked(g) for g in b.get(name, [])] == [asked(g) for g in of]:
            accuracy = differences(of, b[name])[0]
            found.append(accuracy._replace(name=f"{name} ({len(of)})"))
    return found


def unalike(of: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all, with the values by letter."""
    keys = dict.fromkeys(key for values in of.values() for key in values)
    told = {
        key: {letter: repr(v[key]) if key in v else NOT_THERE for letter, v in of.items()}
        for key in keys
    }
    return [
        f"{key}: {', '.join(f'{text} in {letter}' for letter, text in values.items())}"
        for key, values in told.items()
        if len(set(values.values())) > 1
    ]


def evaluated_unalike(runs: Mapping[str, Run]) -> list[str]:
    """What the runs were not evaluated alike in: then a difference may be of that. Settings that
    one of them does not tell are not compared."""
    told = {
        letter: {f"config.{key}": value for key, value in run.settings.items()}
        for letter, run in runs.items()
        if run.settings
    }
    counts = {letter: {"samples a problem": samples(run.groups)} for letter, run in runs.items()}
    return [*unalike(told), *unalike(counts)]


def trained_unalike(runs: Mapping[str, Run]) -> list[str]:
    """What the configs of the runs differ in, of those that are directories."""
    return unalike({letter: run.config for letter, run in runs.items() if run.config})
