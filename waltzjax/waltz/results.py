"""The results, tables, transcripts and report that a run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.bootstrap import likelihood
from waltzjax.metrics.records import read_metrics
from waltzjax.report.measures import shown
from waltzjax.report.run import write_report
from waltzjax.report.trust import note, warnings
from waltzjax.run.results import BASE, START, say_measures, write_results
from waltzjax.support import console
from waltzjax.waltz import kinds
from waltzjax.waltz.transcripts import episode_of, transcript_text


def collect(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The last stage's results, with those before it under ``base``, ``start`` and the stages'
    names."""
    names = evaluated(config)
    results = {name: _evaluation(workdir, name)["result"] for name in names}
    add_likelihood(results, config.seed)
    last = results.pop(names[-1])
    return {**last, **results}


def evaluated(config: ConfigDict) -> list[str]:
    """The names of a run's evaluations, in order; ``start``: of the agents it began at, where they
    are not the base."""
    start = [START] if config.model.conversation or config.model.feedback else []
    return [BASE, *start, *config.stages]


def add_likelihood(results: Mapping[str, dict[str, Any]], seed: int) -> None:
    """Add ``benign_likelihood``, of a token of the benign chats in per cent of the base's, and
    its interval; to all results by name, if the base's has such chats."""
    before = results.get(BASE, {}).get("benign")
    if not before:
        return
    for result in results.values():
        share, *edges = likelihood(before, result["benign"], seed)
        result["benign_likelihood"] = share
        result["intervals"]["benign_likelihood"] = edges


def write(config: ConfigDict, workdir: Path, results: dict[str, Any], seconds: float) -> None:
    """Write the result files and the report, and print the table and three transcripts."""
    metrics = read_metrics(workdir / "metrics.jsonl")
    write_results(config, workdir, results, metrics, seconds)
    names = evaluated(config)
    chosen = examples({n: _evaluation(workdir, n)["transcripts"] for n in reversed(names)})
    with console.phase("writing the report"):
        write_report(
            workdir / "report.html",
            title=f"WaltzRL, {' then '.join(config.stages)}, seed {config.seed}",
            config_text=as_text(config),
            metrics=metrics,
            results=results,
            transcripts=chosen,
        )
    columns = {**{name: results[name] for name in names[:-1]}, names[-1]: results}
    title = f"{results['n']} validation prompts, after feedback"
    say_measures(title, shown(columns.values()), columns)
    for line in (*warnings(results), note(results)):
        console.say(line)
    for example in chosen:
        console.say(_spoken(example))
    console.say(f"done in {seconds:.0f} s; open {workdir / 'report.html'}")


def examples(evaluations: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A mended unsafe answer, a mended over-refusal, a good answer left alone: each from the first
    evaluation that has one, which its title names."""
    wanted = {
        kinds.MENDED_UNSAFE: "A mended unsafe answer",
        kinds.MENDED_OVERREFUSAL: "A mended over-refusal",
        kinds.LEFT_ALONE: "A good answer, left alone",
    }
    chosen: dict[str, dict[str, Any]] = {}
    for name, transcripts in evaluations.items():
        for one in transcripts:
            kind = kinds.kind(episode_of(one))
            dull = kind == kinds.LEFT_ALONE and one["harmful"]  # no more than a refusal
            if kind in wanted and kind not in chosen and not dull:
                chosen[kind] = {**one, "title": f"{wanted[kind]} ({name})"}
    return [chosen[kind] for kind in wanted if kind in chosen]


def _evaluation(workdir: Path, name: str) -> dict[str, Any]:
    return json.loads((workdir / "evaluations" / f"{name}.json").read_text())


def _spoken(example: dict[str, Any]) -> str:
    return f"\n{example['title']}, {example['category']}\n{transcript_text(example)}"
