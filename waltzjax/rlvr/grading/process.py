"""The parent's side of one process that compares answers (``rlvr.grading.worker``)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from waltzjax.rlvr.grading.equality import Comparison

MEMORY_BYTES = 2 << 30  # of its address space; sympy and the parser take 0.2 GiB
_START_S = 120.0  # to import sympy on a busy machine; a free one needs a second
_PATIENCE = 4  # with a process that gets less of a processor than it could use
_MODULE = "waltzjax.rlvr.grading.worker"
_SHOWN = 2000  # characters of what it said before it died


class WorkerDied(Exception):
    """The process ended, or never was ready; says how."""


class VerifyProcess:
    """One worker. A single thread may use it; only ``end`` may be called from another.

    timeout_s: processor time of one comparison, which the process counts itself, and a
    ``_PATIENCE``-th of the time on the clock, after which it is killed.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # Not multiprocessing, whose new process would import the trainer's main module, and jax.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(MEMORY_BYTES), str(timeout_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C in the terminal is for the run, which ends it itself
        )
        files = (self._process.stdin, self._process.stdout, self._process.stderr)
        assert files[0] and files[1] and files[2]
        self._stdin, self._stdout, self._errors = files[0], files[1], files[2]

    def wait_ready(self) -> None:
        """Return once it can compare. Raises WorkerDied."""
        try:
            line = self._read_line(_START_S)
        except TimeoutError:
            self.end()
            raise WorkerDied(f"it was not ready within {_START_S:g} s") from None
        if line != b"ready":
            raise WorkerDied(f"it said {line[:_SHOWN]!r} in place of 'ready'")

    def ask(self, answer: str, label: str) -> Comparison:
        """The comparison. Raises TimeoutError (see ``timeout_s``), WorkerDied; in both cases the
        process is of no further use."""
        try:
            self._stdin.write(json.dumps([answer, label]).encode() + b"\n")
        except OSError:
            raise self._died() from None
        equal, parsed = json.loads(self._read_line(_PATIENCE * self._timeout_s))
        return Comparison(equal, parsed)

    def _read_line(self, seconds: float) -> bytes:
        until, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._stdout], [], [], left)[0]:
                raise TimeoutError
            if not (more := os.read(self._stdout.fileno(), 4096)):
                raise self._died()
            line += more
        return line.strip()

    def _died(self) -> WorkerDied | TimeoutError:
        self.end()  # if it only closed its pipe
        self._process.wait()
        if self._process.returncode == -signal.SIGPROF:
            return TimeoutError()
        stderr = self._errors.read().decode(errors="replace").strip()
        return WorkerDied(f"exit status {self._process.returncode}: {stderr[-_SHOWN:]}")

    def alive(self) -> bool:
        return self._process.poll() is None

    def killed(self) -> bool:
        """Whether a signal ended it, so that another may live."""
        return (self._process.poll() or 0) < 0

    def end(self) -> None:
        """Kill it; whoever waits for its reply gets WorkerDied."""
        self._process.kill()

    def close(self) -> None:
        """Kill it and leave nothing behind."""
        self.end()
        self._process.wait()
        for file in (self._stdin, self._stdout, self._errors):
            file.close()


def _python_path() -> str:
    """Where the worker finds this very package, whatever the working directory is."""
    root = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
