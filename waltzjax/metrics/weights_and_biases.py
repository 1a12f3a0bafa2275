"""Weights & Biases: one of its runs for each stage, grouped by the directory."""

from __future__ import annotations

import contextlib
import netrc
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from waltzjax.metrics.run_info import RunInfo

SERVER = "https://api.wandb.ai"


class WeightsAndBiases:
    """``wandb`` as its environment variables set it up. Without an account it is offline: files
    under ``WORKDIR/wandb``, which ``wandb sync`` uploads.

    A stage that goes on is the same run there. Steps that come again are left out by its server,
    which takes none twice; on the same devices they have the same figures.
    """

    def __init__(self, run: RunInfo) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=run.project,
            id=f"{run.key}-{run.stage}",
            name=f"{run.name}-{run.stage}",
            group=f"{run.name}-{run.key}",
            job_type=run.stage,
            dir=str(run.workdir),
            mode=mode(os.environ),
            resume="allow",
            # Its own lines would tear the progress bar; what it sees of the screen, and of the
            # machine, is in the records.
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._run.log(dict(scalars), step=step)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        pages = {name: self._wandb.Html(_page(text)) for name, text in texts.items()}
        self._run.log(pages, step=step)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        self._run.config.update(dict(hparams), allow_val_change=True)

    def flush(self) -> None:
        """It uploads by itself."""

    def close(self) -> None:
        self._run.finish()


def end_uploads() -> None:
    """Kill wandb's own process, which a process waits for as it exits: minutes, where the server
    does not answer. What it has written stays, and ``wandb sync`` uploads it."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # 'PID (NAME) STATE PARENT ...'; a name may hold anything.
            before, _, after = path.read_text().rpartition(")")
            if "wandb-core" in before and int(after.split()[1]) == os.getpid():
                os.kill(int(path.parent.name), signal.SIGKILL)
    reported = sys.unraisablehook

    def report(unraisable: Any) -> None:
        """Leave out that wandb, as Python exits, does not find its process."""
        if not str(getattr(unraisable.object, "__module__", "")).startswith("wandb"):
            reported(unraisable)

    sys.unraisablehook = report


def mode(environment: Mapping[str, str]) -> Any:
    """ "online" or "offline": as WANDB_MODE says, else by whether there is a key: wandb would ask
    for one on the terminal."""
    if chosen := environment.get("WANDB_MODE"):
        return chosen
    host = urlsplit(environment.get("WANDB_BASE_URL", SERVER)).hostname or ""
    return "online" if environment.get("WANDB_API_KEY") or _logged_in(host) else "offline"


def _logged_in(host: str) -> bool:
    """Whether ``wandb login`` has left a key for ``host`` in netrc's file."""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _page(text: str) -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<pre style="white-space: pre-wrap">{safe}</pre>'
