"""Collect every arm's answers to many questions, and make preferences of them (Regime W).

    python -m waltzjax.collect --config=configs/regime_w_collect.py --workdir=runs/regime_w_collect

Leaves collected.jsonl, a question a line with all trajectories and their scores, and with
--task=preferences or all what the stage "dpo" learns from. The same command goes on after an
interruption; config.pairs may change between two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from absl import flags
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from waltzjax.config import check, renamed
from waltzjax.config.key import COLLECT_READS, EMBEDDED
from waltzjax.data.chat import SEPARATOR
from waltzjax.data.source import drawn
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import weights
from waltzjax.preference import collect as preference_collect
from waltzjax.preference.arms import personas
from waltzjax.preference.make_pairs import make_preferences
from waltzjax.preference.trajectories import FILE, read_collected
from waltzjax.recipes import validate
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problems import check_problems, keep_embedded, say_unreadable, training_problems
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.run import cli
from waltzjax.run import workdir as run_workdir
from waltzjax.run.runtime import Runtime, devices_line, prompt_file
from waltzjax.support import console
from waltzjax.support.files import own_workdir
from waltzjax.support.processes import wait, writes, writing
from waltzjax.toy.maths import embedded_maths_base
from waltzjax.types import Collected, Problem

TRAJECTORIES, PREFERENCES, ALL = TASKS = ("trajectories", "preferences", "all")


def collect(config: ConfigDict, workdir: Path, task: str = ALL) -> None:
    """One task of ``TASKS`` in ``workdir``; "all" is the two others.

    Raises:
      ValueError, OSError: bad config, personas, problems, model or workdir, found before anything
        is generated; or preferences are asked for and there is nothing to make them of.
      Stopped: SIGTERM or Ctrl-C; what had ended is written, and the same call goes on.
    """
    validate(config, reads=COLLECT_READS)
    config = run_workdir.dated(config, workdir)
    texts = {name: f"{p.system}{SEPARATOR}{p.message}" for name, p in personas(config).items()}
    problems = preference_collect.different(training_problems(config))
    questions = drawn(problems, config.collect.questions, config.seed)
    path = workdir / FILE
    if task == PREFERENCES and not path.exists():
        raise FileNotFoundError(
            f"--task={PREFERENCES}: {path} is not there; run --task={TRAJECTORIES} first"
        )
    gather = None if task == PREFERENCES else _gathering(config, workdir, questions)
    if config.model.base == EMBEDDED:  # its base learns to answer this one
        texts["embedded base"] = prompt_file(config, "maths").read_text(encoding="utf-8")
    record = {**config.to_dict(), "prompt_texts": texts, "questions_drawn": len(questions)}
    unread = check.unread(config, COLLECT_READS)
    may_change = [f"config.{path}" for path in (*(f"pairs.{key}" for key in config.pairs), *unread)]
    with writing(lambda: own_workdir(workdir, record, may_change, renamed.today)):
        wait("run directory")
        if gather:
            gather()
        left = len(preference_collect.missing(config, questions, path))
        if writes():
            if task == TRAJECTORIES:  # the table of preferences says this and more
                show(read_collected(path))
            if left:
                console.say(
                    f"warning: {left} of {len(questions)} questions are not collected, and "
                    f"preferences are of the others; --task={TRAJECTORIES} goes on"
                )
            if task != TRAJECTORIES:
                make_preferences(config, workdir)


def _gathering(
    config: ConfigDict, workdir: Path, questions: Sequence[Problem]
) -> Callable[[], None]:
    """Return a function that collects the questions that are not there yet. Errors in model or
    questions that can be found before any work are raised now."""
    mesh, embedded = sharding.make_mesh(config.mesh), config.model.base == EMBEDDED
    base = workdir / "base" if embedded else hf_config.resolve(config.model.base)
    ready = None if embedded else _runtime(config, base, mesh, questions)

    def gather() -> None:
        console.say(f"waltzjax on {devices_line()}, mesh {dict(mesh.shape)}, files in {workdir}")
        if embedded:
            embedded_maths_base(config, mesh, base)
        keep_embedded(config, workdir)
        left = preference_collect.missing(config, questions, workdir / FILE)
        if not left:
            console.say(f"all {len(questions)} questions are there")
            return
        runtime = ready or _runtime(config, base, mesh, questions)
        with console.phase(f"loading {base}"):
            params = weights.load_params(base, runtime.cfg, mesh)
        with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
            say_unreadable(left, "training", verifier)
            preference_collect.collect(
                config, runtime, params, verifier, left, workdir / FILE, total=len(questions)
            )
        wait("collected")

    return gather


def _runtime(config: ConfigDict, base: Path, mesh: Mesh, questions: Sequence[Problem]) -> Runtime:
    """Raises ValueError where a question does not fit the model as a persona shows it."""
    runtime = maths_runtime(config, base, mesh)
    for persona, prompt in personas(config).items():
        try:
            check_problems(config, runtime, questions, prompt)
        except ValueError as error:
            raise ValueError(f"as {persona} shows them: {error}") from error
    return runtime


def show(questions: Sequence[Collected]) -> None:
    """A table of the arms, and how much there is."""
    rows = []
    for trajectories in zip(*(question.trajectories for question in questions), strict=True):
        correct = 100 * np.mean([t.correct for t in trajectories])
        silent = 100 * np.mean([t.answer is None for t in trajectories])
        tokens = np.mean([t.tokens for t in trajectories])
        rows.append([trajectories[0].arm, f"{correct:.1f}", f"{silent:.1f}", f"{tokens:.1f}"])
    header = ["arm", "correct, %", "no answer, %", "tokens, mean"]
    title = (
        f"{len(questions)} questions, {sum(len(q.trajectories) for q in questions)} trajectories"
    )
    console.say("\n" + console.table(title, header, rows))


def main() -> None:
    f, config = flags.FLAGS, cli.chosen_config(lambda config: COLLECT_READS)
    collect(config, cli.run_directory(run_workdir.new_directory), f.task)


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "A file of configs/, with :tiny or overrides (keys: waltzjax/config/)."
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "Directory of the run; the same one again goes on. Default: a new one, "
        "runs/CONFIG-TIME-RANDOM.",
    )
    flags.DEFINE_enum("task", ALL, TASKS, "What is made: answers, preferences of them, or both.")
    flags.mark_flags_as_required(["config"])
    cli.define_processes()
    flags.adopt_module_key_flags(cli)  # --help shows them
    cli.run(main)
