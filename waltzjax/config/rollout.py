"""Section ``rollout``: how answers are generated, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import (
    EVERY,
    FRACTION,
    PREFERENCES,
    REINFORCE,
    SELF_PLAY,
    SERVE,
    TEMPERATURE,
    VERIFIED,
    WALTZ,
    Bound,
    Key,
    above,
    at_least,
    one_of,
)
from waltzjax.types import FEEDBACK, LEAST_MASS

ROLLOUT = {
    "batch": Key(32, at_least(1), [REINFORCE], "prompts a step [source]"),
    "group": Key(
        1, at_least(1), [VERIFIED], "answers to each prompt, over which its baseline is taken"
    ),
    "t_max": Key(
        1, at_least(0), [WALTZ, SERVE], "feedback rounds [paper]; 0: the conversation agent alone"
    ),
    "variant": Key(
        "waltz", one_of("waltz", "oracle", "safeguard", "patterns"), [WALTZ],
        "waltz | oracle: the judge's labels and a template are the feedback | safeguard: what "
        "feedback calls unsafe is replaced by a refusal (both are baselines [paper]) | patterns: "
        "so is what pattern rules match, prompt or answer; no feedback agent is asked [ours]",
    ),
    "max_new_tokens": Key(512, at_least(1), [EVERY], "tokens a turn [source]"),
    "temperature": Key(1.0, TEMPERATURE, [REINFORCE], "of rollouts [ours]; eval has its own"),
    "top_k": Key(
        0, at_least(0), [EVERY], "all but the k most probable tokens are left out; 0: none [ours]"
    ),
    "top_p": Key(
        1.0, Bound(lambda v: LEAST_MASS <= v <= 1, f"is {LEAST_MASS:f} to 1"), [EVERY],
        "all but the most probable tokens of this mass together are left out; 1: none [ours]",
    ),
    "min_p": Key(
        0.0, FRACTION, [EVERY],
        "tokens less probable than this part of the most probable are left out; 0: none [ours]",
    ),
    "max_num_seqs": Key(64, at_least(1), [EVERY], "turns generated at a time, over all devices"),
    "cache_tokens": Key(
        65536, above(0), [EVERY],
        "tokens, over all devices, whose keys and values are held; turns wait when it is full. At "
        "8B 128 KiB each; a turn has room in one device's part of it (data and fsdp axes)",
    ),
    "pad_to_multiple_of": Key(
        128, at_least(1), [REINFORCE, PREFERENCES],
        "tokens: length of the update's rows; fewer shapes to compile",
    ),
    "p_first": Key(
        0.5, FRACTION, [SELF_PLAY],
        "the conversation agent trains on its first answer with this odds, else on its last [ours]",
    ),
}  # fmt: skip

KEYS = {"rollout": ROLLOUT}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    del reads  # these rules hold for everybody
    if c.rollout.variant != "waltz" and c.rollout.t_max < 1:
        yield (
            f"config.rollout.t_max: got {c.rollout.t_max}, config.rollout.variant="
            f"{c.rollout.variant} needs >= 1: without a round it is the plain answer"
        )


def broken_training_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    if {SELF_PLAY, FEEDBACK} <= reads and c.rollout.t_max < 1:
        yield f"config.rollout.t_max: got {c.rollout.t_max}, training feedback needs >= 1"
    if c.rollout.variant != "waltz":
        yield (f"config.rollout.variant: got {c.rollout.variant!r}, agents are trained as 'waltz'")
