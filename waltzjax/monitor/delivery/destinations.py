"""Destinations of alerts: what --alert names, with every secret from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from waltzjax.monitor.delivery import mail, services, webhook
from waltzjax.monitor.delivery.message import Message

FORMS = "it may be mailto:NAME@HOST or env:VARIABLE, an environment variable that holds a URL"


class Destination(Protocol):
    """A place that messages go to; ``label`` names it in every text and holds no secret."""

    @property
    def label(self) -> str: ...

    def deliver(self, message: Message, timeout_s: float) -> None:
        """Send it; raises Unreached or Refused, without a secret in the text."""


def read_destinations(
    values: Sequence[str], environment: Mapping[str, str]
) -> tuple[Destination, ...]:
    """The destinations that ``values`` of --alert name, each once.

    Raises:
      ValueError: a value, or what the environment holds for it, cannot be used; the text shows no
        value that may be a secret.
    """
    return tuple(_destination(value, environment) for value in dict.fromkeys(values))


def _destination(value: str, environment: Mapping[str, str]) -> Destination:
    kind, _, rest = value.partition(":")
    if kind == "mailto" and not rest.startswith("//"):
        return _mail(value, value, environment)
    if kind != "env":
        if mail.is_address(value):
            raise ValueError(f"--alert={value}: {FORMS}; here --alert=mailto:{value}")
        # A webhook's URL is its password; a command line is seen by all users of a machine.
        raise ValueError(
            f"--alert: {FORMS} (the value is not shown: a URL holds a secret and does not belong "
            "on a command line). For example: --alert=env:SLACK_URL"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        raise ValueError(
            "--alert=env:...: not the name of an environment variable (not shown, in "
            "case it is a secret)"
        )
    url = environment.get(rest, "").strip()
    if not url:
        raise ValueError(f"--alert={value}: the environment variable {rest} is not set or empty")
    return _by_url(value, url, environment)


def _by_url(label: str, url: str, environment: Mapping[str, str]) -> Destination:
    scheme = url.partition(":")[0].lower()
    if scheme == "mailto":
        return _mail(label, url, environment)
    if scheme in ("http", "https"):
        if not webhook.is_webhook(url):
            raise ValueError(f"--alert={label}: holds no URL of a webhook, https://HOST/...")
        if "discord" in url and not url.rstrip("/").endswith("/slack"):
            raise ValueError(f"--alert={label}: a webhook of Discord's needs /slack at its end")
        return webhook.Webhook(label, url)
    if "://" not in url:
        raise ValueError(
            f"--alert={label}: holds no URL; it may be https://... (a webhook as Slack's), "
            "mailto:NAME@HOST or a URL of apprise (ntfy://..., tgram://...)"
        )
    try:
        known = services.instantiate(url)
    except ValueError as error:
        raise ValueError(f"--alert={label}: {error}") from None
    if known is None:
        raise ValueError(
            f"--alert={label}: holds no URL that apprise knows; its forms are listed at "
            "https://appriseit.com/services/"
        )
    return services.Service(label, url)


def _mail(label: str, url: str, environment: Mapping[str, str]) -> Destination:
    address = url.partition(":")[2].strip()
    if not mail.is_address(address):
        raise ValueError(
            f"--alert={label}: mailto: needs one e-mail address, as in mailto:me@example.org; for "
            "several people give --alert several times"
        )
    try:
        server, password = mail.read_server(environment)
    except ValueError as error:
        raise ValueError(f"--alert={label}: {error}") from None
    return mail.Mail(label, address, server, password)
