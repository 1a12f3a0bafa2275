"""Replies of judges on disk, so that nothing is asked twice, in this run or in another."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from waltzjax.support.errors import CacheError

Request = str | Sequence[Mapping[str, str]]  # a raw prompt, or chat messages

_BUSY_S = 60.0  # how long to wait for another process, which holds the file for milliseconds
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class VerdictCache:
    """Replies by key, for any number of threads, and of processes that name the same file.

    Each reply is its own transaction, so a killed process loses none. The journal is SQLite's
    default, not WAL, which does not work on network file systems (clusters keep runs there); its
    price, a few milliseconds a reply, is little beside what the reply took.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # one connection for all threads
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._named_errors():
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                [(result,)] = self._db.execute("PRAGMA quick_check(1)").fetchall()
                if result != "ok":
                    raise CacheError(_damaged(path, " ".join(result.split())))
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS replies "
                    "(key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID"
                )
            except (sqlite3.Error, CacheError):
                self._db.close()
                raise

    def get(self, key: str) -> str | None:
        with self._named_errors(), self._lock:
            # All rows are fetched, or the statement would go on holding a lock on the file.
            rows = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchall()
        return rows[0][0] if rows else None

    def put(self, key: str, reply: str) -> None:
        """Store ``reply``; it is on disk when this returns."""
        with self._named_errors(), self._lock:
            self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, reply))

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The low byte; the others say more closely what is damaged.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise CacheError(_damaged(self.path, str(error))) from error
            raise CacheError(f"{self.path}: the cache of verdicts fails: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reply_key(model: str, request: Request, max_tokens: int) -> str:
    """SHA-256 of all that a reply at temperature 0 depends on."""
    whole = json.dumps([model, request, max_tokens], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path}: not a cache of verdicts, or damaged ({why}). It was left as it is: restore it, "
        "or move it away to begin a new one, and the judge is asked again"
    )
