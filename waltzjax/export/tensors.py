"""Every tensor of an exported agent beside the run's own: to the bit, or to one step of a type."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from waltzjax.model.hf import files, peft
from waltzjax.model.hf.weights import HEAD
from waltzjax.run.trainable import model_directory

ROWS_BYTES = 100_000_000  # of a tensor held at once, in float32
SUMS = 1e-6  # difference of float32 sums in another order, as a share of the largest weight


def other_tensors(exported: Path, agent: Path, base: Path) -> list[str]:
    """The tensors of ``exported`` that are missing, left over or not those of ``agent``, the run's
    own: a whole model, or an adapter of ``base``.

    A whole model has the run's numbers, rounded once to the type of its files; a copied adapter has
    the very tensors, and so has its base. A merged one's weights are added again, W + scale B A in
    float32; another machine may have added in another order, so one step of the type is allowed.
    """
    if not peft.is_adapter(agent):
        return _of_models(exported, agent)
    if not peft.is_adapter(exported):
        return _of_models(exported, base, Change(agent))
    beside = model_directory(exported)
    same = beside.resolve() == base.resolve()
    return _of_adapters(exported, agent) + ([] if same else _of_models(beside, base))


class Change:
    """What an adapter adds to the weights of its base."""

    def __init__(self, agent: Path) -> None:
        self._arrays = safetensors.numpy.load_file(agent / peft.WEIGHTS)
        self._scale = peft.read_lora(agent).scale

    def of(self, name: str, rows: slice) -> np.ndarray | None:
        """float32: rows of scale B A; None: the adapter leaves this weight alone."""
        module = f"base_model.model.{name.removesuffix('.weight')}"
        a, b = (self._part(f"{module}.{part}") for part in peft.PARTS.values())
        return None if a is None or b is None else np.float32(self._scale) * (b[rows] @ a)

    def _part(self, module: str) -> np.ndarray | None:
        names = (f"{module}.weight", f"{module}.default.weight")  # as PEFT's versions write it
        array = next((self._arrays[name] for name in names if name in self._arrays), None)
        return None if array is None else array.astype(np.float32)


def _of_adapters(exported: Path, agent: Path) -> list[str]:
    a, b = (safetensors.numpy.load_file(where / peft.WEIGHTS) for where in (exported, agent))
    return [
        name
        for name in sorted(a.keys() | b.keys())
        if name not in a
        or name not in b
        or a[name].dtype != b[name].dtype
        or not np.array_equal(a[name], b[name])
    ]


def _of_models(exported: Path, own: Path, change: Change | None = None) -> list[str]:
    with contextlib.ExitStack() as stack:
        got, wanted = (files.open_tensors(where, stack) for where in (exported, own))
        both = got.keys() & wanted.keys()
        # Files of tied embeddings may have the second name of the one tensor, or not.
        once = {n for n in got.keys() ^ wanted.keys() if n != HEAD and not files.is_derived(n)}
        checked = (n for n in both if not files.is_derived(n))
        return sorted(once.union(n for n in checked if not _same(got[n], wanted[n], change)))


def _same(got: files.StoredTensor, own: files.StoredTensor, change: Change | None) -> bool:
    """Whether ``got`` has the numbers of ``own``, with what ``change`` adds, in its own type."""
    if got.shape != own.shape:
        return False
    dtype = None if got.dtype == own.dtype else jnp.dtype(files.DTYPES.get(got.dtype, "float32"))
    for rows in _parts(own.shape):
        a, b = got.read(rows), own.read(rows, dtype)
        added = change.of(got.name, rows) if change else None
        near = np.array_equal(a, b) if added is None else _near(a, b.astype(np.float32) + added)
        if not near:
            return False
    return True


def _near(a: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether ``a`` is ``wanted`` in the type of ``a``, or one step of the type away."""
    step = float(jnp.finfo(a.dtype).eps) * np.abs(wanted)
    slack = SUMS * np.abs(wanted).max(initial=0)
    return bool((np.abs(a.astype(np.float32) - wanted) <= step + slack).all())


def _parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a tensor, a part at a time."""
    step = max(1, ROWS_BYTES // max(4 * int(np.prod(shape[1:])), 1))
    return (slice(first, min(first + step, shape[0])) for first in range(0, shape[0], step))
