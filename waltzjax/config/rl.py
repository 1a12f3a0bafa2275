"""Section ``rl``: the objective of reinforcement, and how an update is cut into parts."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import (
    ANY,
    BELOW_1,
    REINFORCE,
    VERIFIED,
    Bound,
    Key,
    OnlyIf,
    above,
    at_least,
    one_of,
)

# Errors of the KL are cut at 0.2 of the target: 1 - 5 * 0.2 is no coefficient any more.
MAX_GAIN, GAIN_REASON = 5.0, "one step could take the coefficient to 0 or below"
_START = "KL coefficient [source], against what each role was at the start of the stage"

RL = {
    "algorithm": Key(
        "reinforce_pp", ANY, [VERIFIED],
        "how rewards become advantages, a name of stages/algorithms.py; WaltzRL's stages are "
        "reinforce_pp",
    ),
    "beta": {
        name: Key(value, at_least(0), [name], _START)
        for name, value in (("stage1", 0.01), ("stage2", 0.01), ("single", 0.01), ("rlvr", 0.001))
    },
    "kl_target": Key(
        0.0, at_least(0), [REINFORCE],
        "nats a token: beta of each role follows its KL to this target (arXiv 1909.08593, 2.2); 0: "
        "beta stays",
    ),
    "kl_gain": Key(
        0.1, at_least(0), [REINFORCE], "how fast it follows [the same paper]",
        OnlyIf(lambda c: c.rl.kl_target > 0, "config.rl.kl_target > 0"),
    ),
    "kl_estimator": Key("k1", one_of("k1", "k2", "k3"), [REINFORCE], "of the KL to the reference"),
    "kl_in": Key(
        "reward", one_of("reward", "loss"), [REINFORCE],
        "REINFORCE++ has the KL in the reward. In the loss take k2 or k3: at the policy that "
        "sampled, the gradient of k1 is zero on average",
    ),
    "clip_low": Key(0.2, BELOW_1, [REINFORCE], "PPO's clip of ratios below 1 [source]"),
    "clip_high": Key(0.2, at_least(0), [REINFORCE], "and above 1 [source]"),
    "dual_clip": Key(
        0.0, Bound(lambda v: v == 0 or v > 1, "are 0 (off) and > 1"), [REINFORCE],
        "floor on negative advantages' objective; 0: off",
    ),
    "reward_clip": Key(
        10.0, above(0), [REINFORCE], "of rewards, before any baseline is taken off [OpenRLHF]"
    ),
    "tis_cap": Key(
        0.0, at_least(0), [REINFORCE],
        "cap of truncated importance weights between sampler and trainer; 0: off",
    ),
    "weights": Key(
        "auto", one_of("auto", "sequence", "token", "constant"), [REINFORCE],
        "auto: the algorithm's own, constant for dr_grpo, else sequence | sequence: the mean over "
        "sequences | token: over tokens, as OpenRLHF and DAPO | constant: over sequences and "
        "max_new_tokens, whatever their lengths",
    ),
    "entropy_bonus": Key(0.0, at_least(0), [REINFORCE], "in the loss, nats a token"),
    "refills": Key(
        0, at_least(0), [VERIFIED],
        "dynamic sampling (DAPO): so many times a step, at most, groups whose answers all have the "
        "same advantage are replaced by others; 0: they stay, and carry no gradient",
    ),
    "microbatches": Key(
        4, at_least(1), [REINFORCE],
        "gradient accumulation [source]; token_budget > 0 decides it instead",
    ),
    "token_budget": Key(
        0, at_least(0), [REINFORCE],
        "tokens a device and microbatch, in rows that hold several texts; 0: padded rows of one "
        "text",
    ),
    "updates_per_rollout": Key(
        1, at_least(1), [REINFORCE], "passes over one rollout batch [source]"
    ),
}  # fmt: skip

KEYS = {"rl": RL}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if REINFORCE not in reads:
        return
    rows = c.rollout.batch * c.rollout.group
    if c.rl.microbatches >= 1 and not c.rl.token_budget and rows % c.rl.microbatches:
        yield (
            f"config.rl.microbatches: got {c.rl.microbatches}, must divide config.rollout.batch * "
            f"config.rollout.group = {rows}"
        )
    if VERIFIED not in reads:
        return
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


def broken_training_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    if not c.rl.kl_target or REINFORCE not in reads:
        return
    for stage in c.stages:
        if stage in c.rl.beta and not c.rl.beta[stage]:
            yield (
                f"config.rl.beta.{stage}: got 0; it is multiplied step by step to follow "
                f"config.rl.kl_target = {c.rl.kl_target}, and would stay 0"
            )
    if c.rl.kl_gain >= MAX_GAIN:
        yield f"config.rl.kl_gain: got {c.rl.kl_gain}, allowed is below {MAX_GAIN:g}: {GAIN_REASON}"
