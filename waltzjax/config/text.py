"""A config for people: a line a key, and what in it is not the default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.defaults import default


def values(c: ConfigDict, path: str = "config") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every key, in alphabetical order."""
    for key in sorted(c):
        if isinstance(c[key], ConfigDict):
            yield from values(c[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}", c[key]


def as_text(c: ConfigDict) -> str:
    """Every key on a line of its own, as ``KEY = VALUE``."""
    return "".join(f"{key} = {value!r}\n" for key, value in values(c))


def changes(c: ConfigDict) -> list[tuple[str, Any, Any]]:
    """(key, default, value) of every key whose value is not the default; None: it has none."""
    usual = dict(values(default()))
    return [(key, usual.get(key), here) for key, here in values(c) if here != usual.get(key)]
