"""The reference's log-probabilities of all pairs, computed once and kept beside the run."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.digest import weights_digest
from waltzjax.preference.batch import PairTokens
from waltzjax.support import console
from waltzjax.support.files import write_bytes
from waltzjax.support.processes import largest, wait, writes


def cached_reference(
    path: Path,
    pairs: Sequence[PairTokens],
    names: Sequence[str],
    batch: int,
    logps: Callable[[Sequence[PairTokens]], np.ndarray],
    reference: str = "",
) -> list[PairTokens]:
    """The pairs with what the reference gives their answers, read from ``path`` if that is of these
    pairs and of this reference, else computed, ``batch`` of them at a time, and written there,
    whole or not at all.

    Args:
      names: of the pairs, which tell them from others.
      reference: what tells it from others, as ``reference_name`` does; "": nothing does, and what
        another run has written is not taken for its.
      logps: of at most ``batch`` pairs, nats; whatever its shape, first all rows of the first pair,
        chosen and rejected, then those of the next.
    """
    digest = hashlib.sha256("\n".join([reference, *names]).encode()).hexdigest()
    logp_N2 = _read(path, digest) if reference else None
    if largest(logp_N2 is None):  # one process may see the file before another one does
        values = []
        with console.Progress(len(pairs), "reference", unit="pair") as bar:
            for at in range(0, len(pairs), batch):
                chunk = pairs[at : at + batch]
                values.append(logps(chunk).reshape(-1, 2)[: len(chunk)])
                bar.update(at + len(chunk))
        logp_N2 = np.concatenate(values)
        if not np.isfinite(logp_N2).all():
            raise FloatingPointError(
                "the reference's log-probabilities are not finite: is config.model.base whole?"
            )
        if writes():
            _write(path, logp_N2, digest)
        wait("reference")
    assert logp_N2 is not None
    return [
        dataclasses.replace(pair, ref_chosen=float(chosen), ref_rejected=float(rejected))
        for pair, (chosen, rejected) in zip(pairs, logp_N2, strict=True)
    ]


def reference_name(cfg: ModelConfig, params: Any) -> str:
    """A reference's name, made of all its weights and of how the model computes with them."""
    return f"{weights_digest(params)} {dataclasses.replace(cfg, mesh=None)}"


def _read(path: Path, digest: str) -> np.ndarray | None:
    """[pairs, 2], nats; None: there is none, or of other pairs, or cut off."""
    try:
        with path.open("rb") as file, np.load(file) as saved:
            return saved["logp_N2"] if str(saved["digest"]) == digest else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, logp_N2: np.ndarray, digest: str) -> None:
    content = io.BytesIO()
    np.savez(content, logp_N2=logp_N2, digest=digest)
    write_bytes(path, content.getvalue())
