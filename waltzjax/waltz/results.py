"""The results, tables, transcripts and report that a run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.bootstrap import likelihood
from waltzjax.evaluation.record import read_record
from waltzjax.metrics.records import read_metrics
from waltzjax.report.evaluation import categories, draw_categories
from waltzjax.report.heats import labels_heat, outcomes_heat
from waltzjax.report.measures import by_key, shown
from waltzjax.report.run import Outcome, write_report
from waltzjax.report.timeline import STAGES
from waltzjax.report.trust import note, warnings
from waltzjax.run.results import BASE, START, say_measures, write_results
from waltzjax.support import console
from waltzjax.waltz import kinds
from waltzjax.waltz.rates import outcomes
from waltzjax.waltz.transcripts import episode_of, transcript_text

# Measures of the table of evaluations during a run.
RATES = ("asr", "orr", "f1", "ftr", "label_accuracy", "format_rate")
Evaluations = Mapping[str, Mapping[str, Any]]  # by name, as they are on disk


def collect(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The last stage's results, with those before it under ``base``, ``start`` and the stages'
    names."""
    return joined(read_evaluations(workdir, evaluated(config)), config.seed)


def read_evaluations(workdir: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: _evaluation(workdir, name) for name in names}


def joined(evaluations: Evaluations, seed: int) -> dict[str, Any]:
    """The results of the last of ``evaluations``, with those before it under their names."""
    results = {name: evaluation["result"] for name, evaluation in evaluations.items()}
    add_likelihood(results, seed)
    last = results.pop([*evaluations][-1])
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
    evaluations = read_evaluations(workdir, names)
    chosen = examples(transcripts(evaluations))
    with console.phase("writing the report"):
        title = f"WaltzRL, {' then '.join(config.stages)}, seed {config.seed}"
        record = read_record(workdir, title, as_text(config))
        write_report(workdir / "report.html", record, outcome(evaluations, results))
    columns = {**{name: results[name] for name in names[:-1]}, names[-1]: results}
    title = f"{results['n']} validation prompts, after feedback"
    say_measures(title, shown(columns.values()), columns)
    for line in (*warnings(results), note(results)):
        console.say(line)
    for example in chosen:
        console.say(_spoken(example))
    console.say(f"done in {seconds:.0f} s; open {workdir / 'report.html'}")


def outcome(evaluations: Evaluations, results: Mapping[str, Any]) -> Outcome:
    """What ``evaluations`` say, of which the last is final; ``results``: as of ``joined``."""
    *before, last = evaluations
    final = f"{STAGES.get(last, last)} (final)"
    columns = {**{STAGES.get(name, name): results[name] for name in before}, final: results}
    episodes = [episode_of(t) for t in evaluations[last]["transcripts"]]
    heats = [
        outcomes_heat("Prompts by the first answer", outcomes(episodes, 0)),
        outcomes_heat("Prompts by the last answer, after feedback", outcomes(episodes, -1)),
        labels_heat(results["confusion"]),
    ]
    rows = categories(results)
    return Outcome(
        columns=columns,
        measures=shown(columns.values()),
        bars=("asr", "orr"),
        drawings=[draw_categories(rows)] if rows else [],
        heats=[heat for heat in heats if heat],
        rates=[by_key(key) for key in RATES],
        transcripts=side_by_side(evaluations),
        results=results,
        note=note(results),
    )


def transcripts(evaluations: Evaluations) -> dict[str, Sequence[dict[str, Any]]]:
    """Of each evaluation by its name, the last one first."""
    return {name: e["transcripts"] for name, e in [*evaluations.items()][::-1]}


def side_by_side(evaluations: Evaluations) -> list[dict[str, Any]]:
    """The prompts of the last evaluation, with what was said to each before any training and at the
    end: examples first, then by what the feedback did, as ``kinds.KINDS`` has it."""
    names = [*evaluations]
    names = [*dict.fromkeys((names[0], names[-1]))]
    by_id = {n: {t["id"]: t for t in evaluations[n]["transcripts"]} for n in names}
    titles = {e["id"]: f"{e['title']}: {e['prompt']}" for e in examples(transcripts(evaluations))}
    pairs = []
    for number, t in by_id[names[-1]].items():
        kind, title = kinds.kind(episode_of(t)), titles.get(number, "")
        spoken = {name: texts[number] for name, texts in by_id.items() if number in texts}
        pair = {**t, "said": spoken, "tags": [kind], "title": title, "opened": bool(title)}
        pairs.append((not title, kinds.KINDS.index(kind), pair))
    return [pair for *_, pair in sorted(pairs, key=lambda p: p[:2])]


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
