"""Prometheus: the last step's figures as a text file, for a node exporter's textfile collector."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from waltzjax.metrics.run_info import RunInfo
from waltzjax.support.files import write_text

PREFIX = "waltzjax_"


class Prometheus:
    """``metrics.prom``, or the file that the config names: replaced at each step, never half
    there. Gauges by the metrics' names, with the labels ``run`` and ``stage``."""

    def __init__(self, run: RunInfo) -> None:
        self._path = run.prometheus_file
        self._labels = {"run": run.name, "stage": run.stage}

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        write_text(
            self._path,
            exposition({"step": step, "wall_time_seconds": time.time(), **scalars}, self._labels),
        )

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """There is no text in Prometheus."""

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Nor is there a config."""

    def flush(self) -> None:
        """Each step's file is whole."""

    def close(self) -> None:
        """The last step's figures stay: ``waltzjax_wall_time_seconds`` says how old they are."""


def exposition(scalars: Mapping[str, float], labels: Mapping[str, str]) -> str:
    """Gauges in Prometheus's text format, version 0.0.4.

    "reward/policy" becomes ``waltzjax_reward_policy``; of two metrics that become one name the
    first is kept. Values: as Python writes a float, which is what the format reads.
    """
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    lines: dict[str, str] = {}
    for key, value in scalars.items():
        name = PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", key)
        lines.setdefault(
            name,
            f"# HELP {name} {key}\n# TYPE {name} gauge\n{name}{{{inside}}} {float(value)!r}\n",
        )
    return "".join(lines.values())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
