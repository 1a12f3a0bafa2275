"""Train: prepare the base, run the stages, evaluate, write what a person and a program want.

    python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo
    python -m waltzjax.train --config=configs/rlvr_multisignal.py:tiny --workdir=runs/rlvr

Run the same command again after an interruption: it goes on where it stopped. Without --workdir a
run gets a directory of its own under runs/, by a name that no other launch has.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console, resume
from waltzjax.config import ALONE
from waltzjax.files import own_workdir
from waltzjax.game import game
from waltzjax.judge_keys import MAY_CHANGE
from waltzjax.maths import maths
from waltzjax.model import sharding
from waltzjax.processes import wait, writes, writing
from waltzjax.runtime import devices_line


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The whole run; the final results. See README for the files it leaves in ``workdir``.

    Raises:
      ValueError, OSError, ImportError: bad config, data, model, judge or workdir; found before any
        training.
      JudgeError: the judge cannot go on; the same command does, once what it says is mended.
      Stopped: SIGTERM or Ctrl-C during a stage; a checkpoint is written.
      FloatingPointError: the training diverged; the checkpoints before that stay.
    """
    config_check.validate(config, training=True)
    resume.check(config, workdir)
    config = resume.dated(config, workdir)
    mesh = sharding.make_mesh(config.mesh)
    task = (maths if {*config.stages} & {*ALONE} else game)(config, workdir, mesh)
    # The prompts of agents and judge are as much of a run as its numbers are.
    record = {**config.to_dict(), "prompt_texts": task.prompt_texts}
    with writing(lambda: own_workdir(workdir, record, [*MAY_CHANGE, resume.KEY])):
        wait("run directory")
        started = time.perf_counter()
        console.say(f"waltzjax on {devices_line()}, mesh {dict(mesh.shape)}, files in {workdir}")
        final = task.run()
        if writes():
            task.write(final, time.perf_counter() - started)
    return final


def main() -> None:
    train(flags.FLAGS.config, commands.run_directory(resume.new_directory))


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "A file of configs/; add :tiny for a self-contained run on a laptop, and "
        "--config.KEY=VALUE for overrides (keys: waltzjax/config.py)."
    )  # fmt: skip
    flags.DEFINE_string(
        "workdir", "", "Directory of the run; the same one again resumes it. Default: a new one, "
        "runs/CONFIG-TIME-RANDOM."
    )  # fmt: skip
    flags.mark_flags_as_required(["config"])
    commands.define_processes()
    flags.adopt_module_key_flags(commands)  # --help shows them
    commands.run(main)
