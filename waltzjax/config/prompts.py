"""Sections ``prompts``, ``data`` and ``problems``: what agents and policy are shown."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, EMBEDDED, MATHS, SERVE, WALTZ, Key, at_least, one_of
from waltzjax.types import BOXED, LINE

PROMPTS = {  # files: system prompt, a line ---, message; '' is the package's own
    "conversation": Key("", ANY, [WALTZ, SERVE], "file of what the conversation agent is shown"),
    "feedback": Key("", ANY, [WALTZ, SERVE], "file of what the feedback agent is shown"),
    "template": Key(
        "",
        ANY,
        [WALTZ],
        "file of the oracle: advice on unsafe answers, a line ---, on over-refusals",
    ),
    "maths": Key(
        "", ANY, [MATHS], "file of what the policy is shown: system prompt, ---, {problem}"
    ),
}

DATA = {
    "directory": Key(
        "data/waltz", ANY, [WALTZ],
        "train.jsonl, validation.jsonl, manifest.json; 'embedded' makes them from nothing",
    ),
}  # fmt: skip

PROBLEMS = {
    "train": Key(
        "data/one_shot/pi1.jsonl", ANY, [MATHS],
        "JSON Lines with `problem` or `question`, and `answer`; 'embedded' are word problems made "
        "from nothing. A single problem is repeated to the batch",
    ),
    "validation": Key("data/math500/test.jsonl", ANY, [MATHS], "the same, held out"),
    "instruction": Key(
        "Let's think step by step and output the final answer within \\boxed{}.", ANY, [MATHS],
        "put after each problem that does not end in it [arXiv 2504.20571]; '': nothing",
    ),
    "form": Key(
        BOXED, one_of(BOXED, LINE), [MATHS],
        "how answers are to name their result, which is their format: boxed, one \\boxed{} at the "
        "end | line, a last line 'Answer: n' or '#### n'. Verification reads all of them",
    ),
    "max_tokens": Key(
        1024, at_least(1), [MATHS],
        "tokens of a problem as the policy is shown it [source]; more: an error",
    ),
}  # fmt: skip

KEYS = {"prompts": PROMPTS, "data": DATA, "problems": PROBLEMS}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if MATHS not in reads:
        return
    if not (c.problems.train and c.problems.validation):
        yield "config.problems: train and validation are files, or 'embedded'"
    longest = c.problems.max_tokens + c.rollout.max_new_tokens
    positions = c.embedded_maths.max_positions
    if c.model.base == EMBEDDED and positions < longest:
        yield (
            f"config.embedded_maths.max_positions: got {positions}, allowed is >= "
            f"config.problems.max_tokens + config.rollout.max_new_tokens = {longest}"
        )
