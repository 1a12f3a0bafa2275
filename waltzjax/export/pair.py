"""A finished run written for strangers: its agents, their cards, what serves and checks them."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.data.chat import Chat
from waltzjax.export.agent import (
    BASE,
    Written,
    copy_files,
    needs_base,
    write_agent,
)
from waltzjax.export.base import Base, describe_base
from waltzjax.export.card import write_card
from waltzjax.export.contents import of_a_base
from waltzjax.export.measured import check_measured
from waltzjax.export.probes import (
    BOUNDS,
    EXACT,
    Probes,
    measure,
    probe_texts,
    write_probes,
)
from waltzjax.export.source import FLAG, Run, write_record
from waltzjax.export.sums import SUMS, digest, write_sums
from waltzjax.model import sharding
from waltzjax.model.hf import files, peft
from waltzjax.model.hf.config import read_config
from waltzjax.model.hf.weights import check_tensors
from waltzjax.run.recorded import recorded_config
from waltzjax.run.runtime import load_tokenizer, make_chat
from waltzjax.run.workdir import code_version
from waltzjax.support import console
from waltzjax.support.files import new_directory

MANIFEST, FORMAT_VERSION = "export.json", 1
PROBES = "probes"  # the directory of the agents' logits
OWN = ("checkpoints", "data", BASE)  # of a run, besides its agents: nothing is written into these

Phases = Callable[[str], AbstractContextManager[None]]


def export_run(run: Run, output: Path, dtype: str, *, merges: bool) -> None:
    """Write ``run`` to the new directory ``output``, whole or not at all.

    Args:
      dtype: of whole models' weights; "": as the run's files have them.
      merges: adapters are merged into their base, else they stay adapters.

    Raises:
      ValueError, FileNotFoundError, FileExistsError: found before anything is written.
      OSError: the disk is full or the like; nothing is left.
    """
    check_export(run, output, dtype, merges=merges)
    base = describe_base(run)
    beside = leaves_base(run, merges=merges)
    phases = numbered(3 * len(run.roles) + beside + 1)
    with new_directory(output) as directory:
        write_record(run, directory)
        if beside:
            with phases(f"copying the base, {run.base}"):
                (directory / BASE).mkdir()
                copy_files(of_a_base(run.base), directory / BASE)
        agents = {
            role: _write_role(role, run, base, directory, dtype, phases, merges=merges)
            for role in run.roles
        }
        with phases("checksums"):
            _write_manifest(directory, agents)
            write_sums(directory)
    say_summary(output, agents)


def leaves_base(run: Run, *, merges: bool) -> bool:
    """Whether an export of the run has the base beside its agents, which cannot do without."""
    return not merges and any(needs_base(run.workdir / role) for role in run.roles)


def numbered(total: int) -> Phases:
    """Phases on the screen as "[k/total] what"."""
    count = itertools.count(1)
    return lambda text: console.phase(f"[{next(count)}/{total}] {text}")


def _write_role(
    role: str, run: Run, base: Base, directory: Path, dtype: str, phases: Phases, *, merges: bool
) -> Written:
    """Write one agent, the logits that the run's own has, its card and its checksums."""
    source, target = run.workdir / role, directory / role
    with phases(f"writing {role}"):
        written = write_agent(source, run.base, target, dtype, merges=merges)
        copy_files(base.files, target)
    chat = _chat(run, source, directory)
    with phases(f"logits of the run's own {role}"):
        mesh = sharding.make_mesh((1, -1, 1))
        ids = chat.encode(probe_texts(role, chat))
        logits_PV = measure(source, run.base, mesh, ids)
        if not np.isfinite(logits_PV).all():
            raise ValueError(f"{FLAG}: {source}: its logits are not finite; nothing is exported")
        (directory / PROBES).mkdir(exist_ok=True)
        write_probes(directory / PROBES / f"{role}.safetensors", Probes(ids, logits_PV))
    with phases(f"card of {role}"):
        write_card(target, role, run, base, chat, written)
        write_sums(target)
    return written


def _chat(run: Run, agent: Path, directory: Path) -> Chat:
    """The chat as the run's agents are shown it, with the prompts of its record."""
    tokenizer = load_tokenizer(run.base if peft.is_adapter(agent) else agent)
    return make_chat(recorded_config(directory, FLAG), tokenizer)


def _write_manifest(directory: Path, agents: dict[str, Written]) -> None:
    """Write what ``--verify`` needs to know; ``bound``: see ``probes.BOUNDS``."""
    described: dict[str, dict[str, Any]] = {
        role: {**written._asdict(), "bound": BOUNDS[written.dtype] if written.rounded else EXACT}
        for role, written in agents.items()
    }
    manifest = {"format_version": FORMAT_VERSION, **code_version(), "agents": described}
    text = json.dumps(manifest, indent=2) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def check_export(run: Run, output: Path, dtype: str, *, merges: bool) -> None:
    """Raise as ``export_run`` where that can be told before any work."""
    if output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    within = {output.resolve(), *output.resolve().parents}
    for name in (*run.roles, *run.config.stages, *OWN):
        if (run.workdir / name).resolve() in within:
            raise ValueError(
                f"--output: {output} is within {run.workdir / name}, which belongs to the run; "
                "name a directory elsewhere"
            )
    check_measured(run)
    adapters = [role for role in run.roles if peft.is_adapter(run.workdir / role)]
    if merges and not adapters:
        raise ValueError("--merge: the run's agents are whole models; there is nothing to merge")
    if dtype and adapters and not merges:
        raise ValueError(
            f"--dtype: got {dtype}, but {', '.join(adapters)}: adapters, which stay in float32; "
            "give --merge too, or leave --dtype out"
        )
    needed, free = _needed_bytes(run, dtype, merges=merges), _free_bytes(output)
    if needed > free:
        raise OSError(
            f"--output: {output} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there; "
            "free some, or name a directory on another disk"
        )


def _needed_bytes(run: Run, dtype: str, *, merges: bool) -> int:
    """The bytes of all weights that are written, by the headers of the run's files."""
    total = 0
    for role in run.roles:
        agent = run.workdir / role
        adapts = peft.is_adapter(agent)
        if adapts and not merges:
            total += (agent / peft.WEIGHTS).stat().st_size
            continue
        model = run.base if adapts else agent
        stored = files.stored_dtype(model)
        ratio = _width(dtype or stored) / _width(stored)
        total += math.ceil(ratio * check_tensors(model, read_config(model)))
    if leaves_base(run, merges=merges):
        total += sum(path.stat().st_size for path in of_a_base(run.base))
    return total


def _width(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _free_bytes(output: Path) -> int:
    """Of the disk that a directory is to be on, some parents of which may not be there yet."""
    return shutil.disk_usage(next(p for p in output.resolve().parents if p.is_dir())).free


def say_summary(output: Path, agents: dict[str, Written]) -> None:
    """Say what lies where, how large it is, and the digest of all digests."""
    rows = [
        [
            f"{role}/",
            written.kind,
            written.dtype,
            f"{sum(p.stat().st_size for p in (output / role).rglob('*')) / 1e6:.1f}",
            digest(output / role / SUMS)[:16],
        ]
        for role, written in agents.items()
    ]
    header = ["agent", "kind", "weights", "MB", "SHA-256 of its sums"]
    console.say(console.table(str(output), header, rows))
    console.say(f"SHA-256 of {SUMS}: {digest(output / SUMS)}")
    console.say(f"check it with: python -m waltzjax.export --verify={output}")
