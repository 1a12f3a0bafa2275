"""The server of an ASGI application: its socket, its thread, and its end in two steps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from waltzjax.serve.errors import RequestError
from waltzjax.serve.service import Traffic

HEAD_S = 10.0  # within which the head of a request has to be there
IDLE_S = 30  # for which a connection without a request stays open
CUT_S = 1  # that the server gives what it cuts
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last one: its terminal is closed


class Connection(H11Protocol):
    """A connection that is closed where the head of a request takes longer than ``HEAD_S``.

    h11 takes at most 64 KiB of it. uvicorn's other parser, httptools, has no such limit: it would
    take headers until the memory is full. ``connection_made`` has the form that uvicorn gives it.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:  # it is still in its head
            self._late = self._late or self.loop.call_later(HEAD_S, self.transport.close)
        else:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form of all other errors, and end the connection."""
        body = RequestError(400, msg, None, "invalid_http").body()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason="Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _forget(self) -> None:
        if self._late:
            self._late.cancel()
        self._late = None


class Server(uvicorn.Server):
    """A uvicorn whose first signal ends it when no request is under way or ``drain_s`` seconds have
    passed, and turns new requests away until then; the second one ends it at once.

    received: the number of the first signal; 0: there was none.
    cut: how many requests were under way when it ended.
    """

    def __init__(self, app: FastAPI, traffic: Traffic, drain_s: float):
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                loop="asyncio",
                log_config=None,
                log_level="critical",  # what goes wrong in a request, the application tells itself
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=CUT_S,
            )
        )
        self._traffic, self._drain_s = traffic, drain_s
        self._until = 0.0  # on the monotonic clock
        self.received = 0
        self.cut = 0

    @contextlib.contextmanager
    def in_thread(self, listener: socket.socket) -> Iterator[Future[None]]:
        """A block during which requests are taken by a thread of their own; yields that thread's
        end. Where the block is left before it, what is under way is cut."""
        with ThreadPoolExecutor(1, "http") as threads:
            end = threads.submit(self.run, [listener])
            try:
                yield end
            finally:
                self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.received:
            self.should_exit = self.force_exit = True
            return
        self.received = sig
        self._until = time.monotonic() + self._drain_s
        self._traffic.draining = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.cut = self._traffic.under_way
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self.received and (not self._traffic.under_way or time.monotonic() >= self._until):
            self.should_exit = True
        return await super().on_tick(counter)


@contextlib.contextmanager
def signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """A block in which SIGNALS are ``handler``'s. SIGHUP that is ignored, as under nohup, stays
    so."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]
    for signum in before:
        signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, was in before.items():
            signal.signal(signum, was)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at ``host``; port 0 takes a free one.

    Raises:
      OSError: the address is not this machine's, or the port is taken or not for this user.
    """
    try:
        family, kind, protocol, _, address = _addresses(host, port)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except socket.gaierror as error:
        raise OSError(f"config.serve.host: got {host!r}: {error.strerror}") from error
    except PermissionError as error:
        raise OSError(
            f"config.serve.port: {port} is not for this user; take 1024 or more"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"config.serve.port: {port} of {host} is taken by another program; name another "
                "one, or 0 for any that is free"
            ) from error
        raise OSError(f"config.serve.host: got {host!r}: {error.strerror}") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The address for clients on this machine, "http://127.0.0.1:8000"."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _addresses(host: str, port: int) -> Sequence[tuple]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
