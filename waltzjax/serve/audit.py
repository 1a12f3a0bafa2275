"""The audit: a line of JSON for each request, written by a thread that no request waits for."""

from __future__ import annotations

import hashlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from waltzjax.serve.records import BLOCK, FLAG, PASS
from waltzjax.serve.service import Exchange
from waltzjax.support import console

WAITING = 10_000  # lines that wait for the disk; more are lost, and counted
MODE = 0o600  # of a file that is new; one that was there keeps its own
CLOSE_S = 2.0  # in which the lines that wait at the end are written
SEVERITY = (PASS, FLAG, BLOCK)
USER_DIGITS = 16  # hexadecimal, of a user's hash


class Audit:
    """A file that lines are appended to. A full or missing disk loses lines, never a request: the
    first loss is told, all are counted. A file that was moved away is begun anew under its name.

    Raises:
      OSError: the file cannot be written now.
    """

    def __init__(self, path: Path, lost: Callable[[], None] = lambda: None):
        """``lost`` is called for each line that is."""
        self._path, self._lost, self._told = path, lost, False
        try:
            self._file = _open(path)
        except OSError as error:
            raise OSError(f"config.serve.audit: {path}: {error.strerror or error}") from error
        self._lines: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._thread.start()

    def add(self, record: dict[str, Any]) -> None:
        """Have ``record`` written; returns at once."""
        try:
            self._lines.put_nowait(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        except queue.Full:
            self._lose("lines come faster than they can be written")
        except orjson.JSONEncodeError as error:  # a count of an upstream that has 100 digits
            self._lose(str(error))

    def close(self) -> None:
        """Write what waits, for at most ``CLOSE_S`` seconds."""
        try:
            self._lines.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
                self._told = False
            except OSError as error:
                self._lose(error.strerror or str(error))
        if self._file >= 0:
            os.close(self._file)

    def _write(self, line: bytes) -> None:
        if self._file < 0 or _moved(self._path, self._file):
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
            self._file = _open(self._path)
        while line:
            line = line[os.write(self._file, line) :]

    def _lose(self, why: str) -> None:
        self._lost()
        if not self._told:
            self._told = True
            console.say(
                f"warning: config.serve.audit: {self._path}: lines are lost: {why}",
                stream=sys.stderr,
            )


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)


def _moved(path: Path, file: int) -> bool:
    try:
        there, ours = os.stat(path), os.fstat(file)
    except FileNotFoundError:
        return True
    return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def record_of(exchange: Exchange, with_text: bool) -> dict[str, Any]:
    """The line of a request. What was asked and answered is in it only ``with_text``; who asked is
    a hash. Of several choices it has the first one's report, and the severest action."""
    reports = [outcome.report for outcome in exchange.outcomes]
    record: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": exchange.request_id,
        "path": exchange.path,
        "status": exchange.status,
        "error": exchange.error,
        "key": exchange.key,
        "user": user_hash(exchange.user),
        "took_ms": round(1000 * exchange.took_s, 3),
    }
    if reports:
        record |= reports[0].as_json()
        record["action"] = max((r.action for r in reports), key=SEVERITY.index)
        record["categories"] = sorted({c for r in reports for c in r.categories})
        record["prompt_tokens"] = exchange.outcomes[0].prompt_tokens
        record["completion_tokens"] = sum(o.completion_tokens for o in exchange.outcomes)
    if with_text:
        record["messages"] = list(exchange.messages)
        record["answers"] = [outcome.text for outcome in exchange.outcomes]
    return record


def user_hash(user: str) -> str:
    """What the audit has in the place of a user; "" of nobody."""
    return hashlib.sha256(user.encode()).hexdigest()[:USER_DIGITS] if user else ""
