"""A directory of files and its manifest: written whole, and told from one that has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waltzjax.support.files import new_directory

MANIFEST = "manifest.json"


def write_set(directory: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write the ``files``, by name, and their manifest: ``directory`` appears complete, or not at
    all. Raises FileExistsError if it exists."""
    with new_directory(directory) as temporary:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_manifest(
    directory: Path, files: Mapping[str, Mapping[str, Any]], *, version: int, what: str
) -> tuple[dict[str, Any], list[str]]:
    """The manifest of a ``what``, and how the files differ from it: a line each.

    ``files``: each file's fields, which the manifest has under "files"; ``version``: of the format.
    """
    path, again = directory / MANIFEST, f"write the {what} again"
    try:
        manifest = json.loads(path.read_bytes())
        there = manifest["format_version"]
        listed = {name: fields for name, fields in files.items() if name in manifest["files"]}
        recorded = {
            name: {k: manifest["files"][name][k] for k in fields} for name, fields in listed.items()
        }
    except FileNotFoundError:
        return {}, [f"{path}: missing; the {what} is not whole, write it again"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return {}, [f"{path}: not a manifest ({error!r}); {again}"]
    if there != version:
        return {}, [f"{path}: format version {there!r}, must be {version}; {again}"]
    alone = [
        f"{directory / name}: not in the manifest; the {what} is not whole, write it again"
        for name in files
        if name not in listed
    ]
    return manifest, alone + [
        f"{directory / name}: {key} is {got}, the manifest says {recorded[name][key]}; the file "
        f"changed after it was written, restore it or {again}"
        for name, fields in listed.items()
        for key, got in fields.items()
        if recorded[name][key] != got
    ]
