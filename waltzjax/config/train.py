"""Sections ``optim``, ``train`` and ``eval``: the optimiser, the loop, and how it is measured."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import (
    ANY,
    BELOW_1,
    CHATS,
    COLLECT,
    GREEDY_OR_TEMPERATURE,
    MATHS,
    REINFORCE,
    TRAIN,
    Key,
    above,
    at_least,
    one_of,
)
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY

_LR = "learning rate of this role, in every stage that trains it"

OPTIM = {
    "lr": {
        CONVERSATION: Key(5e-7, above(0), [CONVERSATION, CHATS], f"{_LR} [source]"),
        FEEDBACK: Key(5e-7, above(0), [FEEDBACK, CHATS], f"{_LR} [source]"),
        POLICY: Key(1e-6, above(0), [POLICY], f"{_LR} [source of RLVR; DPO's is 5e-5]"),
    },
    "warmup_steps": Key(0, at_least(0), [TRAIN], "updates of a linear rise from 0"),
    "schedule": Key(
        "constant", one_of("constant", "linear"), [TRAIN],
        "linear: down to 5 % at the stage's last step",
    ),
    "b1": Key(0.9, BELOW_1, [TRAIN], "AdamW"),
    "b2": Key(0.95, BELOW_1, [TRAIN], "AdamW"),
    "eps": Key(1e-8, above(0), [TRAIN], "AdamW's; gradients well below it move nothing"),
    "weight_decay": Key(0.0, at_least(0), [TRAIN], "AdamW's"),
    "grad_clip": Key(1.0, above(0), [TRAIN], "global norm"),
}  # fmt: skip

TRAINING = {
    "epochs": Key(5, at_least(1), [REINFORCE], "over the training prompts [source]"),
    "steps": {
        name: Key(0, at_least(0), [name], "optimiser steps; 0: epochs * prompts / batch")
        for name in ("stage1", "stage2", "single", "rlvr")
    },
    "resume": Key(
        "auto", ANY, [TRAIN],
        "auto: what the run's directory holds is continued | off: nothing is ever loaded, the "
        "directory must be new | a run's directory: its last checkpoint is where this run, in "
        "another, begins",
    ),
    "checkpoint_every": Key(
        1000, at_least(1), [TRAIN], "steps; also at the end of each epoch [source]"
    ),
    "validate_every": Key(500, at_least(0), [TRAIN], "steps [source]; 0: only at the end"),
    "validate_first": Key(True, ANY, [MATHS], "before any training too: 'base'"),
    "keep_checkpoints": Key(2, at_least(1), [TRAIN], "how many stay on disk"),
}  # fmt: skip

EVAL = {
    "prompts": Key(0, at_least(0), [TRAIN, COLLECT], "of the validation set, stratified; 0: all"),
    "temperature": Key(0.0, GREEDY_OR_TEMPERATURE, [TRAIN], "0: greedy"),
    "samples": Key(
        1, at_least(1), [MATHS],
        "answers to each problem, whose mean is avg@k; > 1 needs a temperature",
    ),
}  # fmt: skip

KEYS = {"optim": OPTIM, "train": TRAINING, "eval": EVAL}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if MATHS in reads and c.eval.samples > 1 and not c.eval.temperature:
        yield (
            f"config.eval.samples: got {c.eval.samples}, allowed is 1 where config.eval.temperature"
            " is 0: all would be the same"
        )
    if not c.train.resume:
        yield "config.train.resume: got '', allowed are auto, off and a run's directory"
