"""The content of an OpenAI-compatible server's reply: the model's text, or why there is none."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_SHOWN = 300  # characters of a body in a message
_CUT_OFF = ("length", "max_tokens", "content_filter")  # reasons to finish
_FAILED = ("error", "abort")  # likewise, of OpenRouter and vLLM: another try may end well


class Reply(NamedTuple):
    """A model's text; ``cut_off``: the server ended it, not the model."""

    text: str
    cut_off: bool


def is_utf8(text: str) -> bool:
    """Whether ``text`` can be sent, and stored: JSON can escape half of a surrogate pair."""
    return text == _utf8(text)


def _utf8(text: str) -> str:
    """``text`` with escapes in the place of what UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def parsed(body: str) -> Any:
    """The JSON value of a body; None: it is none. A byte order mark before it does not matter."""
    try:
        return json.loads(body.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def chat_reply(value: Any) -> Reply | None:
    """The reply in a chat completion; None if ``value`` is not one, or holds no text in UTF-8.

    What the model thought, called or declined stands in other fields and is no text of it.
    """
    return _first_reply(value, lambda choice: choice["message"]["content"])


def completion_reply(value: Any) -> Reply | None:
    """The reply in a raw completion; None as in ``chat_reply``."""
    return _first_reply(value, lambda choice: choice["text"])


def _first_reply(value: Any, read_text: Callable[[Any], Any]) -> Reply | None:
    try:
        choices = value["choices"]
        first = next((c for c in choices if c.get("index") == 0), choices[0])
        text, ended = _joined(read_text(first)), first.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        return None
    usable = isinstance(text, str) and is_utf8(text) and ended not in _FAILED
    return Reply(text, ended in _CUT_OFF) if usable else None


def _joined(content: Any) -> Any:
    """Content in parts, of which a thinking model's thoughts are some, as its text alone."""
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def refusal_message(body: str) -> str:
    """The server's own words in the body of an HTTP error, whichever of three forms it has."""
    value = parsed(body)
    inner = value.get("error", value) if isinstance(value, dict) else value
    message = inner.get("message") if isinstance(inner, dict) else inner
    return excerpt(message if isinstance(message, str) else body)


def excerpt(text: str) -> str:
    """The beginning of ``text`` as one line."""
    line = _utf8(" ".join(text.split()))
    return f"{line[:_SHOWN]}..." if len(line) > _SHOWN else line or "(empty)"


def first_cause(error: BaseException) -> str:
    """The operating system's reason, which HTTP libraries wrap in vaguer ones."""
    message, cause = str(error), error.__cause__ or error.__context__
    while cause is not None:
        message, cause = str(cause) or message, cause.__cause__ or cause.__context__
    return message


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
