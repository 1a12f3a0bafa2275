"""Seconds fitted to measured points, and how far off they are at points that were left out.

A part of a step takes c·calls + f·FLOPs + b·bytes + v·values seconds, with rates c, f, b, v >= 0 of
its phase on one device kind (``Part`` says what is counted). The rates are those with the least sum
of squared relative errors over all points: non-negative least squares (Lawson and Hanson, 1974).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from waltzjax.plan.parts import FEATURES, Part


class Rates(NamedTuple):
    """Seconds of one unit of each of ``parts.FEATURES``, >= 0; 0: the points show no cost of it."""

    calls: float
    flops: float
    bytes: float
    values: float

    def seconds(self, part: Part) -> float:
        return sum(rate * count for rate, count in zip(self, part[2:], strict=True))


class Point(NamedTuple):
    """One measured step: its parts, seconds of each in their order, and of the step as a whole."""

    parts: tuple[Part, ...]
    seconds: tuple[float, ...]
    step_s: float


class HeldOut(NamedTuple):
    """Relative errors, predicted / measured - 1, at points that the fit did not see."""

    phases: dict[str, tuple[float, ...]]  # a point each
    step: tuple[float, ...]

    @property
    def worst_step(self) -> float:
        """The largest error of a step's seconds, without its sign."""
        return max(map(abs, self.step))

    @property
    def median_step(self) -> float:
        return statistics.median(map(abs, self.step))


def fit_rates(parts: Sequence[Part], seconds: Sequence[float]) -> Rates:
    """The rates of one phase, from a part and its seconds, > 0, a point."""
    counts = np.array([part[2:] for part in parts], float)
    relative = counts / np.array(seconds, float)[:, None]
    scale = np.maximum(relative.max(axis=0), 1e-300)  # counts differ by ten orders of magnitude
    solution, _ = nnls(relative / scale, np.ones(len(parts)))
    return Rates(*(float(x) for x in solution / scale))


def fit(points: Sequence[Point]) -> dict[str, Rates]:
    """The rates of each phase that the points have."""
    phases: dict[str, list[tuple[Part, float]]] = {}
    for point in points:
        for part, seconds in zip(point.parts, point.seconds, strict=True):
            phases.setdefault(part.phase, []).append((part, seconds))
    return {phase: fit_rates(*zip(*pairs, strict=True)) for phase, pairs in phases.items()}


def predict(rates: Mapping[str, Rates], parts: Sequence[Part]) -> list[float]:
    """Seconds of each part; ValueError for a phase that was not measured."""
    unknown = sorted({part.phase for part in parts} - rates.keys())
    if unknown:
        raise ValueError(f"no measured point has the phase {', '.join(unknown)}")
    return [rates[part.phase].seconds(part) for part in parts]


def leave_one_out(points: Sequence[Point]) -> HeldOut:
    """Errors at each point, of a fit to all others; ValueError for fewer points than rates."""
    if len(points) <= len(FEATURES):
        raise ValueError(
            f"{len(points)} points: a fit of {len(FEATURES)} rates that leaves one out needs at "
            f"least {len(FEATURES) + 1}; measure more with scripts/calibrate.py"
        )
    phases: dict[str, list[float]] = {}
    steps = []
    for number, point in enumerate(points):
        rates = fit([*points[:number], *points[number + 1 :]])
        seconds = predict(rates, point.parts)
        for part, s, measured in zip(point.parts, seconds, point.seconds, strict=True):
            phases.setdefault(part.phase, []).append(s / measured - 1)
        steps.append(sum(seconds) / point.step_s - 1)
    return HeldOut({phase: tuple(errors) for phase, errors in phases.items()}, tuple(steps))
