"""Sections ``reward`` and ``verify``: what an answer earns."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, MATHS, SELF_PLAY, VERIFIED, Key, above, at_least, one_of

NEEDS = one_of("problem", "verify")
PAID = at_least(0)

REWARD = {
    "alpha": Key(0.65, at_least(0), [SELF_PLAY], "weight of dynamic improvement [source]"),
    "gamma": Key(0.1, at_least(0), [SELF_PLAY], "weight of the feedback's format [source]"),
    "conditioned": Key(
        True, ANY, [SELF_PLAY], "alpha pays only where the feedback's labels are right [paper]"
    ),
    "lam": {
        "stage1": Key(0.25, at_least(0), ["stage1"], "weight of the label reward [ours]"),
        "stage2": Key(0.0, at_least(0), ["stage2"], "the same [paper]"),
    },
    "signals": {  # weights; 0: the signal is measured, and earns nothing
        "verify": Key(1.0, PAID, [VERIFIED], "the answer is right: weight of [0, 1] [source]"),
        "format": Key(0.5, PAID, [VERIFIED], "its form, of problems.form: of [0, 1] [source]"),
        "reflect": Key(0.5, PAID, [VERIFIED], "it checks itself: of [0, 1] [source]"),
        "overlong": Key(
            0.0, PAID, [VERIFIED], "it is too long: of [-1, 0] [arXiv 2503.14476, eq. 13]"
        ),
    },
    # Without either one reply that ignores the problem earned both on every problem [ours].
    "needs": {
        "format": Key(
            "problem", NEEDS, [MATHS],
            "what format needs before it earns: problem, the answer works on its problem, with "
            "numbers, words or formulas of it | verify, the answer is right",
        ),
        "reflect": Key("problem", NEEDS, [MATHS], "the same for reflect"),
    },
    "order": Key(
        "sum", one_of("sum", "normalise"), [VERIFIED],
        "sum: of the weighted signals, one advantage | normalise: each signal's own advantage, "
        "summed",
    ),
    "overlong_buffer": Key(
        0, at_least(0), [MATHS], "the last tokens of max_new_tokens, over which overlong falls"
    ),
}  # fmt: skip

VERIFY = {  # answers that need more than a comparison of numbers
    "workers": Key(2, at_least(1), [MATHS], "processes"),
    "timeout_s": Key(
        5.0, above(0), [MATHS], "of processor time; then the process is killed, the answer wrong"
    ),
}

KEYS = {"reward": REWARD, "verify": VERIFY}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if MATHS in reads and c.reward.overlong_buffer > c.rollout.max_new_tokens:
        yield (
            f"config.reward.overlong_buffer: got {c.reward.overlong_buffer}, allowed is at most "
            f"config.rollout.max_new_tokens = {c.rollout.max_new_tokens}"
        )
    if VERIFIED in reads and not any(c.reward.signals.values()):
        yield "config.reward.signals: all are 0, nothing would be rewarded"
    if VERIFIED in reads and c.reward.signals.overlong and not c.reward.overlong_buffer:
        yield "config.reward.overlong_buffer: got 0, config.reward.signals.overlong needs >= 1"
