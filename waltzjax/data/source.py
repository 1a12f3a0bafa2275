"""Batches from grain: shuffled anew each epoch, resumable at any step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grain
import numpy as np

from waltzjax.types import Problem, Prompt

Item = TypeVar("Item")


def steps_per_run(n_prompts: int, batch_size: int, epochs: int) -> int:
    """Batches in a run of ``epochs`` passes: only the very last partial batch is dropped."""
    return n_prompts * epochs // batch_size


def epoch_ends(n_prompts: int, batch_size: int, epochs: int) -> list[int]:
    """The batch, counted from 1, that each pass ends with."""
    return [steps_per_run(n_prompts, batch_size, epoch + 1) for epoch in range(epochs)]


def drawn(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Up to ``count`` of the items (0: all), at random, in their order."""
    order = np.random.default_rng(seed).permutation(len(items))
    return [items[i] for i in sorted(order[: count or None])]


class Batches(Iterator[list[Any]]):
    """Lists of ``items``, whose ``names`` tell them from others'. One consumer at a time; no thread
    or process behind it. See ``prompt_batches``."""

    def __init__(
        self,
        items: Sequence[Any],
        names: Sequence[str],
        *,
        batch_size: int,
        seed: int,
        epochs: int | None,
    ) -> None:
        self._items = items
        digest = hashlib.sha256("\n".join(names).encode())
        # What, besides the position, decides the batches to come. Not epochs: a longer run
        # begins with the same batches.
        self._identity: dict[str, int | str] = {
            "seed": seed,
            "batch_size": batch_size,
            "items": digest.hexdigest(),
        }
        batches = (
            grain.MapDataset.source(range(len(items)))  # indices only: no copy of the items
            .seed(seed)
            .shuffle()
            .repeat(epochs)  # after shuffle: each epoch in its own order
            .batch(batch_size, drop_remainder=True, batch_fn=list)
        )
        # Everything is in memory: reading in the calling thread is the fastest, and cannot hang.
        options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        self._indices = iter(batches.to_iter_dataset(options))
        self._n_batches = len(batches)

    def __next__(self) -> list[Any]:
        return [self._items[i] for i in next(self._indices)]

    def get_state(self) -> dict[str, int | str]:
        """The position, as JSON: ``next_index`` is the number of batches already given."""
        return {"next_index": self._indices.get_state()["next_index"]} | self._identity

    def set_state(self, state: Mapping[str, int | str]) -> None:
        """Moves to the position of a ``get_state``, of this or an earlier process.

        Raises ValueError if ``state`` came from other items, seed or batch size, which would
        give other batches in silence, or lies outside this run.
        """
        for key, mine in self._identity.items():
            if state.get(key) != mine:
                raise ValueError(
                    f"state[{key!r}]: got {state.get(key)!r}, this run has {mine!r}; resume with "
                    "the data, seed and batch size of the saved run, or start afresh"
                )
        index = state.get("next_index")
        if type(index) is not int or not 0 <= index <= self._n_batches:
            raise ValueError(
                f"state['next_index']: got {index!r}, must be an integer in "
                f"[0, {self._n_batches}]; raise epochs to continue a finished run"
            )
        self._indices.set_state({"next_index": index})


def prompt_batches(
    prompts: Sequence[Prompt | Problem], *, batch_size: int, seed: int, epochs: int | None
) -> Batches:
    """Batches of exactly ``batch_size`` prompts; each epoch gives every prompt once.

    An epoch that does not fill its last batch carries over: that batch is completed from the next
    epoch, and so may hold a prompt twice. A run has ``steps_per_run(...)`` batches.

    Args:
      prompts: at least one; held by reference, not to be changed during the run.
      batch_size: prompts a batch, 1 or more.
      seed: 0 or more; the same seed gives the same batches on every machine.
      epochs: passes over the prompts, 1 or more; None never ends.

    Raises ValueError for an argument outside its range, and for a run of no batch.
    """
    if not prompts:
        raise ValueError("prompts: got none, must be at least one; check the dataset's path")
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name}: got {value}, must be {least} or more")
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs: got {epochs}, must be 1 or more, or None for no end")
    if epochs is not None and not steps_per_run(len(prompts), batch_size, epochs):
        raise ValueError(
            f"batch_size: got {batch_size}, must be at most prompts * epochs = "
            f"{len(prompts) * epochs}, or the run has no batch; lower it or raise epochs"
        )
    names = [repr((p.id, p.text)) for p in prompts]
    return Batches(prompts, names, batch_size=batch_size, seed=seed, epochs=epochs)
