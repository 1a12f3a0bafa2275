"""A digest of a model's weights, computed where they lie: every number counts, and its place."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from waltzjax.model.sharding import path_name

SEEDS = (0x9E3779B9, 0x7F4A7C15)  # of two sums of 32 bits, so that 64 have to agree by chance


def weights_digest(params: Any) -> str:
    """A hexadecimal hash of the parameters' names and numbers, whatever mesh they lie on: each
    number's bits are hashed together with its place, and the hashes are summed as integers, in
    which no order rounds. Reads every weight once, on the devices."""
    digest = hashlib.sha256()
    sums = jax.device_get(_sums(params))
    leaves = zip(jax.tree_util.tree_leaves_with_path(params), sums, strict=True)
    for (path, leaf), of_leaf in leaves:
        described = (path_name(path), leaf.shape, str(leaf.dtype), *map(int, of_leaf))
        digest.update(f"{described}\n".encode())
    return digest.hexdigest()


@jax.jit
def _sums(params: Any) -> list[tuple[jax.Array, ...]]:
    return [
        tuple(_hashed(leaf, seed).sum(dtype=jnp.uint32) for seed in SEEDS)
        for leaf in jax.tree.leaves(params)
    ]


def _hashed(x: jax.Array, seed: int) -> jax.Array:
    """A hash of 32 bits of each number and its place."""
    width = np.dtype(f"uint{8 * x.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(x, width).astype(jnp.uint32)
    place = jnp.full(x.shape, seed, jnp.uint32)
    for axis in range(x.ndim):
        place = _mixed(place + jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis))
    return _mixed(bits ^ place)


def _mixed(x: jax.Array) -> jax.Array:
    """Each bit of the result depends on each of ``x``: the end of MurmurHash3 (A. Appleby, in the
    public domain)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
