"""The HTTP service: OpenAI's chat completions with a guard behind them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response

from waltzjax.serve import endpoints
from waltzjax.serve.audit import Audit, record_of
from waltzjax.serve.endpoints import Service
from waltzjax.serve.errors import RequestError
from waltzjax.serve.limits import ALWAYS, Gate
from waltzjax.serve.meters import Meters
from waltzjax.serve.routes import StrictRoute, refusals, validation_error
from waltzjax.serve.schema import (
    CheckResult,
    Completion,
    FlagsBody,
    Health,
    Model,
    ModelList,
    Ready,
)
from waltzjax.serve.service import Exchange, GuardLike, Settings, Traffic, exchange_of

VERSION = "1"
PATHS = frozenset(
    {"/v1/chat/completions", "/v1/guard/check", "/v1/guard/flags", "/v1/models", "/healthz",
     "/readyz", "/metrics", "/openapi.json"}
)  # fmt: skip
FIGURES = {"text/plain": {"schema": {"type": "string"}}}
EVENT = {
    "type": "object",
    "properties": {"data": {"type": "string", "description": "a chunk as JSON; last: [DONE]"}},
    "required": ["data"],
}
STREAM = {"text/event-stream": {"schema": EVENT}}


def make_app(guard: GuardLike | None, settings: Settings, keys: tuple[bytes, ...] = ()) -> FastAPI:
    """The ASGI application that serves ``guard``, which stays its caller's to close.

    Args:
      guard: None: requests get 503 until ``app.state.service.loaded`` is one.
      keys: digests of the API keys (``keys.read_keys``); (): anybody may ask.

    Raises:
      OSError: the audit cannot be written.
    """
    meters, traffic = Meters(PATHS), Traffic()
    audit = Audit(Path(settings.audit), meters.audit_lost.inc) if settings.audit else None

    def audited(exchange: Exchange) -> None:
        if audit and exchange.path not in ALWAYS:
            audit.add(record_of(exchange, settings.audit_text))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if audit:
            audit.close()

    app = FastAPI(
        title="waltzjax",
        description="Chat completions of two agents: one answers, one reviews.",
        version=VERSION,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = Service(guard, settings, meters, traffic, int(time.time()))
    app.router.route_class = StrictRoute
    _add_routes(app)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    ended = (meters.add, audited)
    app.add_middleware(Gate, settings=settings, keys=keys, ended=ended, traffic=traffic)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "Server-Timing", "Retry-After"],
        )
    return app


def _add_routes(app: FastAPI) -> None:
    asked = refusals("400", "401", "408", "413", "415", "429", "503", "4XX")
    chat = {200: {"model": Completion, "content": STREAM}, **refusals("404"), **asked}
    app.add_api_route("/v1/chat/completions", endpoints.chat, methods=["POST"], responses=chat)
    app.add_api_route(
        "/v1/guard/check",
        endpoints.check,
        methods=["POST"],
        responses={200: {"model": CheckResult}, **asked},
    )
    told: list[tuple[str, Callable[..., Any], type[BaseModel]]] = [
        ("/v1/guard/flags", endpoints.flags, FlagsBody),
        ("/v1/models", endpoints.models, ModelList),
        ("/v1/models/{name:path}", endpoints.model, Model),
        ("/healthz", endpoints.health, Health),
    ]
    for path, endpoint, body in told:
        responses = {200: {"model": body}, **refusals("401", "404", "429", "503", "4XX")}
        app.add_api_route(path, endpoint, methods=["GET"], responses=responses)
    app.add_api_route(
        "/readyz",
        endpoints.ready,
        methods=["GET"],
        responses={200: {"model": Ready}, 503: {"model": Ready}, **refusals("4XX")},
    )
    app.add_api_route(
        "/metrics",
        endpoints.metrics,
        methods=["GET"],
        responses={200: {"content": FIGURES}, **refusals("401", "503", "4XX")},
        response_class=PlainTextResponse,
    )


async def _refuse(request: Request, error: Exception) -> Response:
    """The answer to a refusal, in the form of OpenAI's errors."""
    if isinstance(error, RequestValidationError):
        error = validation_error(error)
    elif isinstance(error, HTTPException) and not isinstance(error, RequestError):
        name = HTTPStatus(error.status_code).name.lower()
        text = f"{request.method} {request.url.path}: {error.detail}"
        headers = error.headers or {}
        error = RequestError(error.status_code, text, None, name)
        error.headers = {**(error.headers or {}), **headers}
    assert isinstance(error, RequestError)
    exchange_of(request.scope).error = error.code or ""
    return error.response()
