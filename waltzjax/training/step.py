"""The one jitted update, and the one forward pass it and the scoring share.

An algorithm is a value passed in: ``loss_fn(logp_BT, batch) -> (loss, metrics)``, both summed with
the batch's weights; ``batch.entropy_BT`` and ``batch.full_logp_BT`` are the policy's. Nothing here
knows of agents, rewards or recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from waltzjax.core.logprobs import TokenLogProbs
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.head import head_logprobs
from waltzjax.model.transformer import hidden_states
from waltzjax.types import AgentState, PairBatch, PolicyBatch

Batch = PolicyBatch | PairBatch
LossFn = Callable[[jax.Array, Any], tuple[jax.Array, dict[str, jax.Array]]]
Merge = Callable[[Any, Any], Any]  # (frozen, trained) -> parameters of the forward pass


def full_params(frozen: Any, trained: Any) -> Any:
    """``merge`` of full fine-tuning: everything is trained."""
    del frozen
    return trained


def forward_logp(
    cfg: ModelConfig, params, batch: Batch, *, temperature: float, block: int, dropout_key=None
) -> TokenLogProbs:
    """Entry t is about token t given the tokens before it; entry 0 is 0."""
    hidden_BTD = hidden_states(
        cfg, params, batch.token_BT, batch.length_B, dropout_key, batch.start_BT
    )
    cutoff_gap_BT = None if batch.cutoff_gap_BT is None else batch.cutoff_gap_BT[:, 1:]
    logprobs = head_logprobs(
        cfg,
        params,
        hidden_BTD[:, :-1],
        batch.token_BT[:, 1:],
        cutoff_gap_BT,
        temperature=temperature,
        block=block,
    )
    return jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (1, 0))), logprobs)


def make_logp(cfg: ModelConfig, *, temperature: float, block: int):
    """``logp(params, batch) -> logp_MBT`` over the whole vocabulary and the microbatches, zero off
    the actions."""
    both = _make_logps(cfg, temperature, block)
    return jax.jit(
        lambda params, batch_MBT: both(params, batch_MBT._replace(cutoff_gap_BT=None))[0]
    )


def make_truncated_logp(cfg: ModelConfig, *, temperature: float, block: int):
    """``logp(params, batch) -> (logp_MBT, full_logp_MBT)`` of a batch whose rollouts truncate: of
    the distributions that were sampled from, and over the whole vocabulary; zero off the actions.
    """
    return jax.jit(_make_logps(cfg, temperature, block))


def _make_logps(cfg: ModelConfig, temperature: float, block: int):
    def logps(params, batch_MBT: Batch) -> tuple[jax.Array, jax.Array | None]:
        def one(_, batch):
            logprobs = forward_logp(cfg, params, batch, temperature=temperature, block=block)
            kept = (logprobs.logp_BT, logprobs.full_logp_BT)
            return None, jax.tree.map(lambda x_BT: jnp.where(batch.action_BT, x_BT, 0), kept)

        return jax.lax.scan(one, None, batch_MBT)[1]

    return logps


def make_update(
    cfg: ModelConfig,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    temperature: float,
    block: int,
    state_sharding: Any,
    merge: Merge = full_params,
    seed: int = 0,
):
    """``update(state, batch, frozen) -> (state, metrics)``: one optimiser step, all microbatches.

    ``batch`` arrays are [M, B, ...]; gradients are accumulated in float32 over M. The state is
    donated, and comes back in ``state_sharding``: elsewhere, and a second step would compile again.
    ``merge(frozen, state.params)`` are the parameters of the forward pass; ``seed`` is that of the
    dropout of adapters, ``cfg.lora_dropout``, drawn anew for every update and microbatch.
    Metrics: the loss's own, ``loss``, ``entropy`` (weighted, nats), ``grad_norm``, and
    ``change_norm``, that of what was added to the parameters, as they are kept: 0 says that none of
    them changed.
    """

    def loss_of(trained, frozen, batch, key):
        logp_BT, entropy_BT, full_logp_BT = forward_logp(
            cfg,
            merge(frozen, trained),
            batch,
            temperature=temperature,
            block=block,
            dropout_key=key,
        )
        batch = batch._replace(entropy_BT=entropy_BT, full_logp_BT=full_logp_BT)
        loss, metrics = loss_fn(logp_BT, batch)
        entropy = jnp.sum(batch.weight_BT * entropy_BT)
        return loss, {**metrics, "loss": loss, "entropy": entropy}

    def update(
        state: AgentState, batch_MBT: Batch, frozen: Any = None
    ) -> tuple[AgentState, dict[str, Any]]:
        keys_M = jax.random.split(
            jax.random.fold_in(jax.random.key(seed), state.step), batch_MBT.token_BT.shape[0]
        )

        def accumulate(total, batch_and_key):
            gradient, metrics = jax.grad(loss_of, has_aux=True)(
                state.params, frozen, *batch_and_key
            )
            return jax.tree.map(jnp.add, total, gradient), metrics

        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), state.params)
        gradient, metrics_M = jax.lax.scan(accumulate, zeros, (batch_MBT, keys_M))
        metrics = {name: value.sum() for name, value in metrics_M.items()}
        metrics["grad_norm"] = optax.tree.norm(gradient)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics["change_norm"] = _change_norm(params, state.params)
        return AgentState(params, opt_state, state.step + 1, state.beta), metrics

    return jax.jit(update, donate_argnums=0, out_shardings=(state_sharding, None))


def _change_norm(new: Any, old: Any) -> jax.Array:
    """The global norm of new - old, with ``new`` as it will be read back."""
    total = jnp.zeros(())
    for after, before in zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True):
        # One after the other: all differences at once are a copy of the model in float32.
        after, before, total = jax.lax.optimization_barrier((after, before, total))
        # Compilers may leave out that a value is rounded to bfloat16 where it is not stored.
        kind = jnp.finfo(after.dtype)
        kept = jax.lax.reduce_precision(after.astype(jnp.float32), kind.nexp, kind.nmant)
        total += jnp.sum(jnp.square(kept - before.astype(jnp.float32)))
    return jnp.sqrt(total)


def shardings(tree: Any) -> Any:
    """Where the arrays of a tree are."""
    return jax.tree.map(lambda x: x.sharding, tree)
