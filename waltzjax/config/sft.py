"""Section ``sft``: one agent learns from chats, before reinforcement."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, CHATS, WALTZ, Key, at_least, one_of
from waltzjax.types import CONVERSATION, FEEDBACK

# Evaluations of agents measure the likelihood of benign chats, in rows of the same size.
SFT = {
    "role": Key("feedback", one_of("conversation", "feedback"), [CHATS], "who learns"),
    "data": Key(
        "data/sft", ANY, [CHATS],
        "directory of ROLE-train.jsonl, ROLE-validation.jsonl (scripts/make_sft_data.py)",
    ),
    "examples": Key(
        0, at_least(0), [CHATS], "of the training chats, drawn at random; 0: all"
    ),
    "length": Key(2048, at_least(1), [WALTZ], "tokens of a row, which holds as many chats as fit"),
    "batch": Key(16, at_least(1), [WALTZ], "rows an update"),
    "microbatches": Key(2, at_least(1), [WALTZ], "of at least a row a device"),
    "epochs": Key(2, at_least(1), [CHATS], "passes over the chats"),
}  # fmt: skip

KEYS = {"sft": SFT}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if c.sft.microbatches >= 1 and c.sft.batch % c.sft.microbatches:
        yield (
            f"config.sft.microbatches: got {c.sft.microbatches}, "
            f"must divide config.sft.batch = {c.sft.batch}"
        )
    other = FEEDBACK if c.sft.role == CONVERSATION else CONVERSATION
    if CHATS not in reads or c.sft.role not in (CONVERSATION, FEEDBACK):
        return
    if other not in reads and c.optim.lr[other] != c.optim.lr[c.sft.role]:
        yield (
            f"config.optim.lr.{other}: got {c.optim.lr[other]}, but config.sft.role = "
            f"{c.sft.role!r} learns at config.optim.lr.{c.sft.role} = {c.optim.lr[c.sft.role]}; "
            "set that one, or both"
        )
