"""One fault put into the code on purpose (DeMillo, Lipton and Sayward 1978)."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A fault that a tired engineer could make, and who is to see it.

    name: unique, of lower-case words joined by hyphens.
    file: of the repository, "waltzjax/core/losses.py".
    old: what stands there, exactly once.
    new: what takes its place; the file still parses.
    tests: files or folders of tests, one of which fails; the quickest first.
    why: what a run with this fault would do wrong.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str
