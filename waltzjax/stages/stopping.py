"""What ends a stage between two steps, besides a signal: a rule of its config, or a request.

A request is the file "stop" in the run's directory, with the reason as its text; the monitor's
--stop_on writes it, and so may anybody. It is removed when it is obeyed, and one that is older than
the launch is too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ml_collections import ConfigDict

from waltzjax.metrics.episodes import Episode, Episodes
from waltzjax.metrics.rules import REQUEST, chosen, make_rules
from waltzjax.stages.stage import Stage
from waltzjax.support import console
from waltzjax.support.processes import writes
from waltzjax.support.signals import Stopped

ASKED = 1000  # above every number of a signal
LONGEST = 500  # characters of a request's reason


class Stopping:
    """Judges the figures of a stage, from the step after ``step`` on, by ``config.stop.rules``.

    asked: ``ASKED`` once the stage is to stop, else 0; only where this process judges.
    """

    def __init__(self, config: ConfigDict, workdir: Path, stage: Stage, step: int) -> None:
        rules = make_rules(config.monitor.to_dict())
        rules = chosen(rules, config.stop.rules, "config.stop.rules")
        self.asked, self._why = 0, "stopped, as the first process says"
        self._stage, self._request = stage.name, workdir / REQUEST
        self._episodes = Episodes(rules, {stage.name: stage.total}, config.monitor.grace)
        if rules:
            names = ", ".join(rule.name for rule in rules)
            console.say(f"{stage.name}: stops on {names}; steps count from {step + 1} on")

    def judge(self, step: int, figures: Mapping[str, float]) -> None:
        """Judge the figures of ``step``, and look for a request."""
        # As metrics.jsonl has them: a figure of which nothing was counted is NaN, and no fault.
        counted = {name: x for name, x in figures.items() if math.isfinite(x)}
        record = {"stage": self._stage, "step": step, **counted}
        began = [c.episode for c in self._episodes.feed([record]) if not c.ended]
        if began:
            self.asked, self._why = ASKED, f"stopped by {'; '.join(map(_in_words, began))}"
        elif (reason := _read(self._request)) is not None:
            self.asked = ASKED
            self._why = f"stopped as {self._request} asks: {reason or 'it gives no reason'}"

    def check(self, asked: int, saved: str) -> None:
        """Raise Stopped if ``asked``, of any process, is ``ASKED``; ``saved`` says where the run
        stands."""
        if asked == ASKED:
            if writes():
                _remove(self._request)
            raise Stopped(f"{self._why}: {saved}")


def _in_words(episode: Episode) -> str:
    rule = episode.rule
    return (
        f"the rule {rule.name}: {episode.metric}, averaged over some {rule.span} steps, is "
        f"{episode.value:.4g}, {'above' if rule.above else 'below'} {episode.threshold:.4g}"
    )


def _read(path: Path) -> str | None:
    """The reason of a request, in one line; None: there is no request, or none that can be seen."""
    try:
        return " ".join(path.read_text(errors="replace").split())[:LONGEST]
    except PermissionError:
        return "its reason may not be read"
    except OSError:
        return None


def _remove(path: Path) -> None:
    with suppress(OSError):  # it is another user's, say: the next launch asks no more of it
        path.unlink(missing_ok=True)


def discard_request(workdir: Path) -> None:
    """Remove a request that was made before this launch."""
    if writes() and (reason := _read(workdir / REQUEST)) is not None:
        _remove(workdir / REQUEST)
        console.say(f"a request to stop from before this launch is removed: {reason or '-'}")
