"""The SHA-256 sums of a run's agents, kept with the evaluation that they played."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from waltzjax.support.files import write_json

SUMS = "agent_sums.json"  # in a run's directory


def record_sums(workdir: Path, roles: Collection[str]) -> None:
    """Write the sums of the agents in ``workdir``, whose evaluation is about to be written."""
    write_json(workdir / SUMS, {role: file_sums(workdir / role) for role in roles})


def changed_agents(workdir: Path, roles: Collection[str]) -> list[str] | None:
    """Those of ``roles`` that are not, byte by byte, the agents that were evaluated; None: an older
    run did not record them.

    Raises:
      ValueError: the record is damaged.
    """
    path = workdir / SUMS
    if not path.is_file():
        return None
    try:
        recorded = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error})") from error
    if type(recorded) is not dict:
        raise ValueError(f"{path} is not a JSON object")
    return [role for role in roles if recorded.get(role) != file_sums(workdir / role)]


def file_sums(directory: Path) -> dict[str, str]:
    """The sum of each file below ``directory``, by its path there."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): _sum(path) for path in files}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
