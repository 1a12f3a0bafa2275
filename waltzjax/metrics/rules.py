"""Rules: which figure of a step is out of bounds, as data.

The six of ``config.monitor`` and those a user adds. ``metrics.episodes`` judges by them, for the
monitor and for the trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from waltzjax.config.rule_text import parse_rule

REQUEST = "stop"  # file in a run's directory that asks its trainer to stop


class Rule(NamedTuple):
    """A bound of one figure.

    metric: "kl" is every figure "kl" and "kl/ROLE", each judged by itself.
    above: figures above ``threshold`` break the rule, else those below it.
    threshold: in the figure's unit; of a ``relative`` rule a factor of the figure's recent average.
    critical: somebody has to act: exit status 3 of the monitor.
    span: how many records are averaged, in weights that decay by age (2 / (span + 1) a record).
    patience: so many records in a row begin an episode, and end it.
    sure: by how many standard errors the average has to be past the threshold.
    waits: the rule is silent in the first share of a stage, ``config.monitor.grace``, unless its
      figure has been within bounds.
    """

    name: str
    metric: str
    above: bool
    threshold: float
    critical: bool
    span: int = 8
    patience: int = 3
    sure: float = 2.0
    relative: bool = False
    waits: bool = False


# Rates of one batch of 32 prompts spread by 7 points around 10 %. Averaged over 24 records, none
# of 40 simulated runs of 2,344 steps at a true ASR of 9 % was alarmed; one that rises from 5 % to
# 15 % is after 48 records, to 40 % after 11 (medians).
RATE: dict[str, Any] = {"span": 24, "patience": 5, "sure": 3.0, "waits": True}
SHAPES: dict[str, dict[str, Any]] = {
    "dir": {"metric": "dir", "above": False, **RATE, "span": 12},
    "asr": {"metric": "asr", "above": True, **RATE},
    "orr": {"metric": "orr", "above": True, **RATE},
    "loss": {"metric": "loss", "above": True, "span": 5, "patience": 4, "relative": True},
    "utilization": {"metric": "device/utilization", "above": False, "span": 16, "patience": 5},
    "kl": {"metric": "kl", "above": True, "span": 5, "patience": 3},
}


def make_rules(monitor: Mapping[str, Any], given: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules of the values of ``config.monitor``, and of ``given`` texts, which take the place
    of a rule of their name.

    Raises:
      ValueError: a text is no rule.
    """
    rules = {
        name: Rule(
            name, threshold=monitor[name]["threshold"], critical=monitor[name]["critical"], **shape
        )
        for name, shape in SHAPES.items()
    }
    for where, texts in (("config.monitor.rules", monitor["rules"]), ("--rule", given)):
        for text in texts:
            try:
                added = parse_rule(text)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            old, kind = rules.get(added.name), (added.metric, added.above, False)
            if (
                old and (old.metric, old.above, old.relative) == kind
            ):  # another bound, no other rule
                rules[old.name] = old._replace(threshold=added.threshold, critical=added.critical)
            else:
                rules[added.name] = Rule(*added)
    return tuple(rules.values())


def chosen(rules: Sequence[Rule], names: Sequence[str], key: str) -> tuple[Rule, ...]:
    """The rules of these names; raises ValueError, with ``key``, for a name that none has."""
    there = [rule.name for rule in rules]
    if unknown := [name for name in names if name not in there]:
        raise ValueError(f"{key}: got {', '.join(unknown)}, allowed are {', '.join(there)}")
    return tuple(rule for rule in rules if rule.name in names)
