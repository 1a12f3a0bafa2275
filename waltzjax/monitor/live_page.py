"""The page of a run that goes on, made from the files of its directory, which stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.text import as_text
from waltzjax.evaluation.files import read_evaluation
from waltzjax.evaluation.record import read_record
from waltzjax.report.measures import number
from waltzjax.report.run import Outcome, Record, Validations, render_report
from waltzjax.report.summary import Tile, clock
from waltzjax.report.timeline import STAGES
from waltzjax.rlvr import results as maths
from waltzjax.rlvr.predictions import PREDICTIONS
from waltzjax.run.results import BASE, RESULTS, START
from waltzjax.waltz import results as game
from waltzjax.waltz.transcripts import TRANSCRIPTS

FINISHED, STOPPED, RUNNING, UNFINISHED = "finished", "stopped", "running", "not finished"
STATES = {"end": FINISHED, "stop": STOPPED}  # of the last event


def build_live(workdir: Path) -> str:
    """The page as HTML. What is not there yet, of a run just begun or of none, it says."""
    config = _config(workdir / "config.json")
    stages = config.get("stages", ())
    seed = f", seed {config.seed}" if "seed" in config else ""
    title = f"{', then '.join(STAGES.get(s, s) for s in stages) or workdir.name}{seed}"
    record = read_record(workdir, title, as_text(config))
    state = _state(workdir, record)
    more = _left(workdir / "monitor" / "status.json") if state == RUNNING else []
    record = record._replace(state=state, missing=_missing(workdir, record), more=more)
    names = _evaluated(workdir, stages, record.evaluations)
    return render_report(record, _outcome(workdir, names, config.get("seed", 0)))


def _config(path: Path) -> ConfigDict:
    """The run's; an empty one before the run has one."""
    try:
        return ConfigDict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return ConfigDict()


def _state(workdir: Path, record: Record) -> str:
    if record.events:
        return STATES.get(record.events[-1]["kind"], RUNNING)
    return FINISHED if (workdir / RESULTS).exists() else UNFINISHED


def _left(snapshot: Path) -> list[Tile]:
    """The time left by the monitor's last check, if there was one."""
    try:
        status = json.loads(snapshot.read_text())
        stage, low, high, whole = (
            number(status.get(key)) for key in ("left_s", "low_s", "high_s", "run_left_s")
        )
    except (OSError, ValueError, AttributeError):
        return []
    left = whole if whole == whole else stage
    if left != left:
        return []
    span = f"this stage: {clock(low)} to {clock(high)}" if low == low and high == high else ""
    return [Tile("Time left", clock(left), span)]


def _missing(workdir: Path, record: Record) -> list[str]:
    if not (workdir / "config.json").exists():
        return [f"No run is there yet: {workdir} has no config.json"]
    missing = {
        "a step (metrics.jsonl)": record.metrics,
        "an evaluation (evaluations/)": bool(record.evaluations or _files(workdir)),
        f"the final results ({RESULTS})": (workdir / RESULTS).exists(),
    }
    names = [name for name, there in missing.items() if not there]
    return [f"Not there yet: {', '.join(names)}"] if names else []


def _files(workdir: Path) -> list[Path]:
    return sorted((workdir / "evaluations").glob("*.json"))


def _evaluated(workdir: Path, stages: Sequence[str], evaluations: Validations) -> list[str]:
    """The names of the evaluations before training and after each stage, those that are there, and
    of the newest one of a stage that goes on."""
    there = {path.stem for path in _files(workdir)}
    names = [name for name in (BASE, START, *stages) if name in there]
    newest = [f"{stage}_{step}" for stage, step, _ in evaluations[-1:]]
    return [*names, *(name for name in newest if name in there)]


def _outcome(workdir: Path, names: Sequence[str], seed: int) -> Outcome:
    """What the evaluations of these ``names`` say, of safety or of maths."""
    paths = {name: workdir / "evaluations" / f"{name}.json" for name in names}
    content: dict[str, Mapping[str, Any]] = {n: json.loads(p.read_text()) for n, p in paths.items()}
    if not content:
        return Outcome()
    if all(TRANSCRIPTS.key in each for each in content.values()):
        return game.outcome(content, game.joined(content, seed))
    after, result = read_evaluation(paths[names[-1]], PREDICTIONS)
    if BASE not in paths or names[-1] == BASE:
        return maths.outcome(result, after, after)
    before, base = read_evaluation(paths[BASE], PREDICTIONS)
    return maths.outcome({**result, BASE: base}, before, after)
