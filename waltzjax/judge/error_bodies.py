"""The HTTP status that an error names in its body: some servers and gateways send it with a 200."""

from __future__ import annotations

import http
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# How the keys of an error end, the closest first: "code", "error_code", "httpStatus", "statusCode".
_CODES = ("code", "status", "type")
_WORDS = ("message", "detail", "error", "msg")
_NUMBER = re.compile(r"(?:\b(?:http|status|code)\b\W*)+([45]\d\d)\b|^\W*([45]\d\d)\b", re.I)
_LIMIT = re.compile(r"rate.?limit|too many requests|quota", re.I)
_PASSES = re.compile(
    r"overload|unavailable|timed? ?out|try(?:ing)? again|at capacity|\bbusy\b|no healthy upstream",
    re.I,
)


def _plain(name: str) -> str:
    """``"RateLimitError"``, ``"rate_limit_exceeded"`` and ``"Rate limit"`` are one name."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"(?:error|exception|exceeded)$", "", letters)


# Names of statuses in the APIs of OpenAI, Anthropic, Google (gRPC) and their imitators.
_NAMES = {_plain(status.phrase): status.value for status in http.HTTPStatus if status >= 400} | {
    _plain(name): status
    for status, names in {
        400: ("bad_request", "invalid_request", "invalid_argument", "failed_precondition",
              "context_length_exceeded", "content_filter", "validation_error"),
        401: ("authentication_error", "unauthenticated", "invalid_api_key"),
        403: ("permission_error", "permission_denied"),
        404: ("not_found", "model_not_found", "does_not_exist"),
        409: ("aborted", "already_exists"),
        413: ("request_too_large",),
        429: ("rate_limit", "rate_limited", "throttling", "resource_exhausted",
              "insufficient_quota"),
        499: ("cancelled", "client_closed_request"),
        500: ("server_error", "api_error", "internal", "unknown"),
        503: ("unavailable", "overloaded", "engine_overloaded", "server_overloaded", "server_busy"),
        504: ("timeout", "api_timeout", "deadline_exceeded"),
    }.items()
    for name in names
}  # fmt: skip


def named_status(value: Any) -> int | None:
    """The status of 400 to 599 that a reply, parsed from JSON, names; None: it names none.

    A number or a name may stand in ``error``, in an error of a choice, or, where there are no
    choices, at the top: ``{"object": "error", "code": 503}``, ``{"detail": "Bad Gateway"}``.
    """
    return next(filter(None, map(_status, _errors(value))), None)


def _errors(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _errors(each)
    if not isinstance(value, Mapping):
        return
    for key in ("error", "errors"):
        errors = value.get(key)
        yield from errors if isinstance(errors, list) else [errors]
    choices = value.get("choices")
    if isinstance(choices, list):
        yield from (choice.get("error") for choice in choices if isinstance(choice, Mapping))
    elif choices is None:
        yield value


def _status(error: Any) -> int | None:
    if not isinstance(error, Mapping):
        return _text_status(error)
    codes = (_code_status(code) for code in _under(error, _CODES))
    words = (_status(text) for text in _under(error, _WORDS) if text)
    return next(filter(None, codes), None) or next(filter(None, words), None)


def _under(error: Mapping[str, Any], ends: Sequence[str]) -> Iterator[Any]:
    """The values under keys with these ends, in the order of the ends."""
    for end in ends:
        yield from (value for key, value in error.items() if key.lower().endswith(end))


def _code_status(code: Any) -> int | None:
    if isinstance(code, str):
        match = _NUMBER.search(code)
        return int(match[1] or match[2]) if match else _NAMES.get(_plain(code))
    return int(code) if isinstance(code, int | float) and 400 <= code < 600 else None


def _text_status(text: Any) -> int | None:
    """The status of an error without a code, if its text names one."""
    if not isinstance(text, str):
        return None
    if status := _code_status(text):
        return status
    if _LIMIT.search(text):
        return 429
    return 503 if _PASSES.search(text) else None
