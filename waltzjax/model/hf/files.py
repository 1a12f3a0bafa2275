"""The safetensors files of a model's directory: written, and read a part at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
from safetensors.numpy import save_file

from waltzjax.model.hf.config import read_json

INDEX = "model.safetensors.index.json"
COMPARED_BYTES = 100_000_000  # of each of two tensors held at once
DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


class StoredTensor(NamedTuple):
    """A tensor of an open file, unread."""

    path: Path
    name: str
    slice: Any  # of safetensors

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.slice.get_shape())

    @property
    def dtype(self) -> str:
        """As the file has it: F32, F16, BF16, F64, or a type that is no float."""
        return self.slice.get_dtype()

    def read(self, index: Any, dtype: Any = None) -> np.ndarray:
        """A part of it, as ``dtype`` (None: its own). Raises as ``check_finite``, also for a number
        that ``dtype`` cannot hold."""
        array = self.slice[index]
        with np.errstate(over="ignore"):
            array = array if dtype is None else array.astype(dtype)
        check_finite(self.path, self.name, array)
        return array


def check_finite(path: Path, name: str, array: np.ndarray) -> None:
    """Raise ValueError if a tensor of the file ``path`` holds NaN or infinity: one such weight is
    enough to make every answer of the model NaN."""
    if not np.isfinite(array).all():
        raise ValueError(
            f"{path}: {name}: NaN or infinite numbers in {array.dtype}, allowed are finite ones; "
            "the training that left them has diverged, or the file is damaged: use an earlier one"
        )


def write_tensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A file of PyTorch's kind, as readable by others as any new file is: ``save_file`` alone
    leaves one that only its owner may read, which no other account could serve. Raises OSError,
    and as ``check_finite``."""
    for name, array in arrays.items():
        check_finite(path, name, array)
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(arrays, path, metadata={"format": "pt"})
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: {error}") from error
    path.chmod(mode)


def open_tensors(directory: Path, stack: contextlib.ExitStack) -> dict[str, StoredTensor]:
    """Every tensor of the directory, unread; ``stack`` closes their files."""
    files = ["model.safetensors"]
    if not (directory / files[0]).is_file():
        if not (directory / INDEX).is_file():
            raise FileNotFoundError(f"{directory}: no weights, neither {files[0]} nor {INDEX}")
        where = read_json(directory / INDEX).get("weight_map")
        if not isinstance(where, dict) or not all(isinstance(f, str) for f in where.values()):
            raise ValueError(f"{directory / INDEX}: weight_map has to name a file for each tensor")
        files = sorted(set(where.values()))
    if absent := [name for name in files if not (directory / name).is_file()]:
        raise FileNotFoundError(f"{directory}: {INDEX} names files that are missing: {absent}")
    tensors: dict[str, StoredTensor] = {}
    for name in files:
        try:
            file = stack.enter_context(safetensors.safe_open(directory / name, "numpy"))
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{directory / name}: truncated, or no safetensors: {error}"
            ) from error
        keys = file.keys()  # an open file is no mapping: it cannot be iterated over
        tensors |= {key: StoredTensor(directory / name, key, file.get_slice(key)) for key in keys}
    return tensors


def is_derived(name: str) -> bool:
    """Whether a tensor follows from the config: older files hold rotary frequencies."""
    return name.endswith("rotary_emb.inv_freq")


def same_tensor(a: StoredTensor, b: StoredTensor) -> bool:
    """Whether two tensors of files are equal, read a part at a time."""
    if a.shape != b.shape:
        return False
    rows, width = a.shape
    step = max(1, COMPARED_BYTES // (8 * width))
    parts = [slice(first, min(first + step, rows)) for first in range(0, rows, step)]
    return all(np.array_equal(a.read(part), b.read(part)) for part in parts)


def stored_dtype(directory: Path) -> str:
    """The type that a model's weights are stored in: "bfloat16" or "float16" where all of them are,
    else "float32"."""
    with contextlib.ExitStack() as stack:
        tensors = open_tensors(Path(directory), stack)
        kinds = {tensor.dtype for name, tensor in tensors.items() if not is_derived(name)}
    return DTYPES.get(kinds.pop(), "float32") if len(kinds) == 1 else "float32"
