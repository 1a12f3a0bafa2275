"""Section ``metrics``: where a run's figures go, besides its own ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, TRAIN, Bound, Key, OnlyIf, at_least

WRITERS = ("tensorboard", "wandb", "trackio", "prometheus")
_SERVICES, _TEXTS = {"wandb", "trackio"}, {"tensorboard", "wandb", "trackio"}


def _chosen(names: set[str]) -> OnlyIf:
    listed = [name for name in WRITERS if name in names]
    return OnlyIf(
        lambda c: bool(names & {*c.metrics.writers}),
        f"config.metrics.writers has {' or '.join(listed)}",
    )


KEYS = {
    "metrics": {
        "writers": Key(
            ("tensorboard",),
            Bound(
                lambda v: all(name in WRITERS for name in v) and len({*v}) == len(v),
                f"are some of {', '.join(WRITERS)}, once each",
            ),
            [TRAIN],
            "besides metrics.jsonl, which every run writes; wandb and trackio are extras",
        ),
        "project": Key(
            "waltzjax", Bound(bool, "is a name"), [TRAIN],
            "under which wandb and trackio file the run", _chosen(_SERVICES),
        ),
        "transcripts_every": Key(
            10, at_least(0), [TRAIN], "steps between rollouts shown as text; 0: none",
            _chosen(_TEXTS),
        ),
        "prometheus_file": Key(
            "", ANY, [TRAIN],
            "a file NAME.prom in the directory that a node exporter's textfile collector reads; "
            "'': metrics.prom in the run's directory", _chosen({"prometheus"}),
        ),
    }
}  # fmt: skip


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    path = c.metrics.prometheus_file
    if TRAIN in reads and path and not (path.endswith(".prom") and Path(path).parent.is_dir()):
        yield (
            f"config.metrics.prometheus_file: got {path!r}, allowed is a file NAME.prom in a "
            "directory that exists: the collector reads no other"
        )
