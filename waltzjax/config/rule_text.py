"""Rules as a user writes them: "entropy < 0.1 critical"."""

from __future__ import annotations

import re
from typing import NamedTuple

FORM = "'[NAME:] METRIC > NUMBER [critical]', or with <, such as 'entropy < 0.1 critical'"
_RULE = re.compile(
    r"\s*(?:(?P<name>[\w.-]+)\s*:)?\s*(?P<metric>[A-Za-z_][\w./-]*)\s*(?P<side>[<>])"
    r"\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\s+(?P<critical>critical))?\s*"
)


class AddedRule(NamedTuple):
    """A rule as its text has it: the first fields of ``metrics.rules.Rule``."""

    name: str
    metric: str
    above: bool
    threshold: float
    critical: bool


def parse_rule(text: str) -> AddedRule:
    """The rule of a text; its name is the metric where the text gives none.

    Raises:
      ValueError: the text is no rule; says what one looks like.
    """
    match = _RULE.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"got {text!r}, allowed is {FORM}")
    return AddedRule(
        match["name"] or match["metric"],
        match["metric"],
        match["side"] == ">",
        float(match["number"]),
        bool(match["critical"]),
    )
