"""How a route reads a body, and what its description says of refusals."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from waltzjax.serve.errors import RequestError
from waltzjax.serve.schema import ErrorBody

SHOWN = 60  # characters of a wrong value
REFUSALS = {
    "400": "A parameter that cannot be honoured, or a body that is no JSON; param names it.",
    "401": "No API key, or a wrong one.",
    "404": "No such model.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The body is not declared as JSON.",
    "429": "Too many requests; Retry-After says when to come again.",
    "503": "No answer now; Retry-After says when to come again.",
    "4XX": "A request that is refused.",
}


class StrictRequest(Request):
    """A request whose body is JSON as its standard has it: no NaN, no lone surrogates, at most 1024
    levels."""

    async def json(self) -> Any:
        """The body.

        Raises:
          RequestError: 400, it has more messages than may be: found before any is looked at.
        """
        body = orjson.loads(await self.body())
        messages = body.get("messages") if isinstance(body, dict) else None
        most = self.app.state.service.settings.max_messages
        if isinstance(messages, list) and len(messages) > most:
            text = f"messages: got {len(messages)}, allowed are {most} (config.serve.max_messages)"
            raise RequestError(400, text, "messages", "unsupported_value")
        return body


class StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def refusals(*statuses: str) -> dict[int | str, dict[str, Any]]:
    """What a route's description says of those of REFUSALS."""
    return {status: {"model": ErrorBody, "description": REFUSALS[status]} for status in statuses}


def validation_error(error: RequestValidationError) -> RequestError:
    """The refusal of a body, for the first thing that is wrong with it."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        why = first.get("ctx", {}).get("error", "it cannot be read")
        return RequestError(400, f"the body is no JSON: {why}", None, "invalid_json")
    param = param_name(first["loc"])
    why = str(first.get("ctx", {}).get("error") or first["msg"])
    value = first.get("input")
    got = f"; got {value!r}"[: SHOWN + 6] if isinstance(value, bool | int | float | str) else ""
    text = f"{param or 'the body'}: {why}{got}"
    return RequestError(400, text, param or None, "invalid_value")


def param_name(location: Sequence[int | str]) -> str:
    """("body", "messages", 1, "content") as "messages[1].content"."""
    name = ""
    for part in location[1:]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    return name.removeprefix(".")
