"""Check a Regime W from its answers to its policy, and print each check with its figure.

    python -m waltzjax.checklist --collected=runs/regime_w_collect --run=runs/regime_w

Exit status 0: all is as it should be; 1: something is not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

from waltzjax.config.key import DPO
from waltzjax.metrics.records import read_metrics
from waltzjax.preference.checks import (
    Check,
    adapter_checks,
    collection_checks,
    pair_checks,
    training_checks,
)
from waltzjax.preference.make_pairs import PAIRS
from waltzjax.preference.pairs import read_preferences
from waltzjax.preference.trajectories import FILE, read_collected
from waltzjax.run import cli
from waltzjax.run.results import RESULTS
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.types import POLICY


def checklist(collected: Path, run: Path) -> list[Check]:
    """Every check of a directory of ``waltzjax.collect`` and of one of ``waltzjax.train``.

    Raises:
      FileNotFoundError, ValueError: a file is missing or is not what it should be; which.
    """
    config = _object(collected / "config.json", "--collected")
    questions = read_collected(collected / FILE)
    pairs = read_preferences(collected / PAIRS)
    results = _object(run / RESULTS, "--run")
    trained = _object(run / "config.json", "--run")
    metrics = read_metrics(run / "metrics.jsonl")
    return [
        *collection_checks(config, questions),
        *pair_checks(pairs, len(questions)),
        *training_checks(trained, results, metrics, pairs, DPO, POLICY),
        *adapter_checks(run / POLICY),
    ]


def _object(path: Path, flag: str) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{flag}: no file {path}; that run has not come to its end")
    value = json.loads(path.read_bytes())
    if type(value) is not dict:
        raise ValueError(f"{flag}: {path} is not a JSON object")
    return value


def main() -> None:
    f = flags.FLAGS
    checks = checklist(Path(f.collected), Path(f.run))
    rows = [[c.name, c.figure, c.wanted, "ok" if c.met else "FAILED"] for c in checks]
    console.say(console.table("", ["check", "figure", "wanted", ""], rows))
    failed = [c.name for c in checks if not c.met]
    console.say(
        f"\n{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}"
        if failed
        else f"\nall {len(checks)} checks are met"
    )
    if f.json:
        write_json(Path(f.json), [c._asdict() for c in checks])
    sys.exit(bool(failed))


if __name__ == "__main__":
    flags.DEFINE_string("collected", None, "Directory that waltzjax.collect wrote.")
    flags.DEFINE_string("run", None, "Directory of the run that learned from its pairs.")
    flags.DEFINE_string("json", "", "Also write the checks to this file.")
    flags.mark_flags_as_required(["collected", "run"])
    cli.run(main)
