"""The compiler's report on a program: its memory, what it moves between devices."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import time
from typing import Any

import jax

COLLECTIVES = "all-gather|reduce-scatter|all-reduce|all-to-all|collective-permute"


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled program; bytes are those of one device."""

    argument_bytes: int
    temporary_bytes: int
    output_bytes: int  # beyond what is written over its arguments
    compile_s: float
    collectives: dict[str, int]  # "kind shape": in how many places of the program


def measure(lowered: Any) -> Program:
    """Compile, and read off what the compiler says."""
    started = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - started
    memory = compiled.memory_analysis()
    return Program(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        seconds,
        collectives(compiled.as_text()),
    )


def collectives(program: str) -> dict[str, int]:
    """ "kind result": places in an XLA program's text. Those among groups of one device, which move
    nothing and which GPUs' compilers drop, are left out."""
    counts: collections.Counter[str] = collections.Counter()
    for line in program.splitlines():
        match = re.search(rf"= (\(.*?\)|\S+) ({COLLECTIVES})(?:-start)?\(", line)
        if match and not _alone(line):
            parts = collections.Counter(re.findall(r"\w+\[[\d,]*\]", match[1]))
            result = ", ".join(f"{n} x {part}" if n > 1 else part for part, n in parts.items())
            counts[f"{match[2]} {result}"] += 1
    return dict(counts)


def _alone(line: str) -> bool:
    mesh = re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line)
    if mesh:
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        return all(sizes[axis] == "1" for axis in re.findall(r"'(\w+)'", mesh[2]))
    return bool(re.search(r"replica_groups=(\{\{\d+\}[,}]|\[\d+,1\])", line))


def device_bytes(tree: Any) -> int:
    """Bytes of an abstract tree on each device."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
