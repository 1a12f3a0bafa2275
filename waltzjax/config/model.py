"""Sections ``model`` and ``lora``: what is trained, in which numbers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import (
    ANY,
    BELOW_1,
    CHATS,
    EVERY,
    PREFERENCES,
    TRAIN,
    WALTZ,
    Bound,
    Key,
    OnlyIf,
    above,
    at_least,
    one_of,
)
from waltzjax.types import MATRICES


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


DAY = Bound(lambda v: v == "" or _is_day(v), "are '' and a day, YYYY-MM-DD")
ADAPTERS = OnlyIf(lambda c: c.lora.rank > 0, "config.lora.rank > 0")

MODEL = {
    "base": Key(
        "meta-llama/Llama-3.1-8B-Instruct", ANY, [EVERY],
        "directory or hub name of the model that every role starts from [paper]; 'embedded' builds "
        "a small one from nothing (sections embedded, embedded_maths)",
    ),
    "conversation": Key(
        "", ANY, [WALTZ], "where the conversation agent begins, a directory of an earlier stage or "
        "run, with adapters theirs; '' is the base",
    ),
    "feedback": Key("", ANY, [WALTZ], "the same of the feedback agent"),
    "template_kwargs": Key(
        ConfigDict(), ANY, [EVERY],
        "what the chat template reads besides the messages, such as {'enable_thinking': False}",
    ),
    "template_date": Key(
        "", DAY, [EVERY],
        "the day that a chat template which tells the date takes for today; '': the run's first",
    ),
    "dtype": Key("bfloat16", one_of("float32", "bfloat16"), [EVERY], "compute"),
    "param_dtype": Key("float32", one_of("float32", "bfloat16"), [EVERY], "master weights"),
    "remat": Key(
        "full", one_of("none", "full", "dots"), [EVERY],
        "what of a layer the backward pass computes anew: none | full, all of it | dots, all but "
        "the products with weights, which are kept (a sixth less work than full, more memory)",
    ),
    "attention": Key(
        "auto", one_of("auto", "xla", "cudnn"), [EVERY],
        "kernel; auto: cuDNN's flash on GPUs in half precision. Packed rows, of SFT and of "
        "likelihoods, are always XLA's",
    ),
    "logit_chunk": Key(
        1024, at_least(1), [EVERY],
        "log-probs: logits of so many tokens of the vocabulary are held",
    ),
}  # fmt: skip

LORA = {  # adapters over one frozen base (arXiv 2106.09685)
    "rank": Key(0, at_least(0), [TRAIN], "0: no adapters, every weight is trained"),
    "alpha": Key(32.0, above(0), [TRAIN], "the adapter is scaled by alpha / rank", ADAPTERS),
    "dropout": Key(
        0.0, BELOW_1, [CHATS, PREFERENCES], "on the adapter's input. Reinforcement updates the "
        "policy that was sampled from, without dropout", ADAPTERS,
    ),
    "targets": Key(
        MATRICES, ANY, [TRAIN], f"some of {', '.join(MATRICES)}", ADAPTERS,
    ),
}  # fmt: skip

KEYS = {"model": MODEL, "lora": LORA}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    del reads  # these rules hold for everybody
    targets = tuple(c.lora.targets)
    if not targets or not {*targets} <= {*MATRICES} or len({*targets}) < len(targets):
        yield f"config.lora.targets: got {targets}, allowed are some of {MATRICES}, once each"


def broken_training_rules(c: ConfigDict) -> Iterator[str]:
    if c.model.param_dtype != "float32" and not c.lora.rank:
        yield (
            f"config.model.param_dtype: got {c.model.param_dtype!r}, allowed is 'float32' where "
            "whole models are trained (config.lora.rank = 0): a step is lost in bfloat16's rounding"
        )
