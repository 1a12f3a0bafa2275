"""Generation's forward pass: new tokens over a paged key/value cache, layers unrolled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import rope_frequencies
from waltzjax.model.paged_attention import PageView
from waltzjax.model.transformer import Block, RMSNorm


class Cache(NamedTuple):
    """Pages of keys [N, J, C, P] and values [N, J, P, C], a tuple over layers: N pages of P
    positions. Which request a page belongs to is known to its ``PageView`` alone."""

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]


def empty_cache(cfg: ModelConfig, pages: int, page_size: int) -> Cache:
    J, C = cfg.kv_heads, cfg.head_dim
    keys = partial(jnp.zeros, (pages, J, C, page_size), cfg.dtype)
    values = partial(jnp.zeros, (pages, J, page_size, C), cfg.dtype)
    return Cache(*(tuple(make() for _ in range(cfg.layers)) for make in (keys, values)))


def generation_params(cfg: ModelConfig, mesh: Mesh, models: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as generation reads them: ``layers`` a list of layers, all but norms in the
    compute type, each device holding its tensor part of everything.

    Training splits weights over fsdp too and gathers a layer's for its use; at every token that
    would be the whole model over the wire. Arrays that several models share, as adapters do their
    base, are made once. Arrays may be abstract. What this function has made is taken as it is.
    """
    made: dict[int, Any] = {}

    def one(path: Sequence[Any], leaf: Any) -> Any:
        if id(leaf) not in made:
            name = sharding.path_name(path)
            dtype = leaf.dtype if name.endswith("scale") else jnp.dtype(cfg.dtype)
            spec = P(
                *(None if a == "fsdp" else a for a in sharding.even_spec(mesh, name, leaf.shape))
            )
            layered = name.startswith("layers/")
            where = NamedSharding(mesh, P(*spec[1:]) if layered else spec)
            count = leaf.shape[0] if layered else 0
            if isinstance(leaf, jax.ShapeDtypeStruct):
                shape = leaf.shape[1:] if layered else leaf.shape
                form = jax.ShapeDtypeStruct(shape, dtype, sharding=where)
                made[id(leaf)] = (form,) * count if layered else form
            elif layered:
                made[id(leaf)] = _slicer(count, dtype, where)(leaf)
            else:
                made[id(leaf)] = jax.device_put(leaf.astype(dtype), where)
        return made[id(leaf)]

    def layer(tree: Any, i: int) -> Any:
        return jax.tree.map(lambda each: each[i], tree, is_leaf=lambda x: type(x) is tuple)

    def form(tree: Any) -> Any:
        if isinstance(tree["layers"], list):
            return tree
        tree = jax.tree_util.tree_map_with_path(one, tree)
        return {**tree, "layers": [layer(tree["layers"], i) for i in range(cfg.layers)]}

    return {model: form(tree) for model, tree in models.items()}


@lru_cache
def _slicer(count: int, dtype: jnp.dtype, where: NamedSharding) -> Any:
    """The slices of an array along its first axis, cast."""
    return jax.jit(
        lambda stacked: tuple(stacked[i].astype(dtype) for i in range(count)),
        out_shardings=(where,) * count,
    )


def cached_hidden_states(
    cfg: ModelConfig, params, token_BT: jax.Array, cache: Cache, view: PageView
) -> tuple[jax.Array, Cache]:
    """Hidden states [B, T, D] of new tokens, which see what is cached before them and one another;
    the cache with theirs. ``params`` come from ``generation_params``."""
    x_BTD = params["embed"][token_BT].astype(cfg.dtype)
    angle_BTc = view.position_BT[:, :, None] * rope_frequencies(cfg)
    keys, values = [], []
    for layer, *kv in zip(params["layers"], cache.k, cache.v, strict=True):
        x_BTD, (k, v) = Block(cfg).apply({"params": layer}, x_BTD, angle_BTc, kv=kv, view=view)
        keys.append(k)
        values.append(v)
    x_BTD = RMSNorm(cfg).apply({"params": params["final_norm"]}, x_BTD)
    return x_BTD, Cache(tuple(keys), tuple(values))
