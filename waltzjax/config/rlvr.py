"""The rules of the stages of maths, and the keys that are their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from waltzjax.config.defaults import EMBEDDED

ALGORITHMS = ("reinforce_pp", "reinforce_pp_baseline", "grpo", "dr_grpo", "rloo")
NEEDS = ("problem", "verify")  # what a signal needs, before it earns: see Attempts
# What the other stages have no use for; and what the game's have none for.
OF_RLVR = ("rollout.group", "reward.order", "rl.algorithm", "rl.refills")
OF_MATHS = ("eval.samples", "train.validate_first")


def broken_rlvr_rules(c: Any) -> Iterator[str]:
    """What is wrong with ``c``, a config of that stage."""
    longest = c.problems.max_tokens + c.rollout.max_new_tokens
    if 0 < c.rl.token_budget < longest:
        yield (
            f"config.rl.token_budget: got {c.rl.token_budget}, allowed are 0 and >= "
            f"config.problems.max_tokens + config.rollout.max_new_tokens = {longest}: a text is "
            "not cut in two"
        )
    if c.rollout.group < 2 and c.rl.algorithm != "reinforce_pp":
        yield (
            f"config.rollout.group: got {c.rollout.group}, config.rl.algorithm = "
            f"{c.rl.algorithm!r} needs >= 2: its baseline is that of a group"
        )
    if not any(c.reward.signals.values()):
        yield "config.reward.signals: all are 0, nothing would be rewarded"
    if c.reward.overlong_buffer > c.rollout.max_new_tokens:
        yield (
            f"config.reward.overlong_buffer: got {c.reward.overlong_buffer}, allowed is at most "
            f"config.rollout.max_new_tokens = {c.rollout.max_new_tokens}"
        )
    if c.reward.signals.overlong and not c.reward.overlong_buffer:
        yield ("config.reward.overlong_buffer: got 0, config.reward.signals.overlong needs >= 1")


def broken_maths_rules(c: Any) -> Iterator[str]:
    """What is wrong with ``c``, a config of "rlvr" or "dpo"."""
    longest = c.problems.max_tokens + c.rollout.max_new_tokens
    positions = c.embedded_maths.max_positions
    if c.model.base == EMBEDDED and positions < longest:
        yield (
            f"config.embedded_maths.max_positions: got {positions}, allowed is >= "
            f"config.problems.max_tokens + config.rollout.max_new_tokens = {longest}"
        )
    if c.eval.samples > 1 and not c.eval.temperature:
        yield (
            f"config.eval.samples: got {c.eval.samples}, allowed is 1 where config.eval.temperature"
            " is 0: all would be the same"
        )
    if not (c.problems.train and c.problems.validation):
        yield "config.problems: train and validation are files, or 'embedded'"
    if not c.train.resume:
        yield "config.train.resume: got '', allowed are auto, off and a run's directory"
    for persona in c.embedded_maths.personas:
        match persona:
            case (str(), int() | float() as right) if 0 <= right <= 1:
                continue
        yield (
            f"config.embedded_maths.personas: got {persona!r}, allowed is (file of prompts, "
            "P(right) in [0, 1])"
        )
