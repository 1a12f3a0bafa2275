"""Batched generation over a key/value cache: one prefill, then a jitted loop over tokens.

Every request carries its own seed; token i of a request is drawn with ``fold_in(key(seed), i)``,
so a request's text does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from waltzjax.core.sampling import truncated_logits
from waltzjax.data.batching import bucket
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.decode import cached_hidden_states, empty_cache, unstack_layers
from waltzjax.model.transformer import unembedding


class Sampling(NamedTuple):
    """How to draw tokens. ``temperature`` 0 takes the most probable one."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class Tokens(NamedTuple):
    """One finished request: tokens (the stop token included), their log-probabilities in nats."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str  # "stop" | "length"


class Engine:
    """Generates for any parameters of one architecture.

    Args:
      cfg: the architecture.
      mesh: where the rows go; parameters must live on the same one.
      stop_ids: tokens that end a request.
      length_multiple: prompts are padded to a multiple of this; fewer shapes, fewer compilations.
    """

    def __init__(
        self, cfg: ModelConfig, mesh: Mesh, stop_ids: Sequence[int], length_multiple: int = 64
    ):
        self.cfg, self.mesh, self.length_multiple = cfg, mesh, length_multiple
        self.stop_ids = tuple(stop_ids)
        self._generate = jax.jit(
            partial(_generate, cfg, self.stop_ids),
            static_argnames="max_new_tokens",
            out_shardings=sharding.replicated(mesh),  # readable in every process
        )

    def generate(
        self,
        params,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        *,
        rows: int | None = None,
    ) -> list[Tokens]:
        """One result a prompt, in order. ``rows`` pads the batch to a fixed number of rows.

        Raises:
          ValueError: an empty prompt, one that leaves no room in the model's positions, or an
            impossible sampling value.
        """
        if not prompts:
            return []
        self._check(prompts, sampling)
        longest = max(map(len, prompts))
        shape = (
            bucket(max(len(prompts), rows or 0), sharding.row_groups(self.mesh)),
            min(
                bucket(longest, self.length_multiple),
                self.cfg.max_positions - sampling.max_new_tokens,
            ),
        )
        token_BT, length_B = np.zeros(shape, np.int32), np.ones(shape[0], np.int32)
        seed_B = np.zeros(shape[0], np.uint32)
        real_B = np.arange(shape[0]) < len(prompts)
        for b, prompt in enumerate(prompts):
            token_BT[b, : len(prompt)], length_B[b], seed_B[b] = prompt, len(prompt), seeds[b]
        arrays = sharding.place(
            (token_BT, length_B, seed_B, real_B), sharding.rows_sharding(self.mesh)
        )
        settings = (
            np.float32(sampling.temperature),
            np.int32(sampling.top_k),
            np.float32(sampling.top_p),
        )
        out_BN, logp_BN, count_B, stopped_B = jax.device_get(
            self._generate(params, *arrays, *settings, max_new_tokens=sampling.max_new_tokens)
        )
        return [
            Tokens(
                tuple(out_BN[b, : count_B[b]].tolist()),
                tuple(logp_BN[b, : count_B[b]].tolist()),
                "stop" if stopped_B[b] else "length",
            )
            for b in range(len(prompts))
        ]

    def lower(self, params, *, rows: int, prompt_tokens: int, max_new_tokens: int):
        """The program of ``generate`` for abstract parameters and batches of this shape."""
        where = sharding.rows_sharding(self.mesh)

        def of_rows(dtype, *more):
            return jax.ShapeDtypeStruct((rows, *more), dtype, sharding=where)

        i32, f32 = (jax.ShapeDtypeStruct((), t) for t in (np.int32, np.float32))
        return self._generate.lower(
            params, of_rows(np.int32, prompt_tokens), of_rows(np.int32), of_rows(np.uint32),
            of_rows(bool), f32, i32, f32, max_new_tokens=max_new_tokens,
        )  # fmt: skip

    def _check(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> None:
        room = self.cfg.max_positions - sampling.max_new_tokens
        lengths = [len(p) for p in prompts]
        if min(lengths) < 1 or max(lengths) > room:
            raise ValueError(
                f"prompt tokens: got {min(lengths)} to {max(lengths)}, allowed are 1 to {room} "
                f"({self.cfg.max_positions} positions less {sampling.max_new_tokens} new tokens)"
            )
        if sampling.max_new_tokens < 1 or sampling.temperature < 0 or sampling.top_k < 0:
            raise ValueError(f"{sampling}: max_new_tokens >= 1, temperature >= 0, top_k >= 0")
        if not 0 < sampling.top_p <= 1:
            raise ValueError(f"top_p: got {sampling.top_p}, allowed is (0, 1]")


def _generate(
    cfg, stop_ids, params, token_BT, length_B, seed_B, real_B, temperature, top_k, top_p,
    *, max_new_tokens,
):  # fmt: skip
    B, T = token_BT.shape
    unembed_VD = unembedding(params)
    params = unstack_layers(cfg, params)  # sliced once, not at every token
    key_B = jax.vmap(jax.random.key)(seed_B)
    truncates = (top_k > 0) | (top_p < 1)

    def draw(hidden_BD, i):
        logits_BV = jnp.einsum(
            "BD,VD->BV", hidden_BD, unembed_VD.astype(hidden_BD.dtype),
            preferred_element_type=jnp.float32,
        )  # fmt: skip
        greedy = temperature == 0
        scaled_BV = logits_BV / jnp.where(greedy, 1.0, temperature)
        # A sort of the vocabulary at every token is paid only by those who truncate.
        scaled_BV = jax.lax.cond(
            truncates, lambda x: truncated_logits(x, 1.0, top_k, top_p), lambda x: x, scaled_BV
        )
        keys = jax.vmap(jax.random.fold_in, (0, None))(key_B, i)
        sampled_B = jax.vmap(jax.random.categorical)(keys, scaled_BV)
        token_B = jnp.where(greedy, jnp.argmax(logits_BV, -1), sampled_B).astype(jnp.int32)
        logp_BV = jax.nn.log_softmax(scaled_BV)
        return token_B, jnp.take_along_axis(logp_BV, token_B[:, None], 1)[:, 0]

    def is_stop(token_B):
        return jnp.isin(token_B, jnp.asarray(stop_ids, jnp.int32))

    position_BT = jnp.broadcast_to(jnp.arange(T), (B, T))
    cache = empty_cache(cfg, B, T + max_new_tokens)
    hidden_BTD, cache = cached_hidden_states(cfg, params, token_BT, position_BT, cache, length_B)
    last_BD = jnp.take_along_axis(hidden_BTD, (length_B - 1)[:, None, None], axis=1)[:, 0]
    token_B, logp_B = draw(last_BD, 0)
    zeros_BN = jnp.zeros((B, max_new_tokens), jnp.int32)
    out_BN = zeros_BN.at[:, 0].set(token_B)
    logp_BN = zeros_BN.astype(jnp.float32).at[:, 0].set(logp_B)
    count_B = jnp.ones(B, jnp.int32)

    def unfinished(state):
        i, _, done_B, *_ = state
        return (i < max_new_tokens) & ~jnp.all(done_B)

    def one_token(state):
        i, token_B, done_B, cache, out_BN, logp_BN, count_B = state
        position_B1 = (length_B + i - 1)[:, None]
        hidden_BTD, cache = cached_hidden_states(cfg, params, token_B[:, None], position_B1, cache)
        token_B, logp_B = draw(hidden_BTD[:, 0], i)
        out_BN = out_BN.at[:, i].set(jnp.where(done_B, 0, token_B))
        logp_BN = logp_BN.at[:, i].set(jnp.where(done_B, 0, logp_B))
        count_B += ~done_B
        return i + 1, token_B, done_B | is_stop(token_B), cache, out_BN, logp_BN, count_B

    done_B = is_stop(token_B) | ~real_B
    state = (1, token_B, done_B, cache, out_BN, logp_BN, count_B)
    _, _, _, _, out_BN, logp_BN, count_B = jax.lax.while_loop(unfinished, one_token, state)
    last_B = jnp.take_along_axis(out_BN, (count_B - 1)[:, None], axis=1)[:, 0]
    return out_BN, logp_BN, count_B, is_stop(last_B)
