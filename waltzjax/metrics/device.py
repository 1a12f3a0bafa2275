"""Memory and utilisation of the devices, read without a word to them."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax

GIB = 2**30
SAMPLE_S = 1.0  # between readings of utilisation; NVIDIA's driver averages over up to a second


def memory() -> dict[str, float]:
    """``device/memory_gib``, the most that any of this process's devices has held by now, and
    ``device/memory_share`` of what it may hold, in [0, 1]. Where devices report none, of CPUs, it
    is the process's resident memory and its share of the machine's."""
    stats = [s for d in jax.local_devices() if (s := d.memory_stats())]
    peak = max((s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s), default=0)
    limit = max((s.get("bytes_limit", 0) for s in stats), default=0)
    if not peak:
        unit = 1 if sys.platform == "darwin" else 1024  # of what getrusage counts in
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    share = {"device/memory_share": peak / limit} if limit else {}
    return {"device/memory_gib": peak / GIB, **share}


class Utilization:
    """How busy this process's NVIDIA devices are, sampled on a thread; a context. Without such a
    device, or without ``nvidia-ml-py``, it has nothing to say."""

    def __init__(self) -> None:
        self._lock, self._over = threading.Lock(), threading.Event()
        self._total, self._count = 0.0, 0
        self._nvml: Any = None
        self._handles: list[Any] = []

    def figures(self) -> dict[str, float]:
        """``device/utilization``: the mean since it was asked before, in [0, 1]."""
        with self._lock:
            total, count = self._total, self._count
            self._total, self._count = 0.0, 0
        return {"device/utilization": total / count} if count else {}

    def sample(self) -> None:
        """Take one reading of every device."""
        shares = [self._nvml.nvmlDeviceGetUtilizationRates(h).gpu / 100 for h in self._handles]
        with self._lock:
            self._total += sum(shares) / len(shares)
            self._count += 1

    def _run(self) -> None:
        # A device in parts (MIG) has no such figure, a driver may stop answering: no figure then.
        with contextlib.suppress(self._nvml.NVMLError):
            while not self._over.wait(SAMPLE_S):
                self.sample()

    def __enter__(self) -> Self:
        numbers = [d.local_hardware_id for d in jax.local_devices() if d.platform == "gpu"]
        if not numbers:
            return self
        try:
            import pynvml  # the module of nvidia-ml-py
        except ImportError:
            return self
        self._nvml = pynvml
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._handles = handles(pynvml, numbers, os.environ)
            threading.Thread(target=self._run, name="utilization", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()


def handles(nvml: Any, numbers: Sequence[int], environment: Mapping[str, str]) -> list[Any]:
    """The driver's devices of those that CUDA counts as ``numbers``: CUDA_VISIBLE_DEVICES says
    which these are, by number or by UUID."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",") if name.strip()]
    chosen = [names[n] if n < len(names) else str(n) for n in numbers]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(name)
        for name in chosen
    ]
