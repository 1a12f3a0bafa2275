"""Matrix products with weights that are split over fsdp between uses (ZeRO-3, arXiv 1910.02054).

Placed by hand: left alone, XLA may move activations instead of weights, or sum a whole gradient on
every device before it keeps a part.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from waltzjax.model.sharding import ROWS, even_spec


def _spec(mesh: Mesh, path: str, kernel: jax.Array) -> P:
    """One layer's part of the stacked kernel's partition."""
    return P(*even_spec(mesh, path, (1, *kernel.shape))[1:])


def _whole(mesh: Mesh, path: str, kernel: jax.Array) -> jax.Array:
    """The kernel gathered over fsdp; over tensor it stays split."""
    spec = P(*(None if axis == "fsdp" else axis for axis in _spec(mesh, path, kernel)))
    return jax.lax.with_sharding_constraint(kernel, NamedSharding(mesh, spec))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def zero_matmul(mesh: Mesh, path: str, rows_NI: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """``rows @ kernel`` in the type of the rows: the kernel is gathered for the product, and
    gathered anew for the backward one; its gradient is reduced, in the type of the kernel, the
    master weights', and scattered at once.

    ``rows_NI`` are split over data and fsdp; ``path`` is that of the stacked kernel in the rules.
    """
    return rows_NI @ _whole(mesh, path, kernel_IO.astype(rows_NI.dtype))


def _forward(mesh, path, rows_NI, kernel_IO):
    return zero_matmul(mesh, path, rows_NI, kernel_IO), (rows_NI, kernel_IO)


def _backward(mesh, path, saved, gradient_NO):
    rows_NI, kernel_IO = saved
    spec = _spec(mesh, path, kernel_IO)
    inner, outer = (axis if axis == "tensor" else None for axis in spec)

    def contract(rows_ni, gradient_no):
        change = jnp.dot(rows_ni.T, gradient_no, preferred_element_type=kernel_IO.dtype)
        if "fsdp" in spec:
            at = spec.index("fsdp")
            change = jax.lax.psum_scatter(change, "fsdp", scatter_dimension=at, tiled=True)
        else:
            change = jax.lax.psum(change, "fsdp")
        return jax.lax.psum(change, "data")

    change_IO = jax.shard_map(
        contract, mesh=mesh, in_specs=(P(ROWS, inner), P(ROWS, outer)), out_specs=spec
    )(rows_NI, gradient_NO)
    return gradient_NO @ _whole(mesh, path, kernel_IO.astype(rows_NI.dtype)).T, change_IO


zero_matmul.defvjp(_forward, _backward)
