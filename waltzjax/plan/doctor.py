"""The doctor: whether this machine can begin and end the run that a config describes.

    python -m waltzjax.plan --doctor --config=configs/stage2.py:tiny

Nothing is trained, nothing is left on disk. Without a config the machine alone is looked at.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from rich.console import Console
from rich.text import Text

from waltzjax.config.key import COLLECT_READS, EMBEDDED, TRAIN, WALTZ
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import config as hf_config
from waltzjax.plan import inputs, machine, software
from waltzjax.plan.doctor_line import FAIL, OK, WARN, Line
from waltzjax.plan.judge_line import judge_line
from waltzjax.plan.needs import needs
from waltzjax.plan.nvidia import nvidia
from waltzjax.recipes import readers, validate
from waltzjax.run.runtime import over_mesh, read_model_config
from waltzjax.support import console
from waltzjax.toy.base_model import embedded_model

RUNS = Path("runs")
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
STATUS_WIDTH, NAME_WIDTH = 6, 28  # cells of the first two columns


def examine(
    config: ConfigDict | None, workdir: Path = RUNS, *, collects: bool = False
) -> list[Line]:
    """Every line of the doctor's report; ``workdir``: where the run would write; ``collects``: the
    config is for waltzjax.collect, not for training."""
    return list(lines(config, workdir, collects=collects))


def lines(
    config: ConfigDict | None, workdir: Path = RUNS, *, collects: bool = False
) -> Iterator[Line]:
    """``examine``, a line as soon as it is known: some take seconds."""
    gpu = nvidia()  # first: jax takes most of a GPU's memory for itself
    yield from software.versions()
    try:
        backend = jax.default_backend()
    except RuntimeError as error:  # JAX_PLATFORMS names what cannot be had
        text = " ".join(str(error).split())
        yield Line("devices", FAIL, text, "correct or unset JAX_PLATFORMS; then ask again")
        return
    yield from software.cuda(gpu, backend)
    yield machine.device_line()
    needed, reads, mesh, cfg = None, frozenset[str](), None, None
    if config is not None:
        reads = COLLECT_READS if collects else readers(config)
        yield (rules := _config_line(config, reads))
        mesh_line, mesh = _mesh_line(config)
        yield mesh_line
        if mesh is not None and rules.status == OK:
            cfg = _model_config(config, reads, mesh)
            needed = needs(config, cfg, mesh, training=TRAIN in reads) if cfg else None
        if needed is None:
            text = "nobody knows how much memory and disk this config needs: not without its model"
            yield Line("needs", WARN, text, "fix the failed lines, then ask again")
    yield from machine.memory_lines(needed, gpu, machine.host_memory())
    yield machine.product_line(config.model.dtype if config is not None else "float32")
    yield machine.collective_line()
    if config is None:
        yield machine.disk_line(workdir, None)
        return
    yield machine.disk_line(workdir, needed, config.train.keep_checkpoints)
    yield from software.extras(config)
    if mesh is not None:
        yield from inputs.model_lines(config, reads, mesh, cfg)
    yield from inputs.data_lines(config, reads)
    if WALTZ in reads:
        yield judge_line(config)


def _config_line(config: ConfigDict, reads: frozenset[str]) -> Line:
    """Whether the config's rules hold."""
    try:
        validate(config, training=TRAIN in reads, reads=reads)
    except ValueError as error:
        return Line("config", FAIL, " ".join(str(error).split()), "correct the keys that it names")
    what = "for waltzjax.collect" if TRAIN not in reads else f"it trains {', '.join(config.stages)}"
    return Line("config", OK, f"its rules hold; {what}")


def _mesh_line(config: ConfigDict) -> tuple[Line, Mesh | None]:
    try:
        mesh = sharding.make_mesh(config.mesh)
    except ValueError as error:
        return Line("mesh", FAIL, str(error), "correct config.mesh, or add the devices"), None
    unused = len(jax.devices()) - mesh.size
    text = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    if unused:
        return (
            Line("mesh", WARN, f"{text}: {unused} devices stay idle", "config.mesh=(1, -1, 1)"),
            mesh,
        )
    return Line("mesh", OK, text), mesh


def _model_config(config: ConfigDict, reads: frozenset[str], mesh: Mesh) -> ModelConfig | None:
    """The base's architecture; None: it cannot be read, which a line of its own says."""
    if config.model.base == EMBEDDED:
        section = "embedded" if WALTZ in reads else "embedded_maths"
        return over_mesh(embedded_model(config, section), mesh)
    try:
        return over_mesh(read_model_config(config, hf_config.resolve(config.model.base)), mesh)
    except (OSError, ValueError):
        return None


def show(line: Line) -> None:
    """Print a line, wrapped where a terminal shows it, and what to do below it."""
    screen, indent = Console(highlight=False), " " * (STATUS_WIDTH + NAME_WIDTH)
    room = max(screen.width - len(indent), 40) if screen.is_terminal else 10_000
    rows = textwrap.wrap(line.text, room, break_on_hyphens=False) or [""]
    if line.remedy:
        rows += textwrap.wrap(f"-> {line.remedy}", room, break_on_hyphens=False)
    text = Text.assemble(
        (f"{line.status:<{STATUS_WIDTH}}", STYLES[line.status]),
        (f"{line.check:<{NAME_WIDTH - 1}} ", "bold"),
        f"\n{indent}".join(rows),
    )
    screen.print(text, soft_wrap=True)


def command(
    config: ConfigDict | None, workdir: Path, *, collects: bool = False, as_json: bool = False
) -> int:
    """The whole report on the screen, with ``as_json`` as one line of data after it; the exit
    status, 1 where a line is FAIL."""
    seen: list[Line] = []
    for line in lines(config, workdir, collects=collects):
        show(line)
        seen.append(line)
    count = {status: sum(line.status == status for line in seen) for status in STYLES}
    status = 1 if count[FAIL] else 0
    what = "this machine and config" if config is not None else "this machine"
    verdict = "can" if not status else "cannot"
    console.say(
        f"\n{what} {verdict} begin a run: {count[OK]} ok, {count[WARN]} warnings, "
        f"{count[FAIL]} to fix"
    )
    if as_json:
        console.say(json.dumps({"ok": not status, "lines": [line._asdict() for line in seen]}))
    return status
