"""Every rule a config must keep, checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.bounds import broken_bounds, value_at
from waltzjax.config.defaults import ALONE, DPO, EMBEDDED, RLVR, SFT, default
from waltzjax.config.judge import USED, broken_judge_rules
from waltzjax.config.preference import broken_preference_rules
from waltzjax.config.rlvr import OF_MATHS, OF_RLVR, broken_maths_rules, broken_rlvr_rules
from waltzjax.types import MATRICES

# In the order they run; the last two each alone.
STAGES = (SFT, "stage1", "stage2", "single", RLVR, DPO)

# Errors of the KL are cut at 0.2 of the target: 1 - 5 * 0.2 is no coefficient any more.
MAX_GAIN, GAIN_REASON = 5.0, "one step could take the coefficient to 0 or below"
MIN_VOCABULARY = 300  # every byte, and the control tokens
OPEN = ("config.model.template_kwargs",)  # groups whose keys are the user's


def validate(c: ConfigDict, *, training: bool) -> None:
    """Check every rule, those of training too if asked; all that is broken is in one error.

    Raises:
      ValueError: key, what was got, what is allowed, one line each.
    """
    problems = list(_unknown_keys(default(), c, "config")) or list(_broken_rules(c))
    if training and not problems and c.rollout.t_max < 1 and {*c.stages} & {"stage1", "stage2"}:
        problems.append(
            f"config.rollout.t_max: got {c.rollout.t_max}, training feedback needs >= 1"
        )
    if training and not problems and c.rollout.variant != "waltz":
        problems.append(
            f"config.rollout.variant: got {c.rollout.variant!r}, agents are trained as 'waltz'"
        )
    if training and not problems and c.model.param_dtype != "float32" and not c.lora.rank:
        problems.append(
            f"config.model.param_dtype: got {c.model.param_dtype!r}, allowed is 'float32' where "
            "whole models are trained (config.lora.rank = 0): a step is lost in bfloat16's rounding"
        )
    if training and not problems and c.lora.dropout and not {*c.stages} & {SFT, DPO}:
        problems.append(
            f"config.lora.dropout: got {c.lora.dropout}, allowed is 0 where config.stages has "
            f"neither {SFT!r} nor {DPO!r}: reinforcement updates the policy that was sampled from, "
            "without dropout"
        )
    if training and not problems:
        problems += _adaptive_problems(c)
    if problems:
        raise ValueError("the config does not hold:\n  " + "\n  ".join(problems))


def _adaptive_problems(c: ConfigDict) -> Iterator[str]:
    if not c.rl.kl_target:
        return
    for stage in c.stages:
        if stage not in (SFT, DPO) and not c.rl.beta[stage]:
            yield (
                f"config.rl.beta.{stage}: got 0; it is multiplied step by step to follow "
                f"config.rl.kl_target = {c.rl.kl_target}, and would stay 0"
            )
    if c.rl.kl_gain >= MAX_GAIN:
        yield f"config.rl.kl_gain: got {c.rl.kl_gain}, allowed is below {MAX_GAIN:g}: {GAIN_REASON}"


def _unknown_keys(reference: ConfigDict, c: ConfigDict, path: str) -> Iterator[str]:
    for key in sorted(set(c) | set(reference)):
        name = f"{path}.{key}"
        if key not in reference:
            yield f"{name}: no such key; allowed are {', '.join(sorted(reference))}"
        elif key not in c:
            yield f"{name}: missing"
        elif isinstance(reference[key], ConfigDict):
            if name in OPEN and isinstance(c[key], ConfigDict):
                yield from _no_values(c[key], name)
            elif isinstance(c[key], ConfigDict):
                yield from _unknown_keys(reference[key], c[key], name)
            else:
                yield f"{name}: got {c[key]!r}, expected a group of keys"
        elif not _same_type(reference[key], c[key]):
            kind = type(reference[key]).__name__
            yield f"{name}: got {c[key]!r} ({type(c[key]).__name__}), expected {kind}"


def _no_values(c: ConfigDict, path: str) -> Iterator[str]:
    for key, value in c.items():
        if not isinstance(value, bool | int | float | str):
            yield f"{path}.{key}: got {value!r}, allowed are a number, a text, True and False"


def _same_type(a: Any, b: Any) -> bool:
    number = (int, float)
    if isinstance(a, float) and isinstance(b, number) and not isinstance(b, bool):
        return math.isfinite(b)
    return type(a) is type(b)


def _broken_rules(c: ConfigDict) -> Iterator[str]:
    if not c.stages or any(s not in STAGES for s in c.stages) or len(set(c.stages)) < len(c.stages):
        yield f"config.stages: got {tuple(c.stages)}, allowed are some of {STAGES}, once each"
    elif tuple(c.stages) != tuple(s for s in STAGES if s in c.stages):
        yield f"config.stages: got {tuple(c.stages)}; they run in the order {STAGES}"
    elif {*c.stages} & {*ALONE} and len(c.stages) > 1:
        yield f"config.stages: got {tuple(c.stages)}; each of {ALONE} stands alone"
    else:
        usual = default()
        for paths, stages in ((OF_RLVR, (RLVR,)), (OF_MATHS, ALONE)):
            for path in () if c.stages[0] in stages else paths:
                if value_at(c, path) != (value := value_at(usual, path)):
                    yield (
                        f"config.{path}: got {value_at(c, path)!r}, allowed is {value!r} but "
                        f"for the stage {' or '.join(map(repr, stages))}"
                    )
    if {*c.stages} & {*ALONE}:
        yield from broken_maths_rules(c)
    if RLVR in c.stages:
        yield from broken_rlvr_rules(c)
    yield from broken_preference_rules(c)
    yield from broken_bounds(c)
    if c.rollout.variant != "waltz" and c.rollout.t_max < 1:
        yield (
            f"config.rollout.t_max: got {c.rollout.t_max}, config.rollout.variant="
            f"{c.rollout.variant} needs >= 1: without a round it is the plain answer"
        )
    if c.rl.dual_clip and c.rl.dual_clip <= 1:
        yield f"config.rl.dual_clip: got {c.rl.dual_clip}, allowed are 0 (off) and > 1"
    targets = tuple(c.lora.targets)
    if not targets or not {*targets} <= {*MATRICES} or len({*targets}) < len(targets):
        yield f"config.lora.targets: got {targets}, allowed are some of {MATRICES}, once each"
    if c.judge.name in USED:
        usual = default().judge.to_dict()
        yield from broken_judge_rules(c.judge.to_dict(), usual, c.rollout.variant)
    if not (len(c.mesh) == 3 and all(type(n) is int for n in c.mesh)):
        yield f"config.mesh: got {c.mesh!r}, expected three integers (data, fsdp, tensor)"
    rows = c.rollout.batch * c.rollout.group
    if c.rl.microbatches >= 1 and not c.rl.token_budget and rows % c.rl.microbatches:
        yield (
            f"config.rl.microbatches: got {c.rl.microbatches}, must divide config.rollout.batch * "
            f"config.rollout.group = {rows}"
        )
    if c.sft.microbatches >= 1 and c.sft.batch % c.sft.microbatches:
        yield (
            f"config.sft.microbatches: got {c.sft.microbatches}, "
            f"must divide config.sft.batch = {c.sft.batch}"
        )
    if c.model.base == EMBEDDED:
        yield from _broken_embedded_rules(c, "embedded")
        yield from _broken_embedded_rules(c, "embedded_maths")
        new_tokens = c.rollout.max_new_tokens
        if not {*c.stages} & {*ALONE} and c.embedded.max_positions <= 2 * new_tokens:
            yield (
                f"config.embedded.max_positions: got {c.embedded.max_positions}, must exceed an "
                f"answer and a review of config.rollout.max_new_tokens = {new_tokens} each"
            )


def _broken_embedded_rules(c: ConfigDict, section: str) -> Iterator[str]:
    e, path = c[section], f"config.{section}"
    if e.kv_heads >= 1 and e.heads % e.kv_heads:
        yield f"{path}.heads: got {e.heads}, must be a multiple of {e.kv_heads} kv_heads"
    if e.heads >= 1 and e.width % (2 * e.heads):
        yield f"{path}.width: got {e.width}, must be a multiple of 2 * {e.heads} heads"
    if e.vocab_size < MIN_VOCABULARY:
        yield f"{path}.vocab_size: got {e.vocab_size}, allowed is >= {MIN_VOCABULARY}"
