"""The start of a run: its own checkpoints, another run's, or nothing at all."""

from __future__ import annotations

import datetime
import json
import secrets
import subprocess
from contextlib import closing, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED
from waltzjax.data.template import Template
from waltzjax.model.hf import config as hf_config
from waltzjax.run.runtime import load_tokenizer
from waltzjax.support import console
from waltzjax.support.processes import from_first
from waltzjax.training.checkpoint import Checkpoints
from waltzjax.types import AgentState

AUTO, OFF = "auto", "off"
KEY = "config.train.resume"
RUNS = Path("runs")


def new_directory(name: str) -> Path:
    """A directory for a run, whose name no launch has had."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{name}-{now}-{secrets.token_hex(3)}"


def check(config: ConfigDict, workdir: Path) -> None:
    """Whether a run in ``workdir`` may begin as ``config.train.resume`` says.

    Raises:
      ValueError: "off", and there is a run already.
      FileNotFoundError: another run, which is not there or has none of this one's stages.
    """
    if config.train.resume == OFF and (workdir / "config.json").exists():
        raise ValueError(
            f"{KEY}: got {OFF!r}, which never loads anything, but --workdir: {workdir} holds a "
            f"run; name a new directory, leave --workdir out for one, or go on with {KEY}={AUTO}"
        )
    if other := other_run(config):
        there = {p.name for p in (other / "checkpoints").glob("*")}
        if not there & {*config.stages}:
            raise FileNotFoundError(
                f"{KEY}: got {str(other)!r}, allowed are {AUTO!r}, {OFF!r} and a run's directory; "
                f"checkpoints/ there has {', '.join(sorted(there)) or 'nothing'}, wanted is one "
                f"of {', '.join(config.stages)}"
            )


def dated(config: ConfigDict, workdir: Path | None = None, base: Path | None = None) -> ConfigDict:
    """A copy with the day that a chat template is to take for today, where it tells the date: that
    of the run in ``workdir``, or of the one it begins at, if there is such a run, else today. So a
    run that is continued on another day shows the same prompts. ``base``: a directory with the
    tokenizer; None: that of ``config.model.base``."""
    config = config.copy_and_resolve_references()
    if config.model.template_date or (base is None and config.model.base == EMBEDDED):
        return config
    tokenizer = load_tokenizer(base or hf_config.resolve(config.model.base))
    if Template(tokenizer).tells_date:
        today = from_first(np.array(datetime.date.today().toordinal(), np.int32))
        known = [_first_day(run) for run in (workdir, other_run(config)) if run]
        known.append(datetime.date.fromordinal(int(today)).isoformat())
        config.model.template_date = next(filter(None, known))
    return config


def _first_day(workdir: Path) -> str:
    """As the run's record has it; "": there is none."""
    record = workdir / "config.json"
    if not record.exists():
        return ""
    return json.loads(record.read_text()).get("model", {}).get("template_date", "")


def other_run(config: ConfigDict) -> Path | None:
    """The run whose checkpoint this one begins at."""
    how = config.train.resume
    return None if how in (AUTO, OFF) else Path(how)


def newest(
    run: Path, stage: str, form: dict[str, AgentState]
) -> tuple[int, dict[str, AgentState], dict[str, Any]] | None:
    """The newest checkpoint of another run's ``stage``, if it came to that one; nothing of that run
    is changed.

    Raises:
      ValueError: there are checkpoints and none can be read.
    """
    directory = run / "checkpoints" / stage
    if not directory.is_dir():
        return None
    checkpoints = Checkpoints(directory, 1, console.say, read_only=True)
    with closing(checkpoints):
        return checkpoints.restore(form)


@cache
def code_version() -> dict[str, str]:
    """The version of this package, and the commit of its checkout, where it is one."""
    code = {"code.version": version("waltzjax")}
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            code["code.commit"] = done.stdout.strip()
    return code


def way_on(config: ConfigDict) -> str:
    """How a run that was stopped is continued, in words."""
    if config.train.resume == OFF:
        return f"the same command with {KEY}={AUTO} goes on from there"
    return "the same command goes on from there"
