"""Train: prepare the base, run the stages, evaluate, write what a person and a program want.

    python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo
    python -m waltzjax.train --config=configs/rlvr_multisignal.py:tiny --workdir=runs/rlvr

Run the same command again after an interruption: it goes on where it stopped. Without --workdir a
run gets a directory of its own under runs/, by a name that no other launch has. With --dry_run the
config, data, model and judge are checked and the config is printed; nothing is written.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from absl import flags
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from waltzjax.config import check, renamed
from waltzjax.config.defaults import KEYS
from waltzjax.config.judge import MAY_CHANGE
from waltzjax.config.text import as_text, changes
from waltzjax.metrics.writer import check_installed
from waltzjax.model import sharding
from waltzjax.recipes import STAGES, readers, validate
from waltzjax.run import cli
from waltzjax.run import workdir as run_workdir
from waltzjax.run.environment import write_environment
from waltzjax.run.runtime import devices_line
from waltzjax.stages.stage import Job
from waltzjax.support import console
from waltzjax.support.files import own_workdir
from waltzjax.support.processes import wait, writes, writing

# Keys that say where figures go and what is made of them: none changes what a run computes, so one
# that goes on may have others.
WATCHING = [f"config.{p}" for p in KEYS if p.startswith(("metrics.", "monitor.", "stop."))]


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The whole run; the final results. See README for the files it leaves in ``workdir``.

    Raises:
      ValueError, OSError, ImportError: bad config, data, model, judge or workdir; found before any
        training.
      JudgeError: the judge cannot go on; the same command does, once what it says is mended.
      Stopped: SIGTERM or Ctrl-C, a rule or a request during a stage; a checkpoint is written.
      FloatingPointError: the training diverged; the checkpoints before that stay.
    """
    config, mesh, job = prepare(config, workdir)
    # The prompts of agents and judge are as much of a run as its numbers are.
    record = {**config.to_dict(), "prompt_texts": job.fingerprint}
    unread = check.unread(config, readers(config))
    may_change = [*MAY_CHANGE, *WATCHING, run_workdir.KEY, *(f"config.{path}" for path in unread)]
    with writing(lambda: own_workdir(workdir, record, may_change, renamed.today)):
        wait("run directory")
        started = time.perf_counter()
        console.say(f"waltzjax on {devices_line()}, mesh {dict(mesh.shape)}, files in {workdir}")
        if writes():
            commit = run_workdir.code_version().get("code.commit", "")
            write_environment(workdir, commit, devices_line(), mesh.shape)
        final = job.run()
        if writes():
            job.write(final, time.perf_counter() - started)
    return final


def prepare(config: ConfigDict, workdir: Path) -> tuple[ConfigDict, Mesh, Job]:
    """Check what can be checked before any work; return (config with the run's date, mesh, run)."""
    validate(config, training=True)
    check_installed(config.metrics.writers)
    run_workdir.check(config, workdir)
    config = run_workdir.dated(config, workdir)
    mesh = sharding.make_mesh(config.mesh)
    return config, mesh, STAGES[config.stages[0]].job(config, workdir, mesh, STAGES)


def dry_run(config: ConfigDict, workdir: Path) -> None:
    """Check the run that ``train`` would be; print its config, and what is not the default."""
    config, mesh, _ = prepare(config, workdir)
    console.say(as_text(config))
    rows = [[key, repr(usual), repr(here)] for key, usual, here in changes(config)]
    console.say(console.table("", ["key that is not the default", "default", "here"], rows))
    console.say(
        f"\nnothing wrong was found: stages {', '.join(config.stages)}, mesh {dict(mesh.shape)}; "
        "nothing was written"
    )


def main() -> None:
    f, config = flags.FLAGS, cli.chosen_config(readers)
    if f.stop_on:
        config.stop.rules = tuple(f.stop_on)
    if f.dry_run:
        dry_run(config, Path(f.workdir or "runs"))
    else:
        train(config, cli.run_directory(run_workdir.new_directory))


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config",
        None,
        "A file of configs/; add :tiny for a self-contained run on a laptop, and "
        "--config.KEY=VALUE for overrides (keys: waltzjax/config/).",
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "Directory of the run; the same one again resumes it. Default: a new one, "
        "runs/CONFIG-TIME-RANDOM.",
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Check all that can be checked before any work, print the config and "
        "what in it is not the default, and end.",
    )
    flags.DEFINE_list(
        "stop_on",
        [],
        "Rules of config.monitor (dir, asr, orr, loss, utilization, kl, and those that its rules "
        "add), between commas: where one of them holds, write a checkpoint and end with status 3. "
        "Short for --config.stop.rules.",
    )
    flags.mark_flags_as_required(["config"])
    cli.define_processes()
    flags.adopt_module_key_flags(cli)  # --help shows them
    cli.run(main)
