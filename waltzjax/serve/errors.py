"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import math
import sys
import traceback
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import Response

from waltzjax.serve.records import AgentBusy, AgentFailed, DeadlineExceeded, PromptTooLong
from waltzjax.serve.schema import ErrorBody, ErrorDetail
from waltzjax.support import console

GONE = 499  # the client left: nobody reads this status, meters and the audit have it
RETRY_S = 1.0  # after which a request that was turned away may come again
UNAVAILABLE_S = 5.0  # the same where an agent has failed
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error",
         429: "rate_limit_error", 503: "service_unavailable_error"}  # fmt: skip


class RequestError(HTTPException):
    """A request that gets no answer.

    Args:
      status: of HTTP.
      message: for people: what was got, what is allowed, what to do.
      param: the parameter at fault, "messages[1].content".
      code: for programs.
      retry_after_s: when the same request may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ):
        headers = {}
        if retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    def body(self) -> bytes:
        fallback = "server_error" if self.status_code >= 500 else "invalid_request_error"
        detail = ErrorDetail(
            message=self.detail,
            type=TYPES.get(self.status_code, fallback),
            param=self.param,
            code=self.code,
        )
        return ErrorBody(error=detail).model_dump_json().encode()

    def response(self) -> Response:
        return Response(self.body(), self.status_code, self.headers, "application/json")


def request_error(error: Exception) -> RequestError:
    """The answer to what a guard raises."""
    match error:
        case RequestError():
            return error
        case AgentBusy():
            return RequestError(429, str(error), None, "busy", error.retry_after_s)
        case DeadlineExceeded():
            return RequestError(503, str(error), None, "deadline_exceeded", RETRY_S)
        case AgentFailed():
            return RequestError(
                503, "no agent answers now; try again later", None, "agent_failed", UNAVAILABLE_S
            )
        case PromptTooLong():
            return RequestError(400, str(error), "messages", "context_length_exceeded")
        case ValueError():
            return RequestError(400, str(error), "messages", "invalid_messages")
    return fault(error)


def fault(error: Exception) -> RequestError:
    """The answer to a fault of our own. Standard error has where it is, without the error's text,
    which may hold what a user wrote."""
    where = "".join(traceback.format_tb(error.__traceback__))
    console.say(f"serve: {type(error).__name__} at\n{where}", stream=sys.stderr)
    return RequestError(500, "the service failed at this request", None, "internal_error")
