"""Directories of runs, for tests that resume and compare them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.check import only_read
from waltzjax.recipes import readers


def records(workdir: Path) -> list[dict[str, Any]]:
    """Those of metrics.jsonl, but for what depends on the clock or the machine."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    measured = ("wall_time", "time/", "device/", "perf/mfu")
    return [
        {k: v for k, v in r.items() if not k.endswith("_s") and not k.startswith(measured)}
        for r in lines
    ]


def same_end(a: Path, b: Path, *weights: str) -> None:
    """Both left the same, to the bit."""
    for name in weights:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    assert records(a) == records(b)
    name = "final_validation_results.json"
    assert (a / name).read_text() == (b / name).read_text()


def prepared(finished: Path, workdir: Path) -> Path:
    """A fresh run directory that has its base model already, and what that was measured as."""
    for part in ("base", "evaluations/base.json"):
        source, target = finished / part, workdir / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    shutil.copy(finished / "config.json", workdir)
    return workdir


def on_base(c: ConfigDict, base: Path, reads: frozenset[str] = frozenset()) -> ConfigDict:
    """The config ``c`` on the base model there, instead of one of its own. ``reads``: of whom its
    keys are read, if not of its stages."""
    c = c.copy_and_resolve_references()
    c.model.base = str(base)
    return only_read(c, reads or readers(c))
