"""trackio: a local database and dashboard with no account and no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waltzjax.metrics.run_info import RunInfo


class Trackio:
    """A run of trackio for each stage, in its own directory (TRACKIO_DIR); ``trackio show`` opens
    the dashboard. The config comes first: a run there is begun with it."""

    def __init__(self, run: RunInfo) -> None:
        import trackio

        self._trackio, self._info = trackio, run
        self._run: Any = None

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        self._begun(dict(hparams))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._begun().log(dict(scalars), step=step)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        pages = {name: self._trackio.Markdown(_fenced(text)) for name, text in texts.items()}
        self._begun().log(pages, step=step)

    def flush(self) -> None:
        """It writes by itself."""

    def close(self) -> None:
        if self._run:
            self._run.finish()

    def _begun(self, config: dict[str, Any] | None = None) -> Any:
        if self._run is None:
            info = self._info
            self._run = self._trackio.init(
                project=info.project,
                name=f"{info.name}-{info.key}-{info.stage}",
                group=f"{info.name}-{info.key}",
                config=config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return self._run


def _fenced(text: str) -> str:
    """Text as Markdown shows it unchanged; a fence of its own does not end it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
