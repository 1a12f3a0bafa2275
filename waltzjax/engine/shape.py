"""Capacities of an engine and its compiled programs: all that a session asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from jax.sharding import Mesh

from waltzjax.engine.batches import row_arrays
from waltzjax.engine.programs import Programs
from waltzjax.engine.requests import MAX_STOP_IDS, Request, checked
from waltzjax.engine.scheduler import SequenceState
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig

PAGE_SIZE = 32  # positions; a text's last page is half empty on average
STEPS = 16  # tokens a row that the device may draw before the host looks
NARROWEST = 4  # rows; a batch of fewer takes as long, reading the same weights
GUESSES = 7  # tokens that may be guessed and verified together; on a CPU each costs time of its own
PREFILL_PIECES = 16  # pages of text, at least, that one call may cache in a group

T = TypeVar("T")


class EngineShape:
    """Slots, pages and programs for models of one architecture.

    Args:
      cfg: the architecture.
      mesh: rows lie along data and fsdp, key/value heads along tensor.
      stop_ids: tokens that end a request, unless it names others.
      max_num_seqs: requests decoded at a time, over the whole mesh.
      cache_tokens: tokens whose keys and values the cache holds, over the whole mesh; requests
        share them as they need them, and wait when there are none left.
      decode: tokens to text, for requests with stop strings.
      steps: tokens a row that are drawn before the host looks, at most.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        mesh: Mesh,
        stop_ids: Sequence[int],
        *,
        max_num_seqs: int,
        cache_tokens: int,
        decode: Callable[[Sequence[int]], str] | None = None,
        steps: int = STEPS,
        page_size: int = PAGE_SIZE,
    ):
        if max_num_seqs < 1 or not 1 <= steps <= page_size or len(stop_ids) > MAX_STOP_IDS:
            raise ValueError(
                f"max_num_seqs, steps and stop_ids: got {max_num_seqs}, {steps} and "
                f"{len(stop_ids)} of them, allowed are >= 1, 1 to {page_size} and at most "
                f"{MAX_STOP_IDS}"
            )
        self.groups = sharding.row_groups(mesh)
        self.cfg, self.mesh, self.stop_ids, self.decode = cfg, mesh, tuple(stop_ids), decode
        self.slots, self.steps, self.page_size = -(-max_num_seqs // self.groups), steps, page_size
        self.pages = cache_tokens // (page_size * self.groups)
        self.longest = min(cfg.max_positions, self.pages * page_size)
        if self.longest < 1:
            raise ValueError(
                f"cache_tokens: got {cache_tokens}, allowed is >= {page_size * self.groups}: "
                f"a page of {page_size} for each of {self.groups} groups of devices"
            )
        self.table = -(-self.longest // page_size)
        self.programs = Programs(cfg, mesh, pages=self.pages, page_size=page_size, most_steps=steps)

    def checked(self, request: Request, models: Iterable[str]) -> Request:
        """A request to one of these models in Python's own types; ValueError says why it cannot be
        served."""
        return checked(
            request,
            longest=self.longest,
            vocabulary=self.cfg.vocab_size,
            models=tuple(models),
            decodes=self.decode is not None,
        )

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
            yield [group[start : start + width] for group in groups], width
            start += width

    def row_arrays(
        self, groups: Sequence[Sequence[SequenceState]], width: int, stop_ids: Sequence[int]
    ):
        """``batches.row_arrays`` for this engine's cache."""
        return row_arrays(groups, width, self.table, self.pages, self.page_size, stop_ids)

    def place(self, arrays: Any) -> Any:
        """Host arrays, one row after another, on the devices of their groups."""
        if self.mesh.size == 1:
            return arrays
        return sharding.place(arrays, sharding.rows_sharding(self.mesh))
