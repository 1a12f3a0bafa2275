"""A small plot of an alert: the last values of its metric, the threshold, the value beyond it."""

from __future__ import annotations

import io
import math
import threading

from waltzjax.monitor.alert import Alert, number, one_line

_drawing = threading.Lock()  # matplotlib's fonts are no thread's own
LONGEST_NAME = 40  # characters


def draw(alert: Alert) -> bytes | None:
    """PNG of 720 x 330 pixels; values that are not finite are marked at the foot. None where
    matplotlib fails: an alert is worth more than its plot."""
    with _drawing:
        try:
            return _draw(alert)
        except Exception:
            return None


def _draw(alert: Alert) -> bytes:
    from matplotlib.figure import Figure  # not on import: half a second
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.8, 2.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    steps, values = zip(*(alert.history or ((alert.step, alert.value),)), strict=True)
    finite = [v if math.isfinite(v) else math.nan for v in values]
    axes.plot(steps, finite, "o-", color="#0072B2", lw=1.6, ms=2.5 if len(steps) > 30 else 3.5)
    axes.axhline(alert.threshold, color="#A8261C", ls="--", lw=1)
    axes.annotate(
        f"threshold {number(alert.threshold)}",
        (0, alert.threshold),
        xycoords=axes.get_yaxis_transform(),
        xytext=(2, 2 if alert.above else -2),
        textcoords="offset points",
        va="bottom" if alert.above else "top",
        color="#A8261C",
        size=8,
    )
    broken = [s for s, v in zip(steps, values, strict=True) if not math.isfinite(v)]
    axes.plot(
        broken, [0.03] * len(broken), "x", color="#A8261C", transform=axes.get_xaxis_transform()
    )
    if math.isfinite(alert.value):
        axes.plot([alert.step], [alert.value], "o", color="#A8261C", ms=6, zorder=3)
    name = one_line(alert.metric).replace("$", r"\$")  # "$" begins a formula
    axes.set(xlabel="step", ylabel=name[:LONGEST_NAME])
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="white")
    return out.getvalue()
