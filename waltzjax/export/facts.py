"""The facts of a card, each from a file of the run: figures, checks, data, training, software."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.config.check import unread
from waltzjax.config.key import CHATS, EMBEDDED, MATHS, PREFERENCES, WALTZ
from waltzjax.config.text import changes
from waltzjax.dataset.manifest import MANIFEST
from waltzjax.export.source import Run
from waltzjax.export.sums import digest
from waltzjax.recipes import readers
from waltzjax.report.measures import Measure, estimate, maths_measures, shown
from waltzjax.report.trust import note, warnings
from waltzjax.run.environment import PACKAGES
from waltzjax.run.results import BASE, figure

# Of the environment. Not its command and variables: they name directories and hosts of a machine.
SHOWN = ("launched", "commit", "devices", "mesh", "Python", *PACKAGES, "system")
# URL, e-mail, IPv4, IPv6, host with port.
ADDRESS = re.compile(
    r"\w://|\S@\S|\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-fA-F]{1,4}:|:){2,}|[A-Za-z][\w.-]*:\d"
)
PATH = re.compile(r"/|\w\\\w|:\\|\\\\|(?:^|\W)~\w")  # not LaTeX, as in "a \boxed{}"
FIRST = ("asr", "orr", "f1")  # of the first answers, before any feedback


class Figure(NamedTuple):
    """A row of the card's table; texts, "-": nothing was counted, "": there is none."""

    name: str
    before: str
    value: str
    interval: str
    target: str
    met: str


class DataFile(NamedTuple):
    """A file that the run learned from or was measured on; texts."""

    name: str
    lines: str
    sha256: str
    content: str


def figures(run: Run) -> list[Figure]:
    """The measures of the last evaluation beside the base's."""
    results, base = run.results, run.results.get(BASE, {})
    game = WALTZ in readers(run.config)
    measures = shown([results]) if game else maths_measures(results.get("samples", 1))
    doubtful = bool(game and warnings(results))
    rows = [_figure(m, results, base, "", doubtful) for m in measures]
    first = [m for m in measures if m.key in FIRST and "initial" in results]
    before = base.get("initial", {})
    return rows + [
        _figure(m, results["initial"], before, ", first answers without feedback", True)
        for m in first
    ]


def _figure(
    measure: Measure,
    results: Mapping[str, Any],
    base: Mapping[str, Any],
    more: str,
    doubtful: bool,
) -> Figure:
    value, low, high = estimate(results, measure.key)
    unit = f", {measure.unit}" if measure.unit else ""
    met = None if doubtful else measure.met(value)
    return Figure(
        name=f"{measure.name}{more}{unit}",
        before=figure(base.get(measure.key)),
        value=figure(value),
        interval=_interval(low, high),
        target=f"{measure.relation} {measure.target:g}" if measure.relation and not more else "",
        met={True: "yes", False: "no", None: ""}[met],
    )


def parts(run: Run) -> list[list[str]]:
    """A row of each category of prompts, or subject and level of problems, under a header."""
    header, keys = ["category", "prompts", "ASR, %", "ORR, %"], ["asr", "orr"]
    groups = dict(run.results.get("categories") or {})
    if not groups:
        header, keys = ["subject or level", "problems", "accuracy, %"], ["accuracy"]
        groups = {**run.results.get("subjects", {}), **run.results.get("levels", {})}
    rows = [[n, str(g["n"]), *(figure(g.get(k)) for k in keys)] for n, g in groups.items()]
    return [header, *rows] if rows else []


def checks(run: Run) -> list[list[str]]:
    """The checks of the validation suite as (name, value, interval, n, threshold, passed); []: none
    were run."""
    rows = run.results.get("checks") or []
    return [
        [
            str(row.get("title") or row.get("name")),
            f"{figure(row.get('value'))} {row.get('unit', '')}",
            _interval(*row.get("interval") or (None, None)),
            str(row.get("n", "-")),
            f"{row.get('relation', '')} {row.get('threshold')} {row.get('unit', '')}",
            "yes" if row.get("passed") else "no",
        ]
        for row in rows
    ]


def validated(run: Run) -> dict[str, Any]:
    """What the validation suite recorded beside its checks; {}: nothing."""
    about = run.results.get("validation")
    return about if isinstance(about, dict) else {}


