"""One role's learning step: rows to a sharded batch, log-probs, advantages, update."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from waltzjax.core.losses import full_support, kl_estimate
from waltzjax.data.batching import bucket, pad_rows
from waltzjax.data.policy_packing import pack_samples
from waltzjax.metrics.clock import program
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.training.step import (
    LossFn,
    Merge,
    full_params,
    make_logp,
    make_truncated_logp,
    make_update,
    shardings,
)
from waltzjax.types import AgentState, PairBatch, PolicyBatch, Sample

BatchT = TypeVar("BatchT", PolicyBatch, PairBatch)


def device_batch(
    samples: Sequence[Sample],
    mesh: Mesh,
    *,
    microbatches: int,
    multiple: int,
    weights: str,
    max_length: int,
    min_rows: int = 1,
    truncated: bool = False,
    token_budget: int = 0,
    longest_text: int = 0,
    max_new_tokens: int = 0,
) -> PolicyBatch:
    """Rows as sharded arrays [M, B, ...]; B is split over the mesh's data and fsdp axes.

    ``token_budget`` 0: one text a row, at least ``min_rows`` rows in M = ``microbatches``, see
    ``data.batching.pad_rows``. Otherwise M follows from rows of so many tokens, one a group of
    devices, see ``data.policy_packing.pack_samples``; the cfg that they are trained with has
    ``longest_text``.
    """
    groups = sharding.row_groups(mesh)
    if token_budget:
        packed, count = pack_samples(
            samples,
            budget=token_budget,
            weights=weights,
            row_groups=groups,
            max_length=max_length,
            longest_text=longest_text,
            truncated=truncated,
            max_new_tokens=max_new_tokens,
        )
        return place_batch(packed, mesh, count)
    batch = pad_rows(
        samples,
        multiple=multiple,
        weights=weights,
        max_length=max_length,
        min_rows=bucket(max(min_rows, len(samples)), microbatches * groups),
        truncated=truncated,
        max_new_tokens=max_new_tokens,
    )
    return place_batch(batch, mesh, microbatches)


def place_batch(batch: BatchT, mesh: Mesh, microbatches: int) -> BatchT:
    """Host arrays [B, ...] as sharded ones [M, B / M, ...]."""
    split = jax.tree.map(lambda x: x.reshape(microbatches, -1, *x.shape[1:]), batch)
    return sharding.place(split, sharding.rows_sharding(mesh, leading=1))


def init_state(
    params: Any, optimizer: optax.GradientTransformation, mesh: Mesh, beta: float = 0.0
) -> AgentState:
    """A fresh agent on ``params``, which are copied: updates donate their state's buffers.

    Optimiser moments are born in their parameter's sharding.
    """
    step, beta_ = sharding.place(
        (np.zeros((), np.int32), np.float32(beta)), sharding.replicated(mesh)
    )
    params = jax.tree.map(jnp.copy, params)
    where = state_sharding(jax.eval_shape(optimizer.init, params), params, mesh)
    return AgentState(params, jax.jit(optimizer.init, out_shardings=where)(params), step, beta_)


def abstract(shapes: Any, where: Any) -> Any:
    """Shapes with their shardings: what to compile for without any arrays."""
    return jax.tree.map(
        lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w), shapes, where
    )


def shapes_of(arrays: Any) -> Any:
    """Their shapes, types and shardings."""
    return abstract(arrays, shardings(arrays))


def abstract_state(params: Any, optimizer: optax.GradientTransformation, mesh: Mesh) -> AgentState:
    """``init_state`` of abstract parameters."""
    shapes = jax.eval_shape(optimizer.init, params)
    moments = abstract(shapes, state_sharding(shapes, params, mesh))
    step, beta = (
        jax.ShapeDtypeStruct((), kind, sharding=sharding.replicated(mesh))
        for kind in (np.int32, np.float32)
    )
    return AgentState(params, moments, step, beta)


def abstract_batch(
    mesh: Mesh,
    microbatches: int,
    rows: int,
    tokens: int,
    *,
    truncated: bool = False,
    packed: bool = False,
    record: Any = PolicyBatch,
) -> Any:
    """A ``device_batch`` of abstract arrays, ``rows`` x ``tokens`` in each microbatch; with the
    record ``PairBatch`` a ``pairs.device_pairs`` of half as many pairs."""
    where = sharding.rows_sharding(mesh, leading=1)
    later = {"entropy_BT", "old_full_logp_BT", "full_logp_BT"}  # of the policy, while it learns
    left_out = dict.fromkeys(later, True) | {"cutoff_gap_BT": not truncated, "start_BT": not packed}
    kinds = dict.fromkeys(("token_BT", "length_B", "start_BT"), np.int32) | {"action_BT": np.bool_}
    fields = {
        name: jax.ShapeDtypeStruct(
            (microbatches, rows, tokens)[: 3 if name.endswith("T") else 2],
            kinds.get(name, np.float32),
            sharding=where,
        )
        for name in record._fields
        if not left_out.get(name)
    }
    return record(**fields)


def state_sharding(opt_state: Any, params: Any, mesh: Mesh) -> Any:
    """Shardings of an optimiser state: a moment lies like its parameter, a counter everywhere."""
    like = sharding.params_sharding(mesh, params)
    shapes: Any = jax.tree.structure(params)
    return jax.tree.map(
        lambda part: like if jax.tree.structure(part) == shapes else sharding.replicated(mesh),
        opt_state,
        is_leaf=lambda part: jax.tree.structure(part) == shapes,
    )


class Learner:
    """The jitted functions of one role, built once a stage.

    Its updates are made without the dropout of adapters, ``cfg.lora_dropout``: what is updated is
    the policy that was sampled from and scored, or neither the ratio would be 1 nor the KL 0 before
    anything was learned (arXiv 2403.17031 turns dropout off for the same reason).
    """

    def __init__(
        self,
        cfg: ModelConfig,
        optimizer: optax.GradientTransformation,
        loss: LossFn,
        compute_advantages: Callable[[PolicyBatch], PolicyBatch],
        *,
        temperature: float,
        block: int,
        updates: int,
        next_kl_coef: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
        merge: Merge = full_params,
    ):
        cfg = dataclasses.replace(cfg, lora_dropout=0.0)
        self._updates = updates
        self._merge = merge
        self._logp = make_logp(cfg, temperature=temperature, block=block)
        self._truncated_logp = make_truncated_logp(cfg, temperature=temperature, block=block)
        self._update: Any = None  # built at the first step, for the shardings of its state
        self._make_update = partial(
            make_update,
            cfg,
            loss,
            optimizer,
            temperature=temperature,
            block=block,
            merge=merge,
        )

        def advantages_at(batch: PolicyBatch, beta: jax.Array) -> PolicyBatch:
            return compute_advantages(
                batch._replace(beta_B=jnp.broadcast_to(beta, batch.beta_B.shape))
            )

        self._compute_advantages = jax.jit(advantages_at)
        self._next_kl_coef = jax.jit(next_kl_coef) if next_kl_coef else None
        self._measure = jax.jit(_measure)

    def learn(
        self, state: AgentState, frozen: Any, ref_params: Any, batch: PolicyBatch
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One rollout batch's updates. ``frozen`` is what an adapter is merged with. Metrics stay
        on the device until someone asks."""
        self._build(state)
        batch = self._score(self._merge(frozen, state.params), ref_params, batch)
        batch = self._compute_advantages(batch, state.beta)
        metrics = self._measure(batch)
        metrics["beta"] = jnp.copy(state.beta)  # the state's own is donated
        for _ in range(self._updates):
            state, of_update = program(
                "update", self._update, state, batch, frozen, output=_loss_of_update
            )
        if self._next_kl_coef:
            state = state._replace(beta=self._next_kl_coef(state.beta, metrics["kl"]))
        return state, {**metrics, **of_update}

    def _score(self, policy: Any, ref_params: Any, batch: PolicyBatch) -> PolicyBatch:
        """The batch with old and reference log-probabilities. Both are of one program: equal
        parameters have a KL of 0, to the bit."""
        if batch.cutoff_gap_BT is None:
            old = program("score", self._logp, policy, batch)
            ref = program("reference", self._logp, ref_params, batch)
            return batch._replace(old_logp_BT=old, ref_logp_BT=ref)
        logp = self._truncated_logp
        old, old_full = program("score", logp, policy, batch, output=itemgetter(0))
        _, ref = program("reference", logp, ref_params, batch, output=itemgetter(1))
        return batch._replace(old_logp_BT=old, old_full_logp_BT=old_full, ref_logp_BT=ref)

    def lower(self, state: AgentState, frozen: Any, policy: Any, batch: PolicyBatch):
        """The two large programs of ``learn`` for abstract arrays; ``policy`` is merged."""
        self._build(state)
        logp = self._logp if batch.cutoff_gap_BT is None else self._truncated_logp
        return {
            "log-probs": logp.lower(policy, batch),
            "update": self._update.lower(state, batch, frozen),
        }

    def _build(self, state: AgentState) -> None:
        if self._update is None:
            self._update = self._make_update(state_sharding=shardings(state))


def _loss_of_update(result: tuple[AgentState, dict[str, jax.Array]]) -> jax.Array:
    """An output of the update that nothing overwrites: the state is the next update's."""
    return result[1]["loss"]


def _measure(batch: PolicyBatch) -> dict[str, jax.Array]:
    """Before the update: KL to the reference, nats a token, by k3, which is never negative, and by
    k1, which is unbiased; and the gap between the sampler's and the trainer's log-probabilities of
    what was sampled from (nats)."""
    action = batch.action_BT
    count = jnp.maximum(action.sum(), 1)
    gap = jnp.where(action, jnp.abs(batch.old_logp_BT - batch.sampler_logp_BT), 0)
    old_BT = full_support(batch.old_logp_BT, batch.old_full_logp_BT)
    k1, k3 = (
        jnp.where(action, kl_estimate(old_BT, batch.ref_logp_BT, kind), 0).sum() / count
        for kind in ("k1", "k3")
    )
    return {
        "kl": k3,
        "kl_k1": k1,
        "gap_mean": gap.sum() / count,
        "gap_max": gap.max(),
        "tokens": count.astype(jnp.float32),
    }
