"""The file that the checks are written to, with all else that stands in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waltzjax.run.results import RESULTS
from waltzjax.support.files import write_json
from waltzjax.validation.checks import Check

CHECKS, VALIDATION = "checks", "validation"  # keys that the suite owns in a file of results


def check_results(path: Path) -> None:
    """Raise ValueError or OSError unless the checks can be added to ``path``, before any work."""
    there = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not there.is_dir():
        raise NotADirectoryError(f"--output: {there} is no directory; name another file")
    if path.is_dir():
        raise IsADirectoryError(f"--output: {path} is a directory; name a file")
    results = _read(path).keys() - {CHECKS, VALIDATION}
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"--output: {there} may not be written to; name another file")
    if path.name == RESULTS and (path.parent / "config.json").is_file() and not results:
        raise FileNotFoundError(
            f"{path}: the run has no results yet, it has not come to its end, and checks alone "
            "would make it look finished; let waltzjax.train end it by its --workdir, or name "
            "another file by --output"
        )


def add_checks(path: Path, checks: Sequence[Check], about: Mapping[str, Any]) -> None:
    """Write ``checks`` and what is to be said ``about`` them to ``path``, whole or not at all;
    other keys that are there stay as they are. Of two processes the later one's checks remain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        rows = [check.as_json() for check in checks]
        write_json(path, {**_read(path), CHECKS: rows, VALIDATION: dict(about)})


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--output: {path} is not JSON ({error}); name another file") from error
    if type(value) is not dict:
        raise ValueError(f"--output: {path} is not a JSON object; name another file")
    return value


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Of the processes that write checks in ``directory``, one at a time."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