def checks_of(run: Run) -> str:
    """When the checks were run, of what, and by which evaluation, in words."""
    about = validated(run)
    if not about.get("date"):
        return "when, and of what, is not recorded"
    subject, evaluation = str(about.get("subject")), str(about.get("evaluation"))
    subject = "the agents of a run" if subject.startswith("the run ") else public(subject)
    return f"{about['date']}, of {subject}; evaluation: {Path(evaluation).name}"


def _interval(low: object, high: object) -> str:
    ends = figure(low), figure(high)
    return "-" if "-" in ends else " to ".join(ends)


def cautions(run: Run) -> list[str]:
    """What a reader must know before believing a figure, on the judge above all."""
    if WALTZ not in readers(run.config):
        return []
    return [*warnings(run.results), *filter(None, [note(run.results)])]


def settings(run: Run) -> list[tuple[str, str]]:
    """What the evaluation depended on besides the agents and the prompts."""
    given = run.results.get("settings") or {}
    return [(key, _setting(key, value)) for key, value in given.items() if value not in ("", {})]


def _setting(key: str, value: Any) -> str:
    named = key.endswith("judge.model") and isinstance(value, str)
    return model_name(value) if named else public(value)


def data_files(run: Run) -> list[DataFile]:
    """The files that the run learned from and was measured on, with their digests."""
    config, reads = run.config, readers(run.config)
    rows: list[DataFile] = []
    if WALTZ in reads:
        made = config.data.directory == EMBEDDED
        rows += _listed(run.workdir / "data" if made else Path(config.data.directory), made)
    if CHATS in reads:
        rows += _listed(Path(config.sft.data), False)
    if PREFERENCES in reads:
        pairs = run.fingerprint.get("pairs", "-")
        rows.append(DataFile(Path(config.dpo.data).name, "-", pairs, "pairs learned from"))
    elif MATHS in reads:
        rows.append(_problems(run, "train", "problems learned from"))
    if MATHS in reads:
        rows.append(_problems(run, "validation", "held-out problems"))
    return rows


def _listed(directory: Path, made: bool) -> list[DataFile]:
    """The files of a manifest, as it describes them."""
    source = "embedded world" if made else directory.name
    try:
        files = json.loads((directory / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError):
        return [DataFile(source, "-", "-", "its manifest is not at hand")]
    return [
        DataFile(
            f"{source}: {name}",
            str(described.get("lines", "-")),
            described.get("sha256", "-"),
            ", ".join(f"{n} {count}" for n, count in described.get("categories", {}).items()),
        )
        for name, described in files.items()
    ]


def _problems(run: Run, split: str, content: str) -> DataFile:
    named = run.config.problems[split]
    made = named == EMBEDDED
    path = run.workdir / "data" / f"{split}.jsonl" if made else Path(named)
    name = f"embedded word problems: {path.name}" if made else path.name
    if not path.is_file():
        return DataFile(name, "-", "-", f"{content}; the file is not at hand")
    with path.open("rb") as lines:
        return DataFile(name, str(sum(1 for _ in lines)), digest(path), content)


def training(run: Run) -> list[list[str]]:
    """A row of each stage: name, steps, tokens learned from, minutes of its steps."""
    stages = run.summary.get("stages") or {}
    return [
        [
            name,
            str(stage["steps"]),
            f"{stage['tokens']:,.0f}",
            f"{stage['training_s'] / 60:.1f}",
        ]
        for name, stage in stages.items()
    ]


def config_rows(run: Run) -> Iterator[tuple[str, str]]:
    """The keys that the run read and that are not at their default."""
    ignored = {f"config.{path}" for path in unread(run.config, readers(run.config))}
    for key, _, here in changes(run.config):
        if key not in ignored:
            yield key, repr(here) if here == run.hub_base else _setting(key, here)


def software(run: Run) -> list[tuple[str, str]]:
    """Versions and devices of the run's last launch."""
    return [(name, run.environment[name]) for name in SHOWN if name in run.environment]


def public(value: Any) -> str:
    """A value as strangers may read it: nothing of a text that holds a path or an address."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{public(k)}: {public(v)}' for k, v in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"({', '.join(map(public, value))})"
    if not isinstance(value, str):
        return repr(value)
    if ADDRESS.search(value):
        return "(an address)"
    return "(a path)" if PATH.search(value) else repr(value)


def model_name(value: str) -> str:
    """A judge's model as strangers may read it: of ORG/NAME the name, and of a path the same."""
    return public(value.rpartition("/")[2])
