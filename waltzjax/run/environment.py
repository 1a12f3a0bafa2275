"""Where and how a run was launched: command, commit, versions, devices."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import waltzjax
from waltzjax.support.files import write_json

FILE = "environment.json"
PACKAGES = ("waltzjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers",
            "numpy")  # fmt: skip
VARIABLES = ("XLA_", "JAX_", "LIBTPU_")  # beginnings of names that change how a program runs


def environment(devices: str, mesh: Mapping[str, int]) -> dict[str, str]:
    """By name, as people read it; ``devices`` in words, ``mesh``: devices of each axis."""
    found = {
        "command": _command(sys.orig_argv),
        "launched": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
        "commit": commit(Path(waltzjax.__file__).parent),
        "devices": devices,
        "mesh": ", ".join(f"{axis} {size}" for axis, size in mesh.items()),
        "Python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        **{k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }
    return {name: text for name, text in found.items() if text}


def write_environment(workdir: Path, devices: str, mesh: Mapping[str, int]) -> None:
    """Record this launch's in the place of the one before."""
    write_json(workdir / FILE, environment(devices, mesh))


def read_environment(workdir: Path) -> dict[str, str]:
    """That of the last launch; {}: none is recorded."""
    try:
        found = json.loads((workdir / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(text) for name, text in found.items()} if type(found) is dict else {}


def commit(directory: Path) -> str:
    """The commit that the code in ``directory`` is of, "-dirty" where it was changed since; "": it
    is in no repository, or there is no git."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _command(argv: list[str]) -> str:
    """The words of the command line, with Python by its bare name."""
    return shlex.join(["python" if i == 0 else word for i, word in enumerate(argv)])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
