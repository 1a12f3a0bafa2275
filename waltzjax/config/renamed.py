"""Keys that were called otherwise: a config or a command line with one is told its new name, and
the record of a run that began with one is read with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "dpo.lr": "optim.lr.policy",
    "judge.patience_s": "judge.retry_s",
    "model.vocab_block": "model.logit_chunk",
    "pairs.least_difference": "pairs.min_reward_gap",
    "pairs.most": "pairs.max_pairs",
    "rl.is_cap": "rl.tis_cap",
    "rollout.length_multiple": "rollout.pad_to_multiple_of",
    "rollout.slots": "rollout.max_num_seqs",
    "sft.lr": "optim.lr.ROLE, ROLE being config.sft.role",
}


def today(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record, leaves by their dotted names ("config.a.b"), with the names of today.

    The learning rates of "sft" and "dpo" had keys of their own: they take the place of their role's
    where a run's only stage is theirs; a run of "sft" and others keeps that of the others.
    """
    renamed = dict(record)
    stages = list(renamed.get("config.stages", ()))
    own = {("sft",): "config.sft.lr", ("dpo",): "config.dpo.lr"}.get(tuple(stages))
    role = {"config.sft.lr": renamed.get("config.sft.role"), "config.dpo.lr": "policy"}.get(
        own or ""
    )
    if own in renamed and role:
        renamed[f"config.optim.lr.{role}"] = renamed[own]
    for old, new in RENAMED.items():
        if f"config.{old}" in renamed:
            value = renamed.pop(f"config.{old}")
            if "lr" not in old.rpartition(".")[2]:
                renamed[f"config.{new}"] = value
    return renamed
