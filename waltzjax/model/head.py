"""From hidden states to token log-probabilities, over a mesh where there is one."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from waltzjax.core.logprobs import TokenLogProbs, token_logprobs
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.sharding import ROWS, even_spec
from waltzjax.model.transformer import unembedding


def head_logprobs(
    cfg: ModelConfig,
    params,
    hidden_BTD: jax.Array,
    target_BT: jax.Array,
    cutoff_gap_BT: jax.Array | None = None,
    *,
    temperature: float,
    block: int,
) -> TokenLogProbs:
    """``core.logprobs.token_logprobs`` of each device's rows.

    Over a mesh each device gathers the matrix once over fsdp, for its own rows (ZeRO-3, arXiv
    1910.02054), and keeps only its part of the vocabulary over tensor (arXiv 1909.08053, section
    3). Rows must be a multiple of the mesh's row groups.
    """
    unembed_VD = unembedding(params)
    if cfg.mesh is None:
        return token_logprobs(
            hidden_BTD,
            unembed_VD,
            target_BT,
            temperature=temperature,
            block=block,
            cutoff_gap_BT=cutoff_gap_BT,
        )
    spec = even_spec(cfg.mesh, "unembed", unembed_VD.shape)
    vocab_axis, width_axis = (a if a and cfg.mesh.shape[a] > 1 else None for a in spec)

    def on_device(hidden_BTD, unembed_VD, target_BT, cutoff_gap_BT):
        return token_logprobs(
            hidden_BTD,
            _gathered(cfg.dtype, width_axis, unembed_VD),
            target_BT,
            temperature=temperature,
            block=block,
            cutoff_gap_BT=cutoff_gap_BT,
            vocab_axis=vocab_axis,
        )

    mapped = jax.shard_map(
        on_device,
        mesh=cfg.mesh,
        in_specs=(P(ROWS), P(vocab_axis, width_axis), P(ROWS), P(ROWS)),
        out_specs=P(ROWS),
    )
    return mapped(hidden_BTD, unembed_VD, target_BT, cutoff_gap_BT)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gathered(dtype, width_axis, part_VD: jax.Array) -> jax.Array:
    """Within ``shard_map``: the matrix in ``dtype``, gathered over ``width_axis``. Its gradient is
    summed over devices in the type of ``part_VD``, the master weights'."""
    whole_VD = part_VD.astype(dtype)
    if width_axis:
        whole_VD = jax.lax.all_gather(whole_VD, width_axis, axis=1, tiled=True)
    return jax.lax.pcast(whole_VD, _others(width_axis), to="varying")


def _others(width_axis) -> tuple[str, ...]:
    """The axes over which rows differ and the matrix does not."""
    return tuple(axis for axis in ROWS if axis != width_axis)


def _gathered_forward(dtype, width_axis, part_VD):
    return _gathered(dtype, width_axis, part_VD), jnp.zeros((), part_VD.dtype)  # its type


def _gathered_backward(dtype, width_axis, stored, of_whole_VD):
    of_part_VD = of_whole_VD.astype(stored.dtype)
    if width_axis:
        of_part_VD = jax.lax.psum_scatter(of_part_VD, width_axis, scatter_dimension=1, tiled=True)
    return (jax.lax.psum(of_part_VD, _others(width_axis)),)


_gathered.defvjp(_gathered_forward, _gathered_backward)
