"""SHA256SUMS, as ``sha256sum`` writes and checks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write_sums(directory: Path) -> dict[str, str]:
    """Write ``directory/SHA256SUMS`` over every other file below, sorted by name; return it, hex
    digest by name. A file that is listed by a SHA256SUMS further down is not read again."""
    known: dict[str, str] = {}
    for path in directory.rglob(SUMS):
        if path.parent != directory:
            inner = path.parent.relative_to(directory)
            known |= {(inner / n).as_posix(): d for n, d in read_sums(path.parent).items()}
    names = sorted(_names(directory))
    digests = {name: known.get(name) or digest(directory / name) for name in names}
    text = "".join(f"{value}  {name}\n" for name, value in digests.items())
    (directory / SUMS).write_text(text, encoding="utf-8")
    return digests


def read_sums(directory: Path) -> dict[str, str]:
    """Hex digest by name. Raises FileNotFoundError and ValueError."""
    path = directory / SUMS
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; {directory} is no export, or was not written to its end"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    if not matches or not all(matches):
        raise ValueError(f"{path}: expected lines of a SHA-256, two spaces and a name")
    return {match[2]: match[1] for match in matches if match}


def check_sums(directory: Path) -> dict[str, str]:
    """The digests, if every file is as they say, and nothing else is there; a link to a file is as
    good as the file, as a hub's cache has it.

    Raises:
      FileNotFoundError, ValueError: every file that is missing, changed or not listed, and whatever
        else is no file or directory (a broken link, a link to a directory, a pipe), by name.
    """
    listed, there, odd = read_sums(directory), {*_names(directory)}, _no_files(directory)
    problems = [f"{name}: is no file" for name in odd]
    problems += [f"{name}: missing" for name in sorted(listed.keys() - there - {*odd})]
    problems += [f"{name}: not listed in {SUMS}" for name in sorted(there - listed.keys())]
    for name in sorted(there & listed.keys()):
        if (got := digest(directory / name)) != listed[name]:
            problems.append(f"{name}: its SHA-256 is {got}, {SUMS} says {listed[name]}")
    if problems:
        raise ValueError(
            "\n  ".join(
                [f"{directory}: not what was exported; export or copy it again:", *problems]
            )
        )
    return listed


def _no_files(directory: Path) -> list[str]:
    """What lies below and is neither a file, or a link to one, nor a directory of its own."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if not path.is_file() and (path.is_symlink() or not path.is_dir())
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(directory: Path) -> Iterator[str]:
    """Every file below but the directory's own sums."""
    for path in directory.rglob("*"):
        if path.is_file() and path != directory / SUMS:
            yield path.relative_to(directory).as_posix()
