"""Keep what finished runs came to, for the tables of the READMEs: raw figures, a file of all seeds.

    python scripts/record_results.py --runs=runs/s0,runs/s1 --output=results.json \
        --hardware="2 CPU cores" --command="python -m waltzjax.train --config=stage2:tiny"

Each run's directory gives its seed, its results, the seconds of its stages and of its last launch;
the commit is that of the checkout, unless --commit names another one. ``scripts/write_tables.py``
makes the tables.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from absl import flags

from waltzjax.run import cli
from waltzjax.support.console import say
from waltzjax.support.files import write_json

PACKAGES = ("jax", "flax", "optax", "numpy")


def run_record(run: Path) -> dict[str, Any]:
    """Seed, results and times of one finished run; FileNotFoundError names what is missing."""
    config, results, training = (
        json.loads((run / name).read_text())
        for name in ("config.json", "final_validation_results.json", "training_metrics.json")
    )
    stages = {name: stage["training_s"] for name, stage in training["stages"].items()}
    return {
        "seed": config["seed"],
        "last_launch_s": round(training["this_launch_s"], 1),
        "training_s": {name: round(seconds, 1) for name, seconds in stages.items()},
        "results": results,
    }


def record(runs: Sequence[Path], command: str, hardware: str, commit: str) -> dict[str, Any]:
    """The content of a file of ``configs/results/``."""
    records = sorted((run_record(run) for run in runs), key=lambda r: r["seed"])
    if len({r["seed"] for r in records}) < len(records):
        raise ValueError(
            f"--runs: got seeds {[r['seed'] for r in records]}, wanted are different ones"
        )
    return {
        "command": command,
        "commit": commit,
        "date": datetime.date.today().isoformat(),
        "hardware": hardware,
        "versions": {name: version(name) for name in PACKAGES},
        "runs": records,
    }


def main() -> None:
    f = flags.FLAGS
    commit = (
        f.commit
        or subprocess.run(
            ["git", "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    write_json(Path(f.output), record([Path(r) for r in f.runs], f.command, f.hardware, commit))
    say(f"{f.output}: {len(f.runs)} runs of {commit}; now python scripts/write_tables.py")


if __name__ == "__main__":
    flags.DEFINE_list("runs", None, "Directories of finished runs, one a seed.")
    flags.DEFINE_string("output", None, "JSON file to write, in configs/results/.")
    flags.DEFINE_string("command", None, "How the runs were started, --config.seed aside.")
    flags.DEFINE_string("hardware", None, "What they ran on, in words.")
    flags.DEFINE_string("commit", "", "Of the code they ran on. Default: this checkout's.")
    flags.mark_flags_as_required(["runs", "output", "command", "hardware"])
    cli.run(main)
