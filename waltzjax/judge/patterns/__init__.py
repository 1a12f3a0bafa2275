"""Stage-1 pattern rules: unsafe requests and answers by their words, in linear time."""

from waltzjax.judge.patterns.read import read_rules
from waltzjax.judge.patterns.rules import ANSWER, BOTH, PROMPT, Match, Rule, Rules

__all__ = ["ANSWER", "BOTH", "PROMPT", "Match", "Rule", "Rules", "read_rules"]
