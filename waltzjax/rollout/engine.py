"""Continuous batching: requests come and go while the batch goes on.

An ``Engine`` holds the compiled programs; a ``Session`` the weights, the cache and the requests of
one rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.decode import generation_params
from waltzjax.rollout.batches import piece_arrays, row_arrays
from waltzjax.rollout.programs import Programs
from waltzjax.rollout.requests import MAX_STOP_IDS, Request, Sampling, Tokens, checked
from waltzjax.rollout.schedule import Row
from waltzjax.rollout.session import Session

PAGE_SIZE = 32  # positions; a text's last page is half empty on average
STEPS = 16  # tokens a row that the device may draw before the host looks
NARROWEST = 4  # rows; a batch of fewer takes as long, reading the same weights
PREFILL_PIECES = 16  # pages of text, at least, that one call may cache in a group

T = TypeVar("T")


class Engine:
    """Generates with models of one architecture.

    Args:
      cfg: the architecture.
      mesh: rows lie along data and fsdp, key/value heads along tensor.
      stop_ids: tokens that end a request, unless it names others.
      slots: requests decoded at a time, over the whole mesh.
      cache_tokens: tokens whose keys and values the cache holds, over the whole mesh; requests
        share them as they need them, and wait when there are none left.
      decode: tokens to text, for requests with stop strings.
      steps: tokens a row that are drawn before the host looks, at most.
    """

    def __init__(
        self, cfg: ModelConfig, mesh: Mesh, stop_ids: Sequence[int], *, slots: int,
        cache_tokens: int, decode: Callable[[Sequence[int]], str] | None = None,
        steps: int = STEPS, page_size: int = PAGE_SIZE,
    ):  # fmt: skip
        if slots < 1 or not 1 <= steps <= page_size or len(stop_ids) > MAX_STOP_IDS:
            raise ValueError(
                f"slots, steps and stop_ids: got {slots}, {steps} and {len(stop_ids)} of them, "
                f"allowed are >= 1, 1 to {page_size} and at most {MAX_STOP_IDS}"
            )
        self.groups = sharding.row_groups(mesh)
        self.cfg, self.mesh, self.stop_ids, self.decode = cfg, mesh, tuple(stop_ids), decode
        self.slots, self.steps, self.page_size = -(-slots // self.groups), steps, page_size
        self.pages = cache_tokens // (page_size * self.groups)
        self.longest = min(cfg.max_positions, self.pages * page_size)
        if self.longest < 1:
            raise ValueError(
                f"cache_tokens: got {cache_tokens}, allowed is >= {page_size * self.groups}: "
                f"a page of {page_size} for each of {self.groups} groups of devices"
            )
        self.table = -(-self.longest // page_size)
        self.programs = Programs(
            cfg, mesh, pages=self.pages, page_size=page_size, most_steps=steps
        )  # fmt: skip

    def session(self, models: Mapping[str, Any]) -> Session:
        """Ready for requests to any of ``models``, parameters by name."""
        return Session(self, models)

    def generate(
        self, params: Any, prompts: Sequence[Sequence[int]], sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Tokens]:  # fmt: skip
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

    def checked(self, request: Request, models: Iterable[str]) -> Request:
        """A request to one of these models in Python's own types; ValueError says why it cannot be
        served."""
        return checked(
            request, longest=self.longest, vocabulary=self.cfg.vocab_size, models=tuple(models),
            decodes=self.decode is not None,
        )  # fmt: skip

    def warm_up(self, models: Mapping[str, Any]) -> None:
        """Compile every program that requests to these models can need."""
        with self.session(models) as session:
            session.compile()

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

    @property
    def decode_widths(self) -> list[int]:
        """Rows of a group that a batch to decode may have: all slots, halves of that down to
        ``NARROWEST``."""
        widths = [self.slots]
        while widths[-1] > NARROWEST:
            widths.append(-(-widths[-1] // 2))
        return widths

    @property
    def prefill_widths(self) -> list[int]:
        """Pieces of a group that may be cached together."""
        widths = [max(self.slots, PREFILL_PIECES)]
        while widths[-1] > 2:
            widths.append(-(-widths[-1] // 4))
        return widths

    @property
    def copy_widths(self) -> list[int]:
        """Pages of a group that may be copied together: little work, so one program will do."""
        return self.prefill_widths[:1]

    @staticmethod
    def batches(groups: Sequence[Sequence[T]], widths: Sequence[int]) -> Iterator[tuple[list, int]]:
        """Lists, one a group, in parts and their order; with each part, the width for it: at most
        half of a batch is padding, unless there is no such width."""
        start, count = 0, max(map(len, groups))
        while start < count:
            fit = [w for w in widths if w <= 2 * (count - start)]
            width = max(fit, default=min(widths))
            yield [some[start : start + width] for some in groups], width
            start += width

    def row_arrays(self, groups: Sequence[Sequence[Row]], width: int, stop_ids: Sequence[int]):
        """``batches.row_arrays`` for this engine's cache."""
        return row_arrays(groups, width, self.table, self.pages, self.page_size, stop_ids)

    def place(self, arrays: Any) -> Any:
        """Host arrays, one row after another, on the devices of their groups."""
        if self.mesh.size == 1:
            return arrays
        return sharding.place(arrays, sharding.rows_sharding(self.mesh))
