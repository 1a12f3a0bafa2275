"""Configs of serving, and directories as finished runs leave them."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from typing import Any

from ml_collections import ConfigDict
from support import REPO

from waltzjax.run.runtime import prompt_file


def config(name: str = "serve", arg: str = "", **changes: Any) -> ConfigDict:
    """A config of configs/, with ``changes`` by dotted path."""
    c = run_path(str(REPO / f"configs/{name}.py"))["get_config"](arg)
    c.update_from_flattened_dict(changes)
    return c


def run_of(
    workdir: Path,
    c: ConfigDict,
    roles: tuple[str, ...] = ("conversation", "feedback"),
    base: bool = True,
    **record: Any,
) -> Path:
    """A directory as a finished run of ``c`` leaves it, empty ones for its models; ``record`` takes
    the place of parts of its config.json."""
    for name in (*roles, *(["base"] if base else [])):
        (workdir / name).mkdir(parents=True, exist_ok=True)
    workdir.mkdir(exist_ok=True)
    texts = {r: prompt_file(c, r).read_text() for r in ("conversation", "feedback")}
    whole = {**c.to_dict(), "prompt_texts": texts, **record}
    (workdir / "config.json").write_text(json.dumps(whole))
    return workdir
