"""The config that a run, or an exported pair, keeps in its directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config import renamed
from waltzjax.config.defaults import KEYS, default
from waltzjax.config.key import value_at
from waltzjax.support.files import flat

RECORD = "config.json"
OPEN = ("train.steps", "rl.beta", "model.template_kwargs")  # groups whose names are not all known


def recorded_config(run: Path, flag: str) -> ConfigDict:
    """The config of ``run/config.json``; a key that it lacks is the default. Arguments and errors
    as of ``recorded_keys``."""
    config = default()
    for key, value in recorded_keys(run, flag).items():
        group, _, last = key.rpartition(".")
        parent = value_at(config, group) if group else config
        parent[last] = value
    return config


def recorded_keys(run: Path, flag: str) -> dict[str, Any]:
    """The keys of ``run/config.json`` by their dotted names of today ("rl.clip_low"). A file of
    prompts that lies in ``run``, as in an exported pair, is named with its whole path.

    flag: the flag that named ``run``, for errors.

    Raises:
      FileNotFoundError, ValueError: there is no record, or it is no object.
    """
    keys = {}
    for name, value in renamed.today(flat(read_object(run, flag))).items():
        key = name.removeprefix("config.")
        group = key.rpartition(".")[0]
        if group == "prompts" and value and (run / value).is_file():
            value = str((run / value).resolve())
        if key in KEYS or group in OPEN:
            keys[key] = _tuples(value) if isinstance(value, list) else value
    return keys


def read_object(run: Path, flag: str) -> dict[str, Any]:
    """The object of ``run/config.json``. Raises as ``recorded_keys``."""
    path = run / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{flag}: {run} is no run's directory, it has no {RECORD}")
    return json_object(path, flag)


def json_object(path: Path, flag: str) -> dict[str, Any]:
    """The object in a JSON file of a run; ``flag`` named the run.

    Raises:
      ValueError: the file is damaged, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{flag}: {path} is not JSON ({error}); it is damaged") from error
    if not isinstance(value, dict):
        raise ValueError(f"{flag}: {path} holds {type(value).__name__}, expected an object")
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
