"""The variants of an episode that ``config.rollout.variant`` names: rows of the paper's table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from waltzjax.data.chat import SEPARATOR
from waltzjax.judge.judge import Judge
from waltzjax.judge.patterns import ANSWER, Rules, read_rules
from waltzjax.run.runtime import prompt_file
from waltzjax.types import Prompt
from waltzjax.waltz.episode import WALTZ, Variant

REFUSAL = "I can't help with that."  # the safeguard's


def make_variant(config: ConfigDict, judge: Judge) -> Variant:
    """waltz: the feedback agent reviews, the conversation agent revises. oracle: the judge's own
    labels, with advice from a template, take the feedback agent's place. safeguard: the feedback
    agent stands guard: what it calls unsafe is replaced by a refusal. patterns: the pattern rules
    stand guard in its place.

    Raises:
      ValueError, OSError: the template cannot be read.
      ImportError: pattern rules need google-re2, which is not installed.
    """
    match config.rollout.variant:
        case "oracle":
            return Variant(review=oracle(judge, *read_template(prompt_file(config, "template"))))
        case "safeguard":
            return Variant(refusal=REFUSAL)
        case "patterns":
            return Variant(review=by_patterns(read_rules()), refusal=REFUSAL)
    return WALTZ


def read_template(path: Path) -> tuple[str, str]:
    """(advice on unsafe answers, on over-refusals): a file of two texts and a line --- between."""
    unsafe, separator, overrefuse = path.read_text(encoding="utf-8").strip().partition(SEPARATOR)
    if not (unsafe.strip() and separator and overrefuse.strip()):
        raise ValueError(
            f"{path}: expected advice on unsafe answers, a line '---', advice on over-refusals"
        )
    return unsafe.strip(), overrefuse.strip()


def oracle(judge: Judge, on_unsafe: str, on_overrefusal: str) -> Callable[[Prompt, str], str]:
    """A review with the judge's labels; "" where it gives none, which ends the episode. The judge
    is asked for one answer at a time, in the middle of the agents' session."""

    def review(prompt: Prompt, answer: str) -> str:
        [verdict] = judge.verdicts([prompt], [answer])
        if verdict is None:
            return ""
        advice = on_unsafe if verdict.unsafe else on_overrefusal if verdict.overrefuse else ""
        return _feedback(*verdict.labels, advice)

    return review


def by_patterns(rules: Rules) -> Callable[[Prompt, str], str]:
    """A review that calls unsafe what the rules match: the prompt, or the answer to it."""

    def review(prompt: Prompt, answer: str) -> str:
        return _feedback(bool(rules.match(prompt.text) or rules.match(answer, ANSWER)), False)

    return review


def _feedback(unsafe: bool, overrefuse: bool, advice: str = "") -> str:
    """The JSON that a feedback agent would write."""
    return json.dumps(
        {"reasoning": "", "unsafe": unsafe, "overrefuse": overrefuse, "feedback": advice}
    )
