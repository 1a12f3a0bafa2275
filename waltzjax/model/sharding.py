"""The device mesh, and which axis of which array lies on which mesh axis.

Axes are *automatic* (XLA's partitioner places intermediates): indexing and gathers then need no
``out_sharding``. One device is a mesh too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from waltzjax.support.processes import alone

AXES = ("data", "fsdp", "tensor")
ROWS = ("data", "fsdp")  # mesh axes over which the rows of a batch are split

# First match wins. Leading axis of everything under "layers" is the layer, never split.
RULES: tuple[tuple[str, P], ...] = (
    (r"^(embed|unembed)$", P("tensor", "fsdp")),
    (r"^layers/(q|k|v|gate|up)/kernel$", P(None, "fsdp", "tensor")),
    (r"^layers/(o|down)/kernel$", P(None, "tensor", "fsdp")),
    (r"^layers/(q|k|v)/bias$", P(None, "tensor")),
    (r"^layers/(q|k|v|gate|up)/lora_a$", P(None, "fsdp")),
    (r"^layers/(q|k|v|gate|up)/lora_b$", P(None, None, "tensor")),
    (r"^layers/(o|down)/lora_a$", P(None, "tensor")),
    (r"^layers/(o|down)/lora_b$", P(None, None, "fsdp")),
    (r"^layers/(attn_norm|mlp_norm|q_norm|k_norm)/scale$", P(None)),
    (r"^final_norm/scale$", P()),
)


def make_mesh(shape: Sequence[int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh ``data x fsdp x tensor``; one size may be -1: as many as there are devices for.

    Raises:
      ValueError: the shape is not three sizes, or needs other than the devices at hand.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = list(shape)
    if len(sizes) != 3 or any(s == 0 or s < -1 for s in sizes) or sizes.count(-1) > 1:
        raise ValueError(
            f"config.mesh: got {tuple(shape)}, expected three positive sizes {AXES}, one may be -1"
        )
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(len(devices) // -math.prod(sizes), 1)
    needed = math.prod(sizes)
    if needed > len(devices):
        raise ValueError(
            f"config.mesh: {tuple(sizes)} needs {needed} devices, {len(devices)} "
            f"{devices[0].platform} at hand; make the mesh smaller, or emulate devices on CPU with "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={needed}"
        )
    if needed < len(devices) and not alone():
        raise ValueError(
            f"config.mesh: {tuple(sizes)} needs {needed} devices, {len(devices)} are at hand; a "
            "run of several processes uses all of them"
        )
    grid = np.asarray(devices[:needed]).reshape(sizes)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * 3)


def spec_for(path: str) -> P:
    """The partition of the parameter at ``path`` ("layers/q/kernel").

    Raises:
      ValueError: no rule covers it.
    """
    for pattern, spec in RULES:
        if re.search(pattern, path):
            return spec
    raise ValueError(f"parameter {path!r}: no rule in model.sharding.RULES covers it; add one")


def path_name(path: Sequence[Any]) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


def keep_rows(mesh: Mesh | None, x: jax.Array) -> jax.Array:
    """Hold an activation split by rows; XLA might move activations instead of weights."""
    if mesh is None:
        return x
    spec = P(ROWS, *[None] * (x.ndim - 1))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))


def keep_heads(mesh: Mesh | None, x_BTHC: jax.Array, kv_heads: int) -> jax.Array:
    """Hold heads split over tensor, or whole where it does not divide those of keys and values:
    cuDNN's attention takes them even or not at all."""
    if mesh is None:
        return x_BTHC
    axis = "tensor" if kv_heads % mesh.shape["tensor"] == 0 else None
    return jax.lax.with_sharding_constraint(x_BTHC, NamedSharding(mesh, P(ROWS, None, axis)))


def params_sharding(mesh: Mesh, params: Any) -> Any:
    """The tree of NamedShardings of a parameter tree (arrays or abstract values).

    An axis that the mesh does not divide evenly stays whole.
    """

    def one(path, leaf):
        return NamedSharding(mesh, even_spec(mesh, path_name(path), leaf.shape))

    return jax.tree_util.tree_map_with_path(one, params)


def even_spec(mesh: Mesh, path: str, shape: Sequence[int]) -> P:
    """``spec_for(path)`` without the axes that the mesh does not divide evenly."""
    spec = spec_for(path)
    sizes = [mesh.shape[a] if a else 1 for a in spec]
    return P(*(a if n % s == 0 else None for a, n, s in zip(spec, shape, sizes, strict=False)))


def place(arrays: Any, where: Any) -> Any:
    """Host arrays, the same in every process, put on devices; ``where`` is a sharding for all of
    them or a tree of shardings."""
    if isinstance(where, NamedSharding):
        where = jax.tree.map(lambda _: where, arrays)

    def one(array, sharding):
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(one, arrays, where)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def rows_sharding(mesh: Mesh, leading: int = 0) -> NamedSharding:
    """Rows over data and fsdp, after ``leading`` whole axes (1 for microbatched [M, B, ...])."""
    return NamedSharding(mesh, P(*([None] * leading), ROWS))


def row_groups(mesh: Mesh) -> int:
    """A batch's rows must be a multiple of this."""
    return mesh.shape["data"] * mesh.shape["fsdp"]
