"""Continuous batching: requests come and go while the batch goes on.

An ``Engine`` holds the compiled programs; a ``Session`` the weights, the cache and the requests of
one rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from waltzjax.engine.batches import piece_arrays
from waltzjax.engine.requests import Request, Sampling, Tokens
from waltzjax.engine.session import Session
from waltzjax.engine.shape import EngineShape
from waltzjax.model import sharding
from waltzjax.model.decode import generation_params


class Engine(EngineShape):
    """Generates with models of one architecture; see ``EngineShape`` for the arguments."""

    def session(self, models: Mapping[str, Any]) -> Session:
        """Ready for requests to any of ``models``, parameters by name."""
        return Session(self, models)

    def generate(
        self,
        params: Any,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Tokens]:
        """One result a prompt, in order.

        Raises:
          ValueError: a request that cannot be served, before any is; or at once when one fails on
            its way. A ``session`` goes on with the others.
        """
        requests = [
            Request(i, "model", tuple(prompt), sampling, seed)
            for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        for request in requests:
            try:
                self.checked(request, ("model",))
            except ValueError as error:
                raise ValueError(f"prompt {request.id}: {error}") from None
        results = {}
        with self.session({"model": params}) as session:
            for request in requests:
                session.submit(request)
            for number, result in session.finished():
                if result.finish_reason == "error":
                    raise ValueError(f"prompt {number}: {result.error}")
                results[number] = result
        return [results[i] for i in range(len(prompts))]

    def warm_up(self, models: Mapping[str, Any], *, guesses: bool = False) -> None:
        """Compile every program that requests to these models can need, with ``guesses`` also those
        for requests that have some."""
        with self.session(models) as session:
            session.compile(guesses)

    def generation_shapes(self, params: Any) -> Any:
        """The weights of a session for abstract parameters."""
        return generation_params(self.cfg, self.mesh, {"model": params})["model"]

    def lower(self, params: Any) -> dict[str, Any]:
        """The two large programs at their widest, for abstract parameters."""
        params, cache = self.generation_shapes(params), jax.eval_shape(self.programs.new_cache)
        where = sharding.rows_sharding(self.mesh)

        def rows(arrays: Any) -> Any:
            return jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), arrays
            )

        groups: list[list] = [[]] * self.groups
        drawn = self.row_arrays(groups, self.slots, ())
        texts = piece_arrays(groups, self.prefill_widths[0], self.page_size, self.table)
        return {
            "decode": self.programs.decode.lower(
                params, cache, rows(drawn), np.int32(1), np.int32(0)
            ),
            "prefill": self.programs.prefill.lower(params, cache, *rows(texts)),
        }
