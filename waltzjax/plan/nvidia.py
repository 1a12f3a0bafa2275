"""NVIDIA GPUs of this machine, whether jax uses them or not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

DRIVER = Path("/proc/driver/nvidia/version")
QUERY = ("nvidia-smi", "--query-gpu=driver_version,name,memory.total,memory.used",
         "--format=csv,noheader,nounits")  # fmt: skip
LIMIT_S = 20.0


class Nvidia(NamedTuple):
    """What the driver tells; memory in MiB, a GPU each."""

    driver: str  # "580.65.06"; "": it does not tell
    names: tuple[str, ...] = ()
    total_mib: tuple[int, ...] = ()
    used_mib: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        kinds = ", ".join(f"{self.names.count(n)} x {n}" for n in dict.fromkeys(self.names))
        return f"{kinds or 'an NVIDIA GPU'}, driver {self.driver or 'unknown'}"


def nvidia() -> Nvidia | None:
    """The GPUs by nvidia-smi, which every driver brings, else by the driver's own file; None:
    there is neither."""
    if shutil.which(QUERY[0]):
        try:
            done = subprocess.run(QUERY, capture_output=True, text=True, timeout=LIMIT_S)
        except (OSError, subprocess.TimeoutExpired):
            return Nvidia("")
        rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 3]
        if done.returncode == 0 and rows:
            drivers, names, total, used = zip(*rows, strict=True)
            return Nvidia(drivers[0], names, _mib(total), _mib(used))
    if DRIVER.is_file():
        match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", DRIVER.read_text())
        return Nvidia(match[1] if match else "")
    return None


def _mib(texts: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(text) if text.isdigit() else 0 for text in texts)
