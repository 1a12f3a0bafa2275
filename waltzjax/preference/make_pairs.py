"""Collected answers made into preference pairs, with a summary, a report, and what to be warned of.

Into the directory that holds ``collected.jsonl`` go ``pairs.jsonl`` (``preference.pairs``),
``preferences.json`` (``preference.summary``) and ``preferences.html``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.preference.coherence import scored
from waltzjax.preference.pairing import Paired, make_pairs
from waltzjax.preference.pairs import write_preferences
from waltzjax.preference.summary import SIDES, examples, summary
from waltzjax.preference.trajectories import FILE, read_collected
from waltzjax.preference.warnings import warnings
from waltzjax.report.preferences import Table, write_preferences_report
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.types import Collected

PAIRS = "pairs.jsonl"  # in a run's directory
FIGURES = ("n", "mean", "std", "min", "q1", "median", "q3", "max")
ARMS = {
    "role": "role", "trajectories": "answers", "accuracy": "right, %", "format_rate": "read, %",
    "cut_off": "cut off, %", "tokens": "tokens", "chosen": "chosen", "rejected": "rejected",
}  # fmt: skip


def make_preferences(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Make the pairs of what ``workdir`` holds, write them, and print what they are.

    Returns the summary (``preference.summary``), with the ``warnings``.

    Pairs that were made before are removed first.

    Raises:
      ValueError: there is no pair, with why and what to do; nothing is written then.
      FileNotFoundError: there are no collected answers. DatasetError: or they cannot be read.
    """
    path = workdir / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"--workdir: {workdir} holds no {FILE}; collect answers into it first"
        )
    questions = read_collected(path)
    settings = config.pairs.to_dict()
    with console.phase("making pairs"):
        paired = make_pairs(questions, **settings, seed=config.seed)
    # Pairs of other settings would look like these ones, were this stopped; the new come last.
    (workdir / PAIRS).unlink(missing_ok=True)
    if not paired.pairs:
        raise ValueError(_none(path, questions, paired))
    scores = [scored(question) for question in questions]
    result = summary(questions, scores, paired, settings={**settings, "seed": config.seed})
    messages = warnings(result)
    shown = tables(result)
    write_preferences_report(
        workdir / "preferences.html",
        title="Preference pairs",
        summary=result,
        warnings=messages,
        tables=shown,
        examples=examples(paired.pairs),
        config_text=as_text(config),
    )
    result = {**result, "warnings": messages}
    write_json(workdir / "preferences.json", result)
    write_preferences(workdir / PAIRS, paired.pairs)
    for title, (header, rows) in shown.items():
        console.say(console.table(title, header, rows) + "\n")
    for text in messages:
        console.say(f"warning: {text}")
    console.say(f"{result['pairs']} pairs in {workdir / 'pairs.jsonl'}; open preferences.html")
    return result


def tables(result: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a summary, (header, rows) by title; none that would be empty."""
    n, words = result["pairs"], result["words"]
    mix: list[list[object]] = [
        [
            kind,
            count,
            100 * count / n,
            *(words[kind][side]["median"] if count else None for side in SIDES),
            words[kind]["ratio"] if count else None,
        ]
        for kind, count in result["pair_types"].items()
    ]
    scores = [
        [name, *((figures or {}).get(key) for key in FIGURES)]
        for name, figures in result["scores"].items()
    ]
    arms = [[name, *(figures[key] for key in ARMS)] for name, figures in result["arms"].items()]
    sides = [f"{side}, words" for side in SIDES]
    shown: dict[str, Table] = {
        "Mix": (["pairs of", "pairs", "share, %", *sides, "ratio"], mix),
        "Scores": (["score", *FIGURES], scores),
        "Arms": (["arm", *ARMS.values()], arms),
        "Questions": (["answers", "questions"], [*result["answered"].items()]),
        "Questions without a pair": (["why", "questions"], [*result["without"].items()]),
        "Pairs that were not taken": (["why", "pairs"], [*result["left_out"].items()]),
    }
    return {title: table for title, table in shown.items() if table[1]}


def _none(path: Path, questions: Sequence[Collected], paired: Paired) -> str:
    """Why there is no pair, and what to do."""
    whys = "; ".join(f"{n} questions: {why}" for why, n in paired.without.items())
    return (
        f"{path}: no pair can be made of its {len(questions)} questions ({whys}); read some of its "
        "answers, then collect others (other questions, higher temperatures, more tokens, another "
        "model) or change config.pairs"
    )
