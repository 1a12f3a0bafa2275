"""The compiler's report on a program: its memory, what it moves between devices."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

COLLECTIVES = "all-gather|reduce-scatter|all-reduce|all-to-all|collective-permute"
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "f64": 8}  # else 4


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled program; bytes are those of one device."""

    argument_bytes: int
    temporary_bytes: int
    output_bytes: int  # beyond what is written over its arguments
    compile_s: float
    collectives: dict[str, int]  # "kind shape": in how many places of the program
    moved_bytes: dict[str, float] = dataclasses.field(
        default_factory=dict
    )  # by kind, see ``moved``


def measure(lowered: Any) -> Program:
    """Compile, and read off what the compiler says."""
    started = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - started
    memory, text = compiled.memory_analysis(), compiled.as_text()
    return Program(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        seconds,
        collectives(text),
        moved(text),
    )


class _Collective(NamedTuple):
    kind: str
    results: tuple[str, ...]  # "f32[2,64]"
    group: int  # devices

    @property
    def sent(self) -> float:
        """Bytes that a device sends, as a ring does."""
        whole = sum(map(_result_bytes, self.results))
        share = (self.group - 1) / self.group
        factor = {"all-reduce": 2 * share, "reduce-scatter": self.group * share}
        return whole * factor.get(self.kind, share)


def collectives(program: str) -> dict[str, int]:
    """ "kind result": places in an XLA program's text. Those among groups of one device, which move
    nothing and which GPUs' compilers drop, are left out."""
    counts: collections.Counter[str] = collections.Counter()
    for each in filter(None, map(_collective, program.splitlines())):
        parts = collections.Counter(each.results)
        result = ", ".join(f"{n} x {part}" if n > 1 else part for part, n in parts.items())
        counts[f"{each.kind} {result}"] += 1
    return dict(counts)


def moved(program: str) -> dict[str, float]:
    """Bytes that each device sends in a whole run of the program, by kind of collective. Loops
    count as often as the compiler knows they run, those of which it does not know that, once."""
    bodies = dict(_computations(program))
    total: dict[str, float] = collections.defaultdict(float)

    def add(name: str, times: int) -> None:
        for line in bodies.get(name, ()):
            each = _collective(line)
            if each:
                total[each.kind] += times * each.sent
            loop = re.search(r" while\(.*body=%?([\w.\-]+)", line)
            known = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
            if loop:
                add(loop[1], times * (int(known[1]) if known else 1))
            elif each is None:
                for called in re.findall(r"(?:calls|to_apply)=%?([\w.\-]+)", line):
                    add(called, times)

    add("ENTRY", 1)
    return dict(total)


def _computations(program: str) -> Iterator[tuple[str, list[str]]]:
    """(name, lines) of each computation; the one that is run is named ENTRY."""
    name = ""
    lines: list[str] = []
    for line in program.splitlines():
        header = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{\s*$", line)
        if header:
            name, lines = "ENTRY" if header[1] else header[2], []
        elif line.startswith("}") and name:
            yield name, lines
            name = ""
        elif name:
            lines.append(line)


def _collective(line: str) -> _Collective | None:
    """The collective of a line, unless there is none, or none that moves anything."""
    match = re.search(rf"= (\(.*?\)|\S+) ({COLLECTIVES})(?:-start)?\(", line)
    group = _group(line) if match else 1
    if not match or group == 1:
        return None
    return _Collective(match[2], tuple(re.findall(r"\w+\[[\d,]*\]", match[1])), group)


def _group(line: str) -> int:
    """Devices of each group of a collective."""
    mesh = re.search(r"replica_groups=mesh\[(.*?)\].*?\{([^{}]*)\}", line)
    if mesh:
        sizes = {axis: int(size) for axis, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        return math.prod(sizes[axis] for axis in re.findall(r"'(\w+)'", mesh[2]))
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed:
        return len(listed[1].split(","))
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    return int(counted[1]) if counted else 2  # a permutation has pairs


def _result_bytes(result: str) -> int:
    kind, sizes = result.rstrip("]").split("[")
    return math.prod(int(n) for n in sizes.split(",") if n) * BYTES.get(kind, 4)


def device_bytes(tree: Any) -> int:
    """Bytes of an abstract tree on each device."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
