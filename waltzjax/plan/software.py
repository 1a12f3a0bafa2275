"""Installed software, as the doctor looks at it: versions, extras, the CUDA plugin's parts."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterator
from importlib import metadata

from ml_collections import ConfigDict
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from waltzjax.plan.doctor_line import FAIL, OK, WARN, Line
from waltzjax.plan.nvidia import Nvidia

SHOWN = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers")
PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
LEAST_DRIVER = {12: "525.60.13", 13: "580"}  # of Linux, by CUDA's major version, says NVIDIA
# Packages that a config needs and the base installation lacks: when, import, extra.
EXTRAS: tuple[tuple[str, Callable[[ConfigDict], bool], str, str], ...] = (
    ("config.judge.url", lambda c: bool(c.judge.url), "openai", "judge"),
    ("config.metrics.writers", lambda c: "wandb" in c.metrics.writers, "wandb", "wandb"),
    ("config.metrics.writers", lambda c: "trackio" in c.metrics.writers, "trackio", "trackio"),
)


def versions() -> Iterator[Line]:
    """Python, the packages of SHOWN and all others that are required, against their ranges."""
    try:
        own = metadata.metadata("waltzjax")
    except metadata.PackageNotFoundError:
        yield Line(
            "versions",
            WARN,
            "waltzjax is a checkout that is not installed: no ranges known",
            "pip install -e .",
        )
        return
    wanted = SpecifierSet(own["Requires-Python"] or "")
    yield _in_range("python", platform.python_version(), wanted, "take another interpreter")
    ranges = {r.name: r.specifier for r in _required("waltzjax")}
    ranges |= {r.name: r.specifier for r in _required("jax") if r.name == "jaxlib"}
    lines = {name: _package(name, range_) for name, range_ in ranges.items()}
    yield from (lines.pop(name) for name in SHOWN if name in lines)
    bad = [line for line in lines.values() if line.status != OK]
    yield from bad or [Line("other packages", OK, f"all {len(lines)} in their ranges")]


def _required(package: str, extra: str = "") -> list[Requirement]:
    """What ``package`` requires here; with ``extra`` what that one adds."""
    try:
        texts = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    parsed = [Requirement(text) for text in texts]
    plain = [r for r in parsed if not r.marker or r.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [
        r for r in parsed if r not in plain and r.marker and r.marker.evaluate({"extra": extra})
    ]


def installed(package: str) -> str:
    """Its version; "": it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _package(name: str, wanted: SpecifierSet) -> Line:
    install = f'pip install "{name}{wanted}"'
    got = installed(name)
    if not got:
        return Line(name, FAIL, f"not installed, wanted is {wanted}", install)
    return _in_range(name, got, wanted, install)


def _in_range(name: str, got: str, wanted: SpecifierSet, remedy: str) -> Line:
    if wanted.contains(Version(got), prereleases=True):
        return Line(name, OK, f"{got} ({wanted or 'any'})")
    return Line(name, FAIL, f"{got}, tested and allowed is {wanted}", remedy)


def extras(config: ConfigDict) -> Iterator[Line]:
    """The optional packages that ``config`` needs."""
    needed = [(key, module, extra) for key, when, module, extra in EXTRAS if when(config)]
    for key, module, extra in needed:
        if importlib.util.find_spec(module):
            yield Line(f"extra {extra}", OK, f"{module} is there, for {key}")
        else:
            yield Line(
                f"extra {extra}",
                FAIL,
                f"{key} needs {module}, which is not installed",
                f'pip install "waltzjax[{extra}]"',
            )
    if not needed:
        yield Line("extras", OK, "this config needs none")


def cuda(gpu: Nvidia | None, backend: str) -> Iterator[Line]:
    """Whether jax uses the NVIDIA GPUs ``gpu`` of this machine (None: it has none), and whether
    driver, plugin and the plugin's libraries go together; ``backend`` is jax's: "cpu", "gpu"."""
    plugins = {name: version for name in PLUGINS if (version := installed(name))}
    if gpu is None:
        if backend == "cpu":
            yield Line("CUDA", OK, "no NVIDIA GPU on this machine; jax computes on its CPU")
        return
    major = max((m for m, least in LEAST_DRIVER.items() if _newer(gpu.driver, least)), default=12)
    extra = f'pip install "waltzjax[cuda{major}]"'
    if backend != "gpu":
        why = "the CUDA plugin of jax is not installed"
        if plugins:
            why = f"though {', '.join(f'{n} {v}' for n, v in plugins.items())} is installed"
            extra = (
                "unset JAX_PLATFORMS and CUDA_VISIBLE_DEVICES where they hide GPUs, or install "
                f"the plugin anew: {extra}"
            )
        yield Line("CUDA", FAIL, f"{gpu.text}, but jax computes on {backend}: {why}", extra)
    jaxlib = installed("jaxlib")
    for name, version in plugins.items():
        cuda_major = int(name.removeprefix("jax-cuda").partition("-")[0])
        least = LEAST_DRIVER[cuda_major]
        if version != jaxlib:
            yield Line(
                name,
                FAIL,
                f"{version}, but jaxlib is {jaxlib}: they are released together",
                f'pip install "jax[cuda{cuda_major}]=={jaxlib}"',
            )
        elif gpu.driver and not _newer(gpu.driver, least):
            yield Line(
                name,
                FAIL,
                f"driver {gpu.driver} is too old for CUDA {cuda_major}",
                f"install a driver >= {least}" + (f", or {extra}" if major < cuda_major else ""),
            )
        else:
            yield Line(name, OK, f"{version}, as jaxlib; {gpu.text}")
        yield _libraries(name, cuda_major)


def _libraries(plugin: str, major: int) -> Line:
    """CUDA's and cuDNN's wheels against the ranges that the plugin names."""
    wheels = _required(plugin, "with-cuda")
    there = {r.name: installed(r.name) for r in wheels}
    shown = ", ".join(f"{n} {v}" for n, v in there.items() if "cudnn" in n and v)
    if wheels and not any(there.values()):
        return Line(
            "CUDA libraries",
            WARN,
            "none of the plugin's wheels is there: the system's are used",
            f'pip install "jax[cuda{major}]" brings those that it was built with',
        )
    bad = [
        f"{r.name} {there[r.name] or 'missing'} ({r.specifier})"
        for r in wheels
        if not (there[r.name] and r.specifier.contains(there[r.name], prereleases=True))
    ]
    if bad:
        return Line(
            "CUDA libraries", FAIL, ", ".join(bad), f'pip install --upgrade "jax[cuda{major}]"'
        )
    return Line("CUDA libraries", OK, f"{len(there)} wheels in the plugin's ranges, {shown}")


def _newer(driver: str, least: str) -> bool:
    return bool(driver) and Version(driver) >= Version(least)
