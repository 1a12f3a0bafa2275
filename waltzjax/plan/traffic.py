"""What a step moves between devices, by arithmetic: volumes and seconds of its collectives.

Counted a device, as rings move it: of a result of R bytes among n devices all-gather and
reduce-scatter R (n - 1) / n, all-reduce twice that (arXiv 1909.08053, 1910.02054). What the
programs gather and sum is read off ``model.zero``, ``model.head`` and the compiled programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.sharding import AXES
from waltzjax.plan.devices import HOST_DEVICES, Device

# Small collectives a token where the vocabulary is split over tensor and nothing truncates.
SAMPLING = 5


class Traffic(NamedTuple):
    """Collectives of one kind over one mesh axis.

    axis: data | fsdp | tensor | rows: data and fsdp together.
    bytes: a device sends, of all ``times`` together.
    """

    kind: str  # all-gather | reduce-scatter | all-reduce
    axis: str
    bytes: float
    times: float


class Axes(NamedTuple):
    """Sizes of a mesh, devices in the order of the axes, tensor innermost."""

    data: int
    fsdp: int
    tensor: int

    def size(self, axis: str) -> int:
        return self.data * self.fsdp if axis == "rows" else getattr(self, axis)

    def members(self, axis: str) -> int:
        """How many of an axis's group share a host."""
        inner = {"tensor": 1, "data": self.fsdp * self.tensor}  # how far apart its members are
        stride = inner.get(axis, self.tensor)
        return max(1, min(self.size(axis), HOST_DEVICES // stride))


def axes(shape: Mapping[str, int]) -> Axes:
    """The sizes of a mesh's ``shape``."""
    return Axes(*(shape[name] for name in AXES))


def seconds(device: Device, mesh: Axes, traffic: Iterable[Traffic]) -> float:
    """The time of collectives one after the other, nothing beside them."""
    return sum(_seconds(device, mesh, each) for each in traffic)


def _seconds(device: Device, mesh: Axes, each: Traffic) -> float:
    size, members = mesh.size(each.axis), mesh.members(each.axis)
    latency_us, gb_per_s = device.link.latency_us, device.link.gb_per_s
    if members < size:  # each member of a host has a port of the network; a ring visits all hosts
        latency_us += (size // members - 1) * device.network.latency_us
        gb_per_s = min(gb_per_s, members * device.network.gb_per_s)
    return each.times * latency_us * 1e-6 + each.bytes / (1e9 * gb_per_s)


def crosses_hosts(mesh: Axes, each: Traffic) -> bool:
    return mesh.members(each.axis) < mesh.size(each.axis)


def _collective(kind: str, axis: str, mesh: Axes, result: float, count: int) -> Iterator[Traffic]:
    """``count`` collectives of ``result`` bytes each; nothing among one device."""
    size = mesh.size(axis)
    if size > 1 and count:
        factor = (2 if kind == "all-reduce" else 1) * (size - 1) / size
        yield Traffic(kind, axis, count * factor * result, count)


def _kernels(cfg: ModelConfig) -> list[int]:
    """Weights of each of a layer's matrices."""
    heads, kv = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
    pairs = [(cfg.width, heads), (cfg.width, kv), (cfg.width, kv), (heads, cfg.width)]
    return [math.prod(pair) for pair in [*pairs, *[(cfg.width, cfg.mlp_width)] * 3]]


def forward_traffic(
    cfg: ModelConfig, mesh: Axes, microbatches: int, group_tokens: int, adapter: int = 0
) -> list[Traffic]:
    """A forward pass over ``group_tokens`` tokens of each row group in each microbatch: each
    layer's matrices are gathered over fsdp, in the compute type, the unembedding once for all
    microbatches; the outputs of attention and MLP are summed over tensor."""
    size, layer = jnp.dtype(cfg.dtype).itemsize, sum(_kernels(cfg))
    head, each = cfg.vocab_size * cfg.width, group_tokens * cfg.width * size
    layers = cfg.layers * microbatches
    gathers = layers * len(_kernels(cfg))
    mean = (layer + adapter / cfg.layers) * size / mesh.tensor / len(_kernels(cfg))
    return [
        *_collective("all-gather", "fsdp", mesh, mean, gathers),
        *_collective("all-gather", "fsdp", mesh, head * size / mesh.tensor, 1),
        *_collective("all-reduce", "tensor", mesh, each, 2 * layers + microbatches),
        *_embedding(mesh, each, microbatches),
    ]


def _embedding(mesh: Axes, each: float, microbatches: int) -> Iterator[Traffic]:
    """Embedded tokens go from a split by width to one by row: as one piece where rows lie along
    fsdp alone, else XLA has every device gather those of all rows."""
    everywhere = 1 if mesh.data == 1 else mesh.size("rows")
    yield from _collective("all-gather", "data", mesh, each * mesh.data, microbatches)
    yield from _collective("all-gather", "fsdp", mesh, each * everywhere, microbatches)


def update_traffic(
    cfg: ModelConfig, mesh: Axes, microbatches: int, group_tokens: int, adapter: int = 0
) -> list[Traffic]:
    """An update: a forward pass; backward each matrix is gathered anew, its gradient scattered
    over fsdp and summed over data in float32, or, with an ``adapter`` of so many weights, the
    adapter's alone; the gradients of what each of seven products reads are summed over tensor, and
    where attention's output is computed anew that too."""
    size, kernels = jnp.dtype(cfg.dtype).itemsize, _kernels(cfg)
    layers, each = cfg.layers * microbatches, group_tokens * cfg.width * size
    mean = sum(kernels) / len(kernels) / mesh.tensor
    moved = [
        *forward_traffic(cfg, mesh, microbatches, group_tokens, adapter),
        *_collective("all-gather", "fsdp", mesh, mean * size, layers * len(kernels)),
        *_collective(
            "all-reduce", "tensor", mesh, each, layers * (6 if cfg.remat == "full" else 5)
        ),
        *_collective("all-reduce", "tensor", mesh, each, microbatches),
    ]
    if adapter:
        return [
            *moved,
            *_collective("all-reduce", "rows", mesh, 4 * adapter / mesh.tensor, microbatches),
        ]
    head = 4 * cfg.vocab_size * cfg.width / mesh.tensor
    tables = 1 if cfg.tied_embeddings else 2
    return [
        *moved,
        *_collective("reduce-scatter", "fsdp", mesh, 4 * mean, layers * len(kernels)),
        *_collective("reduce-scatter", "fsdp", mesh, head, microbatches),
        *_collective(
            "all-reduce", "data", mesh, 4 * sum(kernels) / mesh.tensor / mesh.fsdp, layers
        ),
        *_collective("all-reduce", "data", mesh, tables * head / mesh.fsdp, microbatches),
        # Embedded tokens' gradients go back from a split by row to one by width.
        *_collective("all-gather", *_back(mesh, each), microbatches),
    ]


def _back(mesh: Axes, each: float) -> tuple[str, Axes, float]:
    """Axis, mesh and result of that: as one piece where rows lie along fsdp alone."""
    alone = mesh.data == 1
    return ("fsdp", mesh, each) if alone else ("rows", mesh, each * mesh.size("rows"))


def decode_traffic(cfg: ModelConfig, mesh: Axes, rows: int, steps: int) -> list[Traffic]:
    """``steps`` tokens of each of ``rows`` rows of a group: the outputs of attention and MLP, and
    the embedded tokens, are summed over tensor; and what sampling asks of the whole vocabulary,
    and every group of all others."""
    each = rows * cfg.width * jnp.dtype(cfg.dtype).itemsize
    return [
        *_collective("all-reduce", "tensor", mesh, each, steps * (2 * cfg.layers + 1)),
        *_collective("all-reduce", "tensor", mesh, 4 * rows, steps * SAMPLING),
        *_collective("all-reduce", "rows", mesh, 4, steps),  # how many rows go on
    ]


def prefill_traffic(cfg: ModelConfig, mesh: Axes, tokens: int, calls: int) -> list[Traffic]:
    """``tokens`` tokens of a group in ``calls`` calls; the last MLP's output is not needed."""
    each = tokens / max(calls, 1) * cfg.width * jnp.dtype(cfg.dtype).itemsize
    return [*_collective("all-reduce", "tensor", mesh, each, calls * 2 * cfg.layers)]


def weights_traffic(cfg: ModelConfig, mesh: Axes, numbers: float) -> list[Traffic]:
    """The gathering of a model's ``numbers`` weights over fsdp before generation, in the compute
    type; over tensor they stay split."""
    result = numbers * jnp.dtype(cfg.dtype).itemsize / mesh.tensor
    count = cfg.layers * len(_kernels(cfg))
    return [*_collective("all-gather", "fsdp", mesh, result / count, count)]
