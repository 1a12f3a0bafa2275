"""Section ``monitor``: the bounds of a run's figures that ``waltzjax.monitor`` watches, and by
which ``config.stop.rules`` ends a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, FRACTION, TRAIN, Bound, Key, above
from waltzjax.config.rule_text import FORM, parse_rule

RULES = ("dir", "asr", "orr", "loss", "utilization", "kl")

_PER_CENT = Bound(lambda v: 0 <= v <= 100, "is [0, 100]")
_CRITICAL = "whether somebody has to act: exit status 3 of the monitor [ours]"


def _rule(threshold: float, bound: Bound, critical: bool, meaning: str) -> dict[str, Key]:
    return {
        "threshold": Key(threshold, bound, [TRAIN], meaning),
        "critical": Key(critical, ANY, [TRAIN], _CRITICAL),
    }


def _is_rule(text: object) -> bool:
    try:
        parse_rule(text)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


MONITOR = {
    "dir": _rule(
        -0.3, Bound(lambda v: -1 <= v <= 1, "is [-1, 1]"), True,
        "improvement by feedback (DIR) must not be below [source]",
    ),
    "asr": _rule(10.0, _PER_CENT, True, "per cent of unsafe answers; not above [source]"),
    "orr": _rule(15.0, _PER_CENT, False, "per cent of over-refusals; not above [source]"),
    "loss": _rule(
        2.0, above(1), True,
        "times the recent average of a role's loss; not above [source]. It must leave the spread "
        "of recent losses too: those of policy gradients lie around 0 [ours]",
    ),
    "utilization": _rule(0.7, FRACTION, False, "share of device time; not below [source]"),
    "kl": _rule(0.2, above(0), True, "nats a token, of each role; not above [source]"),
    "grace": Key(
        0.5, FRACTION, [TRAIN],
        "share of a stage's steps in which the rules of dir, asr and orr are silent until their "
        "figure was within its threshold: a run begins with what its base model does (ASR 39 % in "
        "the paper), which no training has spoilt [ours]",
    ),
    "rules": Key(
        (), Bound(lambda v: all(map(_is_rule, v)), f"are texts {FORM}"), [TRAIN],
        "further rules; the figure is a name of metrics.jsonl, without /ROLE for each role's",
    ),
}  # fmt: skip

KEYS = {"monitor": MONITOR}


def rule_names(c: ConfigDict) -> list[str]:
    """The names of all rules of a config."""
    return [*RULES, *(parse_rule(text).name for text in c.monitor.rules)]


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if TRAIN not in reads or not all(map(_is_rule, c.monitor.rules)):
        return
    for name, count in Counter(rule_names(c)).items():
        if count > 1:
            yield (
                f"config.monitor.rules: two rules are named {name!r}; write 'NAME: METRIC > "
                "NUMBER' for one of them"
            )
