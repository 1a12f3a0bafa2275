"""Which keys of a config are read while something runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ml_collections import ConfigDict

from waltzjax.config.defaults import KEYS, default

_NOT_A_READ = ("waltzjax/config/", "ml_collections/", "tests/")  # checks, copies, tests


def _sections() -> dict[frozenset[str], list[str]]:
    """The dotted paths of the groups with each set of keys."""
    found: dict[frozenset[str], list[str]] = {}

    def walk(c: ConfigDict, path: str) -> None:
        found.setdefault(frozenset(c), []).append(path)
        for name in c:
            if isinstance(c[name], ConfigDict) and len(c[name]):
                walk(c[name], f"{path}{name}.")

    walk(default(), "")
    return found


@contextmanager
def config_reads() -> Iterator[set[str]]:
    """A set that fills with the dotted paths of the keys that are read: of groups with the same
    keys (``train.steps`` and ``rl.beta``) all, as a group does not know its own path."""
    sections, reads, usual = _sections(), set(), ConfigDict.__getitem__

    def spy(self: ConfigDict, key: str):
        frame = sys._getframe(1)
        if frame.f_code.co_name == "__getattr__":
            frame = frame.f_back
        # Copies and prints read whole groups by ConfigDict's own code: no reads of a key.
        if not any(part in frame.f_code.co_filename for part in _NOT_A_READ):
            reads.update(
                path + key for path in sections.get(frozenset(self), ()) if path + key in KEYS
            )
        return usual(self, key)

    ConfigDict.__getitem__ = spy
    try:
        yield reads
    finally:
        ConfigDict.__getitem__ = usual


# Read by all, and refused for those who are not said to read them, as no other value than the
# default makes sense there.
PINNED = {
    "prompts.conversation", "prompts.feedback", "prompts.maths",  # a chat has all prompts
    "rl.algorithm", "rollout.group",  # WaltzRL is REINFORCE++, an episode a prompt
    "train.validate_first",  # tables of WaltzRL begin with the base
    "lora.dropout",  # a field of the architecture
}  # fmt: skip


def keys_of_others(reads: frozenset[str]) -> set[str]:
    """The keys that none of ``reads`` is said to read, and that make a difference to none."""
    return {path for path, key in KEYS.items() if not reads & {*key.readers}} - PINNED
