"""An export checked as a stranger would: every file's digest, then every agent's logits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from waltzjax.export.pair import FORMAT_VERSION, MANIFEST, PROBES, Phases, numbered
from waltzjax.export.probes import EXACT, difference, measure, probe_texts, read_probes
from waltzjax.export.reference import reference_logits, reference_missing
from waltzjax.export.source import Run
from waltzjax.export.sums import check_sums
from waltzjax.export.tensors import other_tensors
from waltzjax.model import sharding
from waltzjax.model.hf.config import read_json
from waltzjax.run.recorded import recorded_config
from waltzjax.run.runtime import load_tokenizer, make_chat
from waltzjax.run.trainable import model_directory
from waltzjax.support import console

FLAG = "--verify"
NAMED = 3  # tensors in an error


class Compared(NamedTuple):
    """Logits of an exported agent beside others; ``largest``: see ``probes.difference``."""

    agent: str
    beside: str
    largest: float
    bound: float


def verify(directory: Path, run: Run | None) -> None:
    """Check the export in ``directory``, and say what was compared; ``run``: whose own agents are
    compared with, else the logits that the export keeps of them.

    Raises:
      FileNotFoundError, ValueError: files that are missing, changed or not listed, or an agent
        whose prompts, logits or tensors differ; which, by how much, and what is allowed.
    """
    agents = exported_agents(directory)
    phases = numbered(1 + (3 if run else 2) * len(agents))
    with phases("checksums"):
        digests = check_sums(directory)
    rows = [
        row
        for role, described in agents.items()
        for row in _compare(directory, role, float(described["bound"]), run, phases)
    ]
    shown = [[*row[:2], f"{row.largest:.2g}", f"{row.bound:.2g}"] for row in rows]
    header = ["agent", "compared with", "largest difference", "allowed"]
    console.say(console.table("logits, as a share of the largest", header, shown))
    for reason in sorted({reference_missing(directory / role) for role in agents} - {""}):
        console.say(f"note: not compared with transformers: {reason}")
    problems = [_told(row) for row in rows if not row.largest <= row.bound]
    problems += _other_tensors(directory, agents, run, phases) if run else []
    if problems:
        raise ValueError("\n  ".join([f"{FLAG}: {directory}: agents differ:", *problems]))
    console.say(f"{directory}: {len(digests)} files and {len(agents)} agents are as exported")


def exported_agents(directory: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of each agent. Raises ValueError where there is none."""
    path = directory / MANIFEST
    manifest = read_json(path) if path.is_file() else {}
    if manifest.get("format_version") != FORMAT_VERSION or not manifest.get("agents"):
        raise ValueError(
            f"{FLAG}: {directory} is no export of a run: it has no {MANIFEST} of format "
            f"{FORMAT_VERSION}; give the directory that --output named"
        )
    return manifest["agents"]


def _compare(
    directory: Path, role: str, bound: float, run: Run | None, phases: Phases
) -> list[Compared]:
    agent = directory / role
    base = model_directory(agent)
    mesh = sharding.make_mesh((1, -1, 1))
    with phases(f"logits of {role}"):
        kept = read_probes(directory / PROBES / f"{role}.safetensors")
        _check_prompts(directory, role, kept.ids)
        got_PV = measure(agent, base, mesh, kept.ids)
        wanted_PV, beside = kept.logits_PV, "the run's, as kept"
        if run:
            wanted_PV, beside = measure(run.workdir / role, run.base, mesh, kept.ids), "the run's"
    rows = [Compared(role, beside, difference(wanted_PV, got_PV), bound)]
    with phases(f"{role} by transformers"):
        if not reference_missing(agent):
            theirs_PV: np.ndarray = reference_logits(agent, base, kept.ids)
            by = "transformers in PyTorch"
            rows.append(Compared(role, by, difference(theirs_PV, got_PV), EXACT))
    return rows


def _other_tensors(
    directory: Path, agents: Iterable[str], run: Run, phases: Phases
) -> Iterator[str]:
    """What is to be said of each agent whose weights are not those that the run's own would give:
    a change that moves the logits less than rounding does is found here alone."""
    for role in agents:
        with phases(f"tensors of {role}"):
            names = other_tensors(directory / role, run.workdir / role, run.base)
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{role}: tensors that are not the run's: {', '.join(names[:NAMED])}{more}"


def _check_prompts(directory: Path, role: str, wanted: Sequence[tuple[int, ...]]) -> None:
    """Raise ValueError unless the exported tokenizer, template and prompts make the same prompts as
    those of the run."""
    agent = directory / role
    tokenizer = load_tokenizer(agent)
    chat = make_chat(recorded_config(directory, FLAG), tokenizer)
    if (got := chat.encode(probe_texts(role, chat))) != [*wanted]:
        at = next(i for i, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"{FLAG}: {agent}: its tokenizer and chat template make other prompts than the run's: "
            f"prompt {at} is {got[at][:16]} ..., wanted is {wanted[at][:16]} ..."
        )


def _told(row: Compared) -> str:
    return (
        f"{row.agent}: its logits differ from {row.beside} by {row.largest:.3g} of the largest, "
        f"allowed is {row.bound:g}"
    )
