"""From hidden states to token log-probabilities, over a mesh where there is one."""

from __future__ import annotations

import jax
from jax.sharding import PartitionSpec as P

from waltzjax.core.logprobs import token_logprobs
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.sharding import ROWS, even_spec
from waltzjax.model.transformer import unembedding


def head_logprobs(
    cfg: ModelConfig, params, hidden_BTD: jax.Array, target_BT: jax.Array, *,
    temperature: float, chunk: int,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """(logp_BT, entropy_BT) of the targets, in nats: ``core.logprobs.token_logprobs`` of each
    device's rows.

    Over a mesh each device gathers the matrix once over fsdp, for its own rows (ZeRO-3, arXiv
    1910.02054), and keeps only its part of the vocabulary over tensor (arXiv 1909.08053, section
    3). Rows must be a multiple of the mesh's row groups.
    """
    unembed_VD = unembedding(params)
    if cfg.mesh is None:
        return token_logprobs(
            hidden_BTD, unembed_VD, target_BT, temperature=temperature, chunk=chunk
        )
    spec = even_spec(cfg.mesh, "unembed", unembed_VD.shape)
    vocab_axis, width_axis = (a if a and cfg.mesh.shape[a] > 1 else None for a in spec)

    def on_device(hidden_BTD, unembed_VD, target_BT):
        # Rows differ over these too: the gradient is summed over them once it is scattered.
        others = tuple(axis for axis in ROWS if axis != width_axis)
        unembed_VD = jax.lax.pcast(unembed_VD, others, to="varying")
        if width_axis:
            unembed_VD = jax.lax.all_gather(unembed_VD, width_axis, axis=1, tiled=True)
        return token_logprobs(
            hidden_BTD, unembed_VD, target_BT, temperature=temperature, chunk=chunk,
            vocab_axis=vocab_axis,
        )  # fmt: skip

    mapped = jax.shard_map(
        on_device,
        mesh=cfg.mesh,
        in_specs=(P(ROWS), P(vocab_axis, width_axis), P(ROWS)),
        out_specs=P(ROWS),
    )
    return mapped(hidden_BTD, unembed_VD.astype(cfg.dtype), target_BT)
