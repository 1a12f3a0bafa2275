"""Keys of the run as a whole: seed, stages and devices."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, EVERY, Key, at_least

KEYS = {
    "seed": Key(0, at_least(0), [EVERY], "root of every random stream"),
    "stages": Key(
        ("stage2",), ANY, [EVERY],
        "what is trained: sft, stage1, stage2 and single in this order, or rlvr, or dpo; what the "
        "last one leaves is the result",
    ),
    "mesh": Key(
        (1, -1, 1), ANY, [EVERY], "devices for data, fsdp, tensor; -1: all the rest",
    ),
}  # fmt: skip


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    del reads  # these rules hold for everybody
    if not (len(c.mesh) == 3 and all(type(n) is int for n in c.mesh)):
        yield f"config.mesh: got {c.mesh!r}, expected three integers (data, fsdp, tensor)"
