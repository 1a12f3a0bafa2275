"""Secrets kept out of every text that is shown or written."""

from __future__ import annotations

import http.client
import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote

from waltzjax.monitor.alert import one_line

WORDS = {
    ConnectionAbortedError: "the server closed the connection",
    http.client.RemoteDisconnected: "the server closed the connection",
}
SHORTEST, LONGEST_TEXT = 5, 200  # shorter parts of a URL are words, not secrets; characters


def url_secrets(url: str, public: Iterable[str] = ()) -> tuple[str, ...]:
    """The URL and each of its parts of five characters or more, as they stand and decoded, but for
    what is ``public``."""
    parts = [url, *re.split(r"[/:@?&=#,;]+", url)]
    forms = {form for part in parts for form in (part, unquote(part))}
    return tuple(f for f in forms if len(f) >= SHORTEST and f not in {*public})


def shown(text: str | bytes, secrets: Collection[str]) -> str:
    """The text in one line of at most 200 characters, each secret in it as "***"."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = one_line(text)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def system_error(error: BaseException) -> str:
    """What an error of the system says, without its arguments: those may hold a URL."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None)
    return str(text) if text else WORDS.get(type(error), type(error).__name__)
