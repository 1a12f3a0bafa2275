"""Section ``stop``: what ends a run between two steps, with a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import TRAIN, Bound, Key
from waltzjax.config.monitor import rule_names

KEYS = {
    "stop": {
        "rules": Key(
            (), Bound(lambda v: all(isinstance(name, str) for name in v), "are names of rules"),
            [TRAIN],
            "names of rules of config.monitor: an episode of one of them ends the run, with a "
            "checkpoint and exit status 3; the same command goes on. Also --stop_on=NAME",
        ),
    },
}  # fmt: skip


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if TRAIN in reads:
        try:
            there = rule_names(c)
        except ValueError:  # said by the section monitor
            return
        for name in c.stop.rules:
            if name not in there:
                yield f"config.stop.rules: got {name!r}, allowed are {', '.join(there)}"
