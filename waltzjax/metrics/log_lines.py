"""A trainer's plain log, read line by line: the figures of its steps, whoever printed them.

    step=120 loss=0.53 kl=0.02          Step 120/1000 | loss: 0.53 | ASR: 12.5%
    {"step": 120, "loss": 0.53}         {'loss': 0.53, 'epoch': 0.1}

A figure needs "=" or ":" ("loss 0.53" is not read), a date before it gives its time.
The step is a figure or word step, global_step, iteration, iter or update, with "/TOTAL" where it is
printed; else the count of a progress bar (12%|█ | 120/1000 [...), or of the lines with figures.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import datetime
from typing import Any

from waltzjax.metrics.follow import Record, parse_json

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)\b"
_FIGURE = re.compile(
    rf"(?<![\w./%])(?P<name>[A-Za-z][\w./-]*)['\"]?\s*[=:]\s*['\"]?(?P<value>{_NUMBER})"
    r"(?P<unit>%|\s%)?(?![\w:/])",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?<![\w/])(?:global[_ ])?(?:step|iteration|iter|update)s?\b['\"]?\s*[=:#]?\s*"
    r"\[?(?P<step>\d+)(?:\s*(?:/|of)\s*(?P<total>\d+))?(?![\d.])",
    re.IGNORECASE,
)
_BAR = re.compile(r"\|\s*(?P<step>\d+)/(?P<total>\d+)\s*\[")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
STEPS = ("step", "global_step", "iteration", "iter", "update")
RATES = ("asr", "orr")
OTHER_NAMES = {
    "kl_div": "kl", "kl_divergence": "kl", "approx_kl": "kl", "mean_kl": "kl", "objective/kl": "kl",
    "train_loss": "loss", "train/loss": "loss", "policy_loss": "loss/policy",
    "attack_success_rate": "asr", "over_refusal_rate": "orr", "overrefusal_rate": "orr",
    "gpu_util": "device/utilization", "gpu_utilization": "device/utilization",
    "device_utilization": "device/utilization", "step_time": "time_s", "time_per_step": "time_s",
}  # fmt: skip


class LogLines:
    """Reads the lines of one log in order.

    Rates (asr, orr) become per cent, utilisation a share: a number without "%" that is at most 1 is
    a share, unless a rate above 1 has been seen, from which on they are per cent.

    total: the steps that the log says there are; 0: it does not.
    """

    def __init__(self) -> None:
        self.total, self._step = 0, 0
        self._numbered, self._by_word, self._per_cent = False, False, False

    def parse(self, line: bytes) -> Record | None:
        """The figures of a line, {"step": 120, "loss": 0.53}; None where it has none."""
        parts = line.decode(errors="replace").strip("\r ").rpartition("\r")
        text = parts[-1].strip()  # what a terminal shows of a bar that is drawn again and again
        figures = self._from_json(line) or self._from_text(text)
        if not figures:
            return None
        if not self._numbered:
            self._step += 1
        time = _TIME.search(text)
        if time and "wall_time" not in figures:
            with suppress(ValueError, OverflowError, OSError):  # no day of any calendar
                figures["wall_time"] = datetime.fromisoformat(time[0]).timestamp()
        return {"stage": figures.pop("stage", ""), "step": self._step, **figures}

    def _from_json(self, line: bytes) -> dict[str, Any] | None:
        given = parse_json(line) if line.lstrip().startswith(b"{") else None
        if given is None:
            return None
        numbers = {k: v for k, v in given.items() if type(v) in (int, float)}
        step = next((numbers.pop(k) for k in STEPS if k in numbers), None)
        if step is not None and math.isfinite(step):
            self._step, self._numbered = int(step), True
        figures = {n: v for k, x in numbers.items() for n, v in [self._named(k, x, "")]}
        stage = given.get("stage")
        return figures | ({"stage": stage} if figures and isinstance(stage, str) else {})

    def _from_text(self, text: str) -> dict[str, Any]:
        by_word = _STEP.search(text)
        self._by_word = self._by_word or bool(by_word)
        # Once a line has named its step, bars are those of evaluations and downloads.
        if counted := (by_word or (None if self._by_word else _BAR.search(text))):
            self._step, self._numbered = int(counted["step"]), True
            self.total = int(counted["total"] or self.total)
        figures = [m for m in _FIGURE.finditer(text) if m["name"].lower() not in STEPS]
        return dict(self._named(m["name"], float(m["value"]), m["unit"] or "") for m in figures)

    def _named(self, name: str, value: float, unit: str) -> tuple[str, float]:
        name = OTHER_NAMES.get(name.lower(), name.lower())
        if name in RATES and not unit:
            self._per_cent = self._per_cent or value > 1
            value = value if self._per_cent or not math.isfinite(value) else 100 * value
        elif name == "device/utilization" and (unit or value > 1):
            value /= 100
        return name, value
