"""Alerts by any service that apprise reaches: ntfy, Telegram, Microsoft Teams, Matrix, SMS ..."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from waltzjax.monitor.delivery.attempts import Refused, Unreached
from waltzjax.monitor.delivery.message import Message, plain_text, subject
from waltzjax.monitor.delivery.plot import draw
from waltzjax.monitor.delivery.redact import shown, url_secrets

INSTALL = "pip install 'waltzjax[alerts]'"


@dataclass(frozen=True)
class Service:
    """A service by its apprise URL, all of which is secret; ``label`` stands for it."""

    label: str
    url: str = field(repr=False)

    def deliver(self, message: Message, timeout_s: float) -> None:
        """Send text and, where the service takes files, the first alert's plot.

        Raises:
          Unreached: apprise did not deliver it. Why is only in its log, so that every failure
            counts as one that time may mend.
          Refused: apprise does not know the URL.
        """
        apprise = load_apprise()
        from apprise.attachment.memory import AttachMemory

        service, alert = instantiate(self.url), message.in_full[0].alert
        if service is None:
            raise Refused(f"apprise does not know the URL in {self.label}")
        plot = draw(alert) if service.attachment_support else None
        picture = AttachMemory(plot, name="alert.png", mimetype="image/png") if plot else None
        sender = apprise.Apprise([service])
        result = sender.notify(
            title=subject(message),
            body=plain_text(message),
            notify_type="failure" if alert.critical else "warning",
            attach=apprise.AppriseAttachment([picture]) if picture else None,
            timeout=timeout_s,
        )
        if not result:
            log = [e.message for r in result.results for e in r.logs() if e.level != "DEBUG"]
            why = shown("; ".join(log), url_secrets(self.url)) or "no reason given"
            variable = self.label.removeprefix("env:")
            raise Unreached(f"apprise failed ({why}); mend the network, or the URL in {variable}")


def load_apprise() -> ModuleType:
    """The package apprise; raises ValueError where it is not installed."""
    try:
        import apprise
    except ImportError:
        raise ValueError(f"a URL of this kind needs the package apprise: {INSTALL}") from None
    apprise.logger.propagate = False  # its log may hold parts of a URL
    return apprise


def instantiate(url: str) -> Any:
    """apprise's service of that URL, None where it knows none."""
    try:
        return load_apprise().Apprise.instantiate(url)
    except (TypeError, AttributeError, KeyError):  # of URLs without a host
        return None
