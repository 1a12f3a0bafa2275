"""Calibration: what was measured on a kind of device, and the rates fitted to it.

The points are in ``waltzjax/plan/calibration/*.json``, a file a kind of device;
``scripts/calibrate.py`` measures them. A kind without a file has no rates: a plan for it rests on
what others have measured.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jax

from waltzjax.plan.fit import HeldOut, Point, Rates, fit, leave_one_out
from waltzjax.plan.parts import FEATURES, Part
from waltzjax.run.devices import known_device

POINTS = Path(str(files("waltzjax") / "plan" / "calibration"))
NOT_MEASURED = "no measured point for this device; the efficiencies are those cited"


class Efficiencies(NamedTuple):
    """The rates of a kind of device, by phase, and where they are from."""

    device: str
    date: str
    command: str
    points: int
    rates: dict[str, Rates]
    matmul: float  # FLOP/s of a large product of matrices, in the points' type
    shares: dict[str, float]  # of ``matmul`` that each phase reaches, at its best point


def device_kind() -> str:
    """The kind of jax's first device; of a CPU, which jax does not name, its model and how many
    cores this process may use."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    info = Path("/proc/cpuinfo")
    name = info.is_file() and re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE)
    return f"{name[1].strip() if name else 'CPU'}, {len(os.sched_getaffinity(0))} cores"


def file_name(kind: str) -> str:
    """The name of a kind's file."""
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-") + ".json"


def efficiencies(kind: str, directory: Path = POINTS) -> Efficiencies | None:
    """The rates fitted to the points of a kind of device; None: there are none.

    Raises:
      ValueError: its file is damaged.
    """
    record = _record(kind, directory)
    if record is None:
        return None
    points, best = _points(record), record["matmul_flop_per_s"]
    reached: dict[str, float] = {}
    for point in points:
        for part, seconds in zip(point.parts, point.seconds, strict=True):
            reached[part.phase] = max(reached.get(part.phase, 0.0), part.flops / seconds)
    shares = {phase: rate / best for phase, rate in reached.items()}
    origin = (record["device"], record["date"], record["command"], len(points))
    return Efficiencies(*origin, fit(points), best, shares)


@cache
def held_out(kind: str, directory: Path = POINTS) -> HeldOut | None:
    """The errors at the points of a kind of device, each predicted from all others; None: there
    are none."""
    record = _record(kind, directory)
    return leave_one_out(_points(record)) if record else None


def trust(kind: str, directory: Path = POINTS) -> str:
    """A sentence on how far the predicted seconds are to be trusted, for every plan."""
    known = efficiencies(kind, directory)
    if known is None:
        return NOT_MEASURED
    if known.points <= len(FEATURES):
        return f"{known.points} steps measured on {known.date} ({kind}), too few to leave one out"
    errors = held_out(kind, directory)
    assert errors
    shares = ", ".join(f"{phase} {share:.0%}" for phase, share in known.shares.items())
    return (
        f"rates fitted to {known.points} steps measured on {known.date} ({kind}); each predicted "
        f"from the others: {errors.median_step:.0%} off in the median, {errors.worst_step:.0%} at "
        f"worst; of a matmul's {known.matmul / 1e9:,.0f} GFLOP/s they reach: {shares}"
    )


def _record(kind: str, directory: Path) -> dict[str, Any] | None:
    path = directory / file_name(kind)
    if not path.is_file():
        named = (p for p in sorted(directory.glob("*.json")) if _device_name(p) == kind)
        path = next(named, path)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text())
        _points(record)
        float(record["matmul_flop_per_s"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path}: not calibration points ({error!r:.80}); measure anew: "
            "python scripts/calibrate.py"
        ) from error
    return record


def _device_name(path: Path) -> str:
    """The name in devices.toml of the device that a file's points were measured on; "": none."""
    known = known_device(json.loads(path.read_text()).get("device", ""))
    return known.name if known else ""


def _points(record: dict[str, Any]) -> list[Point]:
    points = []
    for point in record["points"]:
        parts = tuple(
            Part("policy", phase, *(part[name] for name in FEATURES))
            for phase, part in point["parts"].items()
        )
        seconds = tuple(part["seconds"] for part in point["parts"].values())
        if not min(*seconds, point["step_s"]) > 0:
            raise ValueError(f"{point['size']}: a part took no time")
        points.append(Point(parts, seconds, point["step_s"]))
    return points
