"""An export that is ended half-way: asked to, it leaves nothing; killed, the next one tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waltzjax.support import console
from waltzjax.support.signals import StopSignals


@contextmanager
def stoppable(output: Path) -> Iterator[None]:
    """A block that writes ``output`` whole or not: SIGTERM and Ctrl-C raise Stopped in it."""
    with StopSignals() as signals, signals.at_once(f"{output} is not written"):
        yield


def leftovers(output: Path) -> list[Path]:
    """The directories that earlier exports to ``output`` left beside it when they were killed, and
    those that others are writing now."""
    name = re.compile(rf"\.{re.escape(output.name)}\.[0-9a-f]{{32}}\.tmp")
    parent = output.parent
    return sorted(p for p in parent.iterdir() if name.fullmatch(p.name)) if parent.is_dir() else []


def tell_leftovers(output: Path) -> None:
    """Say which ``leftovers`` there are, how large, and what to do with them."""
    for path in leftovers(output):
        size = sum(p.lstat().st_size for p in path.rglob("*"))
        console.say(
            f"note: {path} ({size / 1e6:.1f} MB) is of an export that was killed, or that still "
            "runs; remove it where none does"
        )
