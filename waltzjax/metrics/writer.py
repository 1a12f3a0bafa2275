"""The one writer of a run's figures, under clu's method names.

Every step is in ``metrics.jsonl`` before ``write_scalars`` returns. The other backends, those of
``BACKENDS`` that the config chooses, get it on threads of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from waltzjax.metrics.background import CLOSE_S, Backend, Background
from waltzjax.metrics.records import MetricsFile
from waltzjax.metrics.run_info import RunInfo


class BackendEntry(NamedTuple):
    """A backend: the module and class, the package and extra it needs, and the function that ends
    what would outlive it; "" where there is none."""

    module: str
    name: str
    package: str = ""
    extra: str = ""
    abandon: str = ""


BACKENDS = {
    "tensorboard": BackendEntry("tensorboard", "TensorBoard", "tensorboardX"),
    "wandb": BackendEntry(
        "weights_and_biases", "WeightsAndBiases", "wandb", "wandb", "end_uploads"
    ),
    "trackio": BackendEntry("trackio_board", "Trackio", "trackio", "trackio"),
    "prometheus": BackendEntry("prometheus", "Prometheus"),
}


def _is_installed(package: str) -> bool:
    """Whether it can be imported: a folder of its name, which wandb leaves where it ran, is not
    it."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def check_installed(names: Sequence[str]) -> None:
    """Raise ImportError where a backend's package is missing; it says what to install."""
    for name in names:
        entry = BACKENDS[name]
        if entry.package and not _is_installed(entry.package):
            wanted = f"'waltzjax[{entry.extra}]'" if entry.extra else entry.package
            raise ImportError(
                f"config.metrics.writers: got {name!r}, but {entry.package} is not installed: "
                f"pip install {wanted}, or leave {name!r} out"
            )


def _begin(name: str, run: RunInfo) -> Backend:
    entry = BACKENDS[name]
    return getattr(import_module(f"waltzjax.metrics.{entry.module}"), entry.name)(run)


def _abandon(name: str) -> None:
    entry = BACKENDS[name]
    if entry.abandon:
        getattr(import_module(f"waltzjax.metrics.{entry.module}"), entry.abandon)()


class MetricWriter:
    """Scalars, texts and hyperparameters of one stage of a run.

    ``names``: the backends besides ``metrics.jsonl``; ``say`` is told of one that fails.
    """

    def __init__(self, run: RunInfo, names: Sequence[str], say: Callable[[str], None]) -> None:
        self._file = MetricsFile(run.workdir, run.stage, run.resume_step)

        self.others = [
            Background(name, partial(_begin, name, run), say, abandon=partial(_abandon, name))
            for name in names
        ]

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """One record; a value that is not finite (nothing was counted) is left out.

        Raises:
          OSError: ``metrics.jsonl`` cannot be written.
        """
        finite = {k: float(v) for k, v in scalars.items() if math.isfinite(v)}
        self._file.write(step, finite)
        self._call("write_scalars", step, finite)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Texts by name, for backends that show them."""
        if texts:
            self._call("write_texts", step, dict(texts))

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """What the stage runs with, by dotted name."""
        self._call("write_hparams", dict(hparams))

    def flush(self) -> None:
        """Have backends hand on what they hold; ``metrics.jsonl`` holds nothing back."""
        self._call("flush")

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Close all; wait for each of the others at most ``timeout_s`` seconds."""
        try:
            self._file.close()
        finally:  # a full disk must not keep the others from ending
            for other in self.others:
                other.close(timeout_s)

    def _call(self, method: str, *args: Any) -> None:
        for other in self.others:
            other.call(method, *args)
