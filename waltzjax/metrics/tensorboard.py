"""TensorBoard: event files under ``WORKDIR/tensorboard/STAGE``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from waltzjax.metrics.run_info import RunInfo


class TensorBoard:
    """One event file, whose first event has TensorBoard forget what an earlier launch wrote of the
    steps that come again.

    tensorboardX's own ``SummaryWriter`` writes in a thread, where a full disk ends in a traceback
    and then in a call that never returns; its parts write here, and raise.
    """

    def __init__(self, run: RunInfo) -> None:
        # Late: it imports PyTorch where there is one, two seconds of every command.
        from tensorboardX import summary
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        directory = run.workdir / "tensorboard" / run.stage
        directory.mkdir(parents=True, exist_ok=True)
        self._event, self._summary = Event, summary
        # The name has seconds only: another launch within one must not overwrite the file.
        self._file = EventsWriter(str(directory / "events"), f".{time.time_ns()}")
        again, start = run.resume_step + 1, SessionLog(status=SessionLog.START)
        self._file.write_event(Event(wall_time=time.time(), step=again, session_log=start))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._write(step, self._summary.scalar(name, value))

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            # Markdown's form for text that is to be shown as it stands.
            shown = "\n".join(f"    {line}" for line in text.splitlines())
            self._write(step, self._summary.text(name, shown))

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        self.write_texts(0, {"hparams": json.dumps(hparams, indent=2, default=str)})

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _write(self, step: int, summary: Any) -> None:
        self._file.write_event(self._event(wall_time=time.time(), step=step, summary=summary))
