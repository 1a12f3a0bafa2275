"""Files and directories that are whole or not there, and a directory that one run owns."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write it whole or not at all. NaN (nothing was counted) becomes null."""
    write_text(path, json.dumps(_finite(value), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write it whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write it whole or not at all: through a temporary file."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """Yields an empty sibling that becomes ``directory``, whole and on disk, if nothing raises.

    Raises FileExistsError if ``directory`` exists, or another process creates it first.
    """
    exists = f"{directory}: already exists and is never overwritten; choose another directory"
    if os.path.lexists(directory):
        raise FileExistsError(errno.EEXIST, exists)
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{uuid.uuid4().hex}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _fsync(path)
        try:
            # POSIX refuses to rename a directory onto a file or a directory with entries, so of
            # two processes that write the same dataset exactly one gets here without an error.
            os.rename(temporary, directory)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, exists) from error
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _fsync(directory.parent)


@contextlib.contextmanager
def own_workdir(
    workdir: Path,
    config: dict[str, Any],
    may_change: Collection[str] = (),
    today: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Iterator[None]:
    """Hold ``workdir`` for this process and this config; keys of ``may_change`` ("config.a.b") may
    differ from those there, and take their place. ``today`` gives the leaves of an older record, by
    their dotted names, the names of today.

    Raises:
      ValueError: it holds another run's config (the differing keys are named), is used by another
        process, or holds files but no ``config.json``. Nothing is overwritten.
    """
    record, changed = workdir / "config.json", True
    if record.exists():
        before = today(flat(json.loads(record.read_text())))
        now = flat(json.loads(json.dumps(config)))
        changed = before != now
        differing = sorted(
            k for k in before | now if before.get(k) != now.get(k) and k not in may_change
        )
        if differing:
            shown = [f"{k}: there {before.get(k)!r}, here {now.get(k)!r}" for k in differing[:8]]
            raise ValueError(
                f"--workdir: {workdir} holds another run's config ({'; '.join(shown)}); "
                "name another directory, or the same config to continue that run"
            )
    elif workdir.exists() and any(p.name != ".lock" for p in workdir.iterdir()):
        raise ValueError(f"--workdir: {workdir} holds other files; name a new or empty directory")
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"--workdir: {workdir} is in use by another process") from error
        if changed:
            write_json(record, config)
        yield


def flat(tree: dict[str, Any], prefix: str = "config") -> dict[str, Any]:
    """A tree's leaves by their dotted names, ``"config.rl.beta.stage1"``."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}"
        out |= flat(value, name) if isinstance(value, dict) else {name: value}
    return out
