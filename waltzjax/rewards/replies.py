"""What an OpenAI-compatible server's reply says: the model's text, or why there is none."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

_SHOWN = 300  # characters of a body in a message


def is_utf8(text: str) -> bool:
    """Whether ``text`` can be sent, and stored: JSON can escape half of a surrogate pair."""
    return text == _utf8(text)


def _utf8(text: str) -> str:
    """``text`` with escapes in the place of what UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def chat_text(body: str) -> str | None:
    """The text of a chat completion; None if ``body`` is not one, or holds none in UTF-8."""
    return _text(body, lambda choice: choice["message"]["content"])


def completion_text(body: str) -> str | None:
    """The same of a raw completion."""
    return _text(body, lambda choice: choice["text"])


def _text(body: str, of_choice: Callable[[Any], Any]) -> str | None:
    try:
        text = of_choice(json.loads(body)["choices"][0])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return text if isinstance(text, str) and is_utf8(text) else None


def refusal_message(body: str) -> str:
    """The server's own words in the body of an HTTP error, whichever of three forms it has."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return excerpt(body)
    inner = value.get("error", value) if isinstance(value, dict) else value
    message = inner.get("message") if isinstance(inner, dict) else inner
    return excerpt(message if isinstance(message, str) else body)


def excerpt(text: str) -> str:
    """The beginning of ``text`` as one line."""
    line = _utf8(" ".join(text.split()))
    return f"{line[:_SHOWN]}..." if len(line) > _SHOWN else line or "(empty)"


def first_cause(error: BaseException) -> str:
    """The operating system's reason, which HTTP libraries wrap in vaguer ones."""
    said, cause = str(error), error.__cause__ or error.__context__
    while cause is not None:
        said, cause = str(cause) or said, cause.__cause__ or cause.__context__
    return said


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 where there is none to read."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
