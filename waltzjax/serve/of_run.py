"""The agents of a finished run, and the keys of its config that serving them takes."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config import renamed
from waltzjax.config.defaults import KEYS
from waltzjax.config.key import SERVE_READS
from waltzjax.support.files import flat

GROUPS = ("model", "prompts", "rollout")
AGENTS = ("conversation", "feedback", "base")  # directories of a run, keys of config.serve


def with_run(config: ConfigDict, workdir: Path, given: Collection[str]) -> ConfigDict:
    """``config`` with the agents of the run in ``workdir``, and with its keys of ``GROUPS`` that
    serving reads.

    Args:
      given: keys of the command line, "rollout.t_max"; those stay as they are.

    Raises:
      ValueError: there is no run, or its record cannot be read.
    """
    config = config.copy_and_resolve_references()
    record = _record(workdir)
    read = {
        path: key
        for path, key in KEYS.items()
        if path.partition(".")[0] in GROUPS and path not in given and SERVE_READS & {*key.readers}
    }
    for path, key in read.items():
        if path in record:
            value = record[path]
            _set(config, path, tuple(value) if isinstance(key.default, tuple) else value)
    for path, key in read.items():
        if key.only_if and not key.only_if.holds(config):  # the run has a use for it, serving none
            _set(config, path, key.default)
    for name in AGENTS:
        directory = workdir / name
        if f"serve.{name}" not in given and directory.is_dir():
            config.serve[name] = str(directory)
    return config


def _record(workdir: Path) -> dict[str, Any]:
    """The config that a run was started with, leaves by their dotted names."""
    file = workdir / "config.json"
    try:
        record = json.loads(file.read_text())
        if not isinstance(record, dict):
            raise ValueError("it is no JSON object")
    except FileNotFoundError:
        raise ValueError(
            f"--workdir: {workdir} holds no config.json; name the directory of a run of stage2.py"
        ) from None
    except ValueError as error:
        raise ValueError(f"--workdir: {file} cannot be read: {error}") from error
    return {
        name.removeprefix("config."): value for name, value in renamed.today(flat(record)).items()
    }


def _set(config: ConfigDict, path: str, value: Any) -> None:
    *groups, name = path.split(".")
    for group in groups:
        config = config[group]
    config[name] = value
