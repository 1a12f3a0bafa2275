"""One run over several processes: who writes, and how all keep step.

Every process runs the same program on the same numbers, on a file system they share; process 0
alone writes files and speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def join_run(coordinator: str, count: int, index: int) -> None:
    """Become one of the run's processes; before anything else asks jax for a device.

    Args:
      coordinator: "host:port" of process 0; "" with count 0 and index -1 leaves all three to what
        jax finds out from SLURM, Open MPI or Kubernetes.
      count: how many processes there are.
      index: this one's number, from 0.

    Raises:
      ValueError: nothing says who the others are, or only a part was given.
    """
    given = (bool(coordinator), count > 0, index >= 0)
    if any(given) and not all(given):
        raise ValueError(
            f"--coordinator, --processes, --process: got {coordinator!r}, {count}, {index}; give "
            "all three, or none where SLURM, Open MPI or Kubernetes starts the processes"
        )
    if all(given) and index >= count:
        raise ValueError(f"--process: got {index}, allowed are 0 to {count - 1} (--processes)")
    # Its handler would swallow every SIGTERM; the loop has one of its own (support.signals).
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(*((coordinator, count, index) if all(given) else ()))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--distributed: this process could not join the others ({error}); where no SLURM, "
            "Open MPI or Kubernetes starts them, give --coordinator, --processes and --process"
        ) from error


def alone() -> bool:
    """Whether the run is this one process."""
    return jax.process_count() == 1


def writes() -> bool:
    """Whether this process writes the run's files."""
    return jax.process_index() == 0


def writing(begin: Callable[[], AbstractContextManager[Any]]) -> AbstractContextManager[Any]:
    """``begin()`` where this process writes; elsewhere a context that yields None."""
    return begin() if writes() else nullcontext()


def wait(what: str) -> None:
    """Return once every process is here: what process 0 has written can be read."""
    if not alone():
        multihost_utils.sync_global_devices(what)


def largest(value: int) -> int:
    """The largest of the processes' values, the same in all of them."""
    if alone():
        return value
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def from_first(array: np.ndarray) -> np.ndarray:
    """The first process's array, in all of them; those of the others have its shape."""
    return array if alone() else np.asarray(multihost_utils.broadcast_one_to_all(array))


@lru_cache
def _gather(mesh: Mesh):
    return jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, P()))


def fetch(array: jax.Array) -> np.ndarray:
    """The whole of an array that may lie on several processes' devices; all take part."""
    if not array.is_fully_addressable and not array.is_fully_replicated:
        assert isinstance(array.sharding, NamedSharding)
        array = _gather(array.sharding.mesh)(array)
    return np.asarray(array)
