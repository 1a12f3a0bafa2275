"""The live page of a run on this machine alone: http://127.0.0.1:PORT/.

No other machine reaches it, and a page of another site that a browser here shows does not either:
a request that names another host is refused. From another machine: ``ssh -L PORT:127.0.0.1:PORT``.
"""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from waltzjax.monitor.live_page import build_live
from waltzjax.report.pages import encoded
from waltzjax.support import console

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost", "[::1]")
PAUSE_S = 3.0  # between two builds of the page, at least
SHARE = 0.05  # of one core, at most: the training runs on the same machine
WATCHED = ("config.json", "environment.json", "metrics.jsonl", "events.jsonl",
           "monitor/alerts.jsonl", "final_validation_results.json")  # fmt: skip


class LivePage:
    """The page of a run: built when it is asked for and the run's files have changed since."""

    def __init__(self, workdir: Path):
        self.workdir = workdir
        self._lock = threading.Lock()
        self._seen: object = None  # the files' state when the page was built
        self._next = 0.0  # the clock before which it is not built again
        self._page, self._tag = b"", ""

    def now(self) -> tuple[bytes, str]:
        """The page, and a tag that another page would not have."""
        with self._lock:
            if time.monotonic() >= self._next:
                started, seen = time.monotonic(), self._files()
                if seen != self._seen:
                    self._page, self._seen = encoded(build_live(self.workdir)), seen
                    self._tag = f'"{hashlib.sha256(self._page).hexdigest()[:32]}"'
                took = time.monotonic() - started
                self._next = started + max(PAUSE_S, took / SHARE)
            return self._page, self._tag

    def _files(self) -> list[tuple[str, int, int]]:
        paths = [self.workdir / name for name in WATCHED]
        paths += sorted((self.workdir / "evaluations").glob("*.json"))
        states = []
        for path in paths:
            try:
                stat = path.stat()
            except OSError:
                continue
            states.append((str(path), stat.st_mtime_ns, stat.st_size))
        return states


def make_server(workdir: Path, port: int) -> ThreadingHTTPServer:
    """The server, listening; port 0 takes a free one (``server_port``).

    Raises:
      OSError: the port is taken, or not for this user.
    """
    live = LivePage(workdir)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")
            if (host[0] or host[2]) not in HOSTS:
                return self.send_error(HTTPStatus.FORBIDDEN)
            if self.path not in ("/", "/favicon.ico"):
                return self.send_error(HTTPStatus.NOT_FOUND)
            if self.path != "/":
                return self._answer(HTTPStatus.NO_CONTENT, b"", "")
            try:
                page, tag = live.now()
            except Exception as error:  # a damaged file must not end what others look at
                console.say(f"--serve: no page of {workdir}: {type(error).__name__}: {error}")
                return self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
            if tag == self.headers.get("If-None-Match"):
                return self._answer(HTTPStatus.NOT_MODIFIED, b"", tag)
            self._answer(HTTPStatus.OK, page, tag)

        def _answer(self, status: HTTPStatus, body: bytes, tag: str) -> None:
            self.send_response(status)
            headers = {
                "Content-Type": "text/html; charset=utf-8",
                "ETag": tag,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "X-Frame-Options": "DENY",
                "Content-Length": f"{len(body)}",
            }
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a line every few seconds helps nobody."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except PermissionError as error:
        raise OSError(f"--serve: port {port} is not for this user; take 1024 or more") from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            f"--serve: port {port} of {HOST} is taken by another program; name another one, or 0 "
            "for any that is free"
        ) from error


@contextmanager
def serving(workdir: Path, port: int) -> Iterator[str]:
    """A block during which the page of the run in ``workdir`` is served, also before the run has
    begun; yields its address.

    Raises:
      OSError: the port is taken, or not for this user.
    """
    with make_server(workdir, port) as server:
        server.daemon_threads = True  # a reader's open connection keeps nothing from ending
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
