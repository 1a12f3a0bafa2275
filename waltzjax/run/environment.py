"""Where and how a run was launched: command, commit, versions, devices."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from waltzjax.support.files import write_json

FILE = "environment.json"
PACKAGES = ("waltzjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers",
            "numpy")  # fmt: skip
VARIABLES = ("XLA_", "JAX_", "LIBTPU_")  # beginnings of names that change how a program runs


def environment(commit: str, devices: str, mesh: Mapping[str, int]) -> dict[str, str]:
    """By name, as people read it; ``devices`` in words, ``mesh``: devices of each axis."""
    named = {
        "command": _command(sys.orig_argv),
        "launched": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
        "commit": commit,
        "devices": devices,
        "mesh": ", ".join(f"{axis} {size}" for axis, size in mesh.items()),
        "Python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        **{k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }
    return {name: text for name, text in named.items() if text}


def write_environment(workdir: Path, commit: str, devices: str, mesh: Mapping[str, int]) -> None:
    """Record this launch's in the place of the one before."""
    write_json(workdir / FILE, environment(commit, devices, mesh))


def read_environment(workdir: Path) -> dict[str, str]:
    """That of the last launch; {}: none is recorded."""
    try:
        recorded = json.loads((workdir / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return (
        {str(name): str(text) for name, text in recorded.items()} if type(recorded) is dict else {}
    )


def _command(argv: list[str]) -> str:
    """The words of the command line, with Python by its bare name."""
    return shlex.join(["python" if i == 0 else word for i, word in enumerate(argv)])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
