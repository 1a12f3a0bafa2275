"""The gate before every request: who may come in, how many at a time, with how much."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waltzjax.serve.errors import GONE, RETRY_S, RequestError, fault
from waltzjax.serve.keys import check_host_header, key_hash
from waltzjax.serve.service import Exchange, Settings, Traffic

OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # no key is needed
ALWAYS = OPEN_PATHS | {"/metrics"}  # also while the service ends
REQUEST_ID = re.compile(r"[\w.:/+=-]{1,64}", re.ASCII)
DRAIN_S, DRAIN_FACTOR = 1.0, 8  # what is read of a refused body, so that its sender gets the answer


class Gate:
    """An ASGI middleware.

    Args:
      keys: digests of the API keys; none: anybody may ask.
      ended: each is called with each request that has ended, whatever the others raise.
      traffic: kept up to date.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: tuple[bytes, ...],
        ended: Sequence[Callable[[Exchange], None]],
        traffic: Traffic,
    ):
        self._app, self._settings, self._keys = app, settings, keys
        self._ended, self._traffic = ended, traffic
        self._hosts_checked = settings.on_loopback and not keys
        self._held = 0  # bytes of bodies that are not whole yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        exchange = Exchange(_request_id(headers), scope["method"], scope["path"])
        scope.setdefault("state", {})["exchange"] = exchange
        tell = _named(send, exchange)
        try:
            await self._pass(scope, headers, exchange, receive, tell)
        except RequestError as refusal:  # those of the application are answered there
            await self._refuse(exchange, refusal, tell, receive)
        except asyncio.CancelledError:  # the server ends
            if not exchange.status:
                await self._refuse(exchange, _ending(), tell)
            raise
        except Exception as error:  # whatever goes wrong in a request, the service goes on
            if not exchange.status:
                await self._refuse(exchange, fault(error), tell)
            elif not isinstance(error, TimeoutError):  # that: a stream that nobody reads
                fault(error)  # what was begun is cut: it cannot be ended well
        finally:
            self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        for note in self._ended:
            try:
                note(exchange)
            except Exception as error:  # its request was answered, and the others note it still
                fault(error)

    async def _pass(
        self, scope: Scope, headers: Headers, exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        """A request has its place from when its body is there, so that who sends slowly takes none
        from others."""
        self._admit(headers, exchange)
        counted = exchange.path not in ALWAYS
        if counted:
            self._check_room()
        if exchange.method == "POST":
            receive = await self._whole_body(headers, receive)
            if counted:
                self._check_room()
        self._traffic.under_way += counted
        try:
            await self._app(scope, receive, send)
        finally:
            self._traffic.under_way -= counted

    def _admit(self, headers: Headers, exchange: Exchange) -> None:
        if self._hosts_checked:
            check_host_header(headers.get("host", ""))
        if self._keys and exchange.path not in OPEN_PATHS:
            exchange.key = key_hash(headers.get("authorization", ""), self._keys)

    def _check_room(self) -> None:
        if self._traffic.draining:
            raise _ending()
        if self._traffic.under_way >= self._settings.max_requests:
            raise _too_many(f"{self._settings.max_requests} requests are under way")

    async def _whole_body(self, headers: Headers, receive: Receive) -> Receive:
        """A receive that has the whole body of a request at hand.

        Raises:
          RequestError: 413 too large, 415 no JSON, 408 too slow, 429 too many come at a time, 499
            its sender left.
        """
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(
                415,
                f"the header Content-Type is {kind[:80]!r}, allowed is 'application/json'",
                None,
                "unsupported_media_type",
            )
        most = self._settings.max_body_bytes
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._settings.body_s):
                body = await self._read(receive, most)
        except TimeoutError:
            raise RequestError(
                408,
                f"the body has not come within {self._settings.body_s:g} s",
                None,
                "body_timeout",
            ) from None
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay

    async def _read(self, receive: Receive, most: int) -> bytes:
        """A body. All that are coming may have the bytes of ``max_requests`` of them together."""
        pieces: list[bytes] = []
        try:
            async for piece in _pieces(receive, most):
                pieces.append(piece)
                self._held += len(piece)
                if self._held > most * self._settings.max_requests:
                    raise _too_many(f"bodies of {self._settings.max_requests} requests are coming")
        finally:
            self._held -= sum(map(len, pieces))
        return b"".join(pieces)

    async def _refuse(
        self, exchange: Exchange, error: RequestError, send: Send, receive: Receive | None = None
    ) -> None:
        """Answer with ``error``, and end the connection. What still comes of a body by ``receive``
        is read a while and forgotten, else its sender would see a broken connection in the place of
        the answer."""
        exchange.error = error.code or ""
        response = error.response()
        response.headers["Connection"] = "close"
        start = {"type": "http.response.start", "status": error.status_code}
        await send({**start, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if receive:
            with contextlib.suppress(TimeoutError, RequestError):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in _pieces(receive, DRAIN_FACTOR * self._settings.max_body_bytes):
                        pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _ending() -> RequestError:
    text = "the service ends; ask again, of another one or later"
    return RequestError(503, text, None, "shutting_down", RETRY_S)


def _too_many(what: str) -> RequestError:
    text = f"{what} (config.serve.max_requests); try again later"
    return RequestError(429, text, None, "too_many_requests", RETRY_S)


def _too_large(most: int) -> RequestError:
    return RequestError(
        413,
        f"the body is larger than {most} bytes (config.serve.max_body_bytes)",
        None,
        "body_too_large",
    )


async def _pieces(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """A request's body, of at most ``most`` bytes, as it comes.

    Raises:
      RequestError: 413 it is larger, 499 its sender left.
    """
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(GONE, "the client left", None, "client_closed_request")
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        yield piece
        more = message.get("more_body", False)


def _request_id(headers: Mapping[str, str]) -> str:
    """The client's own id of a request where it is a plain one, else a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _named(send: Send, exchange: Exchange) -> Send:
    """A send that notes the response's status, and adds the headers of every response."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            headers["X-Request-Id"] = exchange.request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        await send(message)

    return named
