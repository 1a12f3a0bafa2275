"""Alerts by webhook: a POST of {"text": ...}, which Slack, Mattermost and Discord (URL + "/slack")
take alike. No blocks: Mattermost shows nothing of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from waltzjax.monitor.delivery.attempts import Refused, Unreached, connection_failure, retry_after_s
from waltzjax.monitor.delivery.message import Message, chat_text
from waltzjax.monitor.delivery.redact import shown, url_secrets

BUSY = (408, 425, 429)  # of the statuses 4xx those that time may mend


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: it could take the alert to anybody, and makes a GET of a POST."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Webhook:
    """An incoming webhook; the whole URL is a secret, ``label`` stands for it in every text."""

    label: str
    url: str = field(repr=False)

    def deliver(self, message: Message, timeout_s: float) -> None:
        """Post the message; returns where it is answered 2xx.

        Raises:
          Unreached: no connection, no answer within ``timeout_s``, a status 5xx, 408 or 429.
          Refused: any other status, a certificate that is not trusted.
        """
        # Slack reads these three as markup: <!channel> would call everybody.
        body = chat_text(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        request = urllib.request.Request(
            self.url,
            json.dumps({"text": body}).encode(),
            {"Content-Type": "application/json", "User-Agent": "waltzjax"},
        )
        try:
            opener = urllib.request.build_opener(_NoRedirect)
            opener.open(request, timeout=timeout_s).close()
        except urllib.error.HTTPError as error:
            raise self._answer(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)  # urllib wraps some, and some as text
            cause = reason if isinstance(reason, BaseException) else ConnectionError()
            host, variable = str(urlsplit(self.url).hostname), self.label.removeprefix("env:")
            raise connection_failure(cause, host, f"correct the URL in {variable}") from None

    def _answer(self, error: urllib.error.HTTPError) -> Unreached | Refused:
        reply = b""
        with contextlib.suppress(OSError, http.client.HTTPException), error:
            reply = error.read(500)
        words = shown(reply, url_secrets(self.url, [urlsplit(self.url).hostname or ""]))
        answer = f"the server answers {error.code}" + (f" ({words})" if words else "")
        if error.code in BUSY or error.code >= 500:
            return Unreached(answer, retry_after_s(error.headers.get("Retry-After"), time.time()))
        variable = self.label.removeprefix("env:")
        if error.code < 400:
            return Refused(f"{answer}: the URL has moved; put the new one into {variable}")
        return Refused(f"{answer}; make a new webhook there and put its URL into {variable}")


def is_webhook(url: str) -> bool:
    """Whether it is a URL that can be posted to: http or https, a host, no login, no spaces."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return (
        usable
        and "@" not in parts.netloc
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )
