"""Alerts, and a time that passes by being waited for."""

from __future__ import annotations

from typing import Any

from waltzjax.monitor.alert import Alert
from waltzjax.monitor.delivery.message import Message, Raised, compose

NOON = 1_790_942_400.0  # 2026-10-02 12:00:00 UTC


def alert(**changes: Any) -> Alert:
    """kl of run demo is 0.31 at step 1,204 of stage2, where 0.2 is the most."""
    history = ((1201, 0.1), (1202, 0.15), (1203, 0.24), (1204, 0.31))
    return Alert("demo", "kl", True, "stage2", 1204, "kl", 0.31, True, 0.2, history)._replace(
        **changes
    )


def message(*alerts: Alert, test: bool = False) -> Message:
    raised = [Raised(NOON, a) for a in alerts or [alert()]]
    return compose(raised, "node7", test=test)


class FakeTime:
    """Unix seconds; ``waits`` are the pauses that were asked for."""

    def __init__(self) -> None:
        self.now, self.waits = NOON, list[float]()

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
