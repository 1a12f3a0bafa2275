"""Alerts by e-mail: text, HTML with the plots in it, and SMTP over TLS."""

from __future__ import annotations

import contextlib
import email.utils
import smtplib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import NamedTuple
from urllib.parse import urlsplit

from waltzjax.monitor.alert import one_line, sentence
from waltzjax.monitor.delivery import message as text
from waltzjax.monitor.delivery.attempts import Refused, Unreached, connection_failure
from waltzjax.monitor.delivery.message import Message
from waltzjax.monitor.delivery.plot import draw
from waltzjax.monitor.delivery.redact import shown

URL, USER, PASSWORD, FROM = (
    "WALTZJAX_SMTP_URL", "WALTZJAX_SMTP_USER", "WALTZJAX_SMTP_PASSWORD", "WALTZJAX_SMTP_FROM",
)  # fmt: skip
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
SCHEMES = (
    "smtp://HOST[:587] (STARTTLS), smtps://HOST[:465] (TLS from the first byte) or "
    "smtp+plain://HOST[:25] (neither TLS nor login, for a relay on this machine)"
)


class Server(NamedTuple):
    """An SMTP server; ``scheme`` is one of PORTS, ``user`` "" where nobody logs in."""

    scheme: str
    host: str
    port: int
    user: str
    sender: str


@dataclass(frozen=True)
class Mail:
    """E-mail to one ``recipient``, so that no message is accepted by half; ``label`` names the
    destination in every text."""

    label: str
    recipient: str
    server: Server
    password: str = field(default="", repr=False)

    def deliver(self, message: Message, timeout_s: float) -> None:
        """Send the message; returns once the server has accepted it.

        Raises:
          Unreached: no answer within ``timeout_s``, no connection, a reply 4xx.
          Refused: the login, the certificate, the recipient, or any other reply 5xx.
        """
        mail = compose(message, self.server.sender, self.recipient)
        smtp: smtplib.SMTP | None = None
        try:
            smtp = self._connect(timeout_s)
            if self.server.user:
                smtp.login(self.server.user, self.password)
            smtp.send_message(mail, self.server.sender, [self.recipient])
            with contextlib.suppress(OSError):  # accepted is sent, whatever QUIT is answered
                smtp.quit()
        except OSError as error:  # smtplib's are too
            raise self._failure(error) from None
        finally:
            if smtp:
                smtp.close()

    def _connect(self, timeout_s: float) -> smtplib.SMTP:
        scheme, host, port, *_ = self.server
        name = socket.gethostname()
        name = name if "." in name else "[127.0.0.1]"  # given: smtplib would ask the name server
        if scheme == "smtps":
            tls = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, name, timeout=timeout_s, context=tls)
        smtp = smtplib.SMTP(host, port, name, timeout=timeout_s)
        try:
            if scheme == "smtp":
                smtp.starttls(context=ssl.create_default_context())
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _failure(self, error: OSError) -> Unreached | Refused:
        where = f"{self.server.host}:{self.server.port}"
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return Refused(f"{where} offers no STARTTLS or no login; {URL} may be {SCHEMES}")
        code, reply = _reply(error)
        if not code:
            return connection_failure(_cause(error), where, f"{URL} may be {SCHEMES}")
        answer = f"{where} answers {code} {shown(reply, (self.password, self.server.user))}"
        if code < 500:
            return Unreached(answer)
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return Refused(f"{answer}; correct {USER} and {PASSWORD} in the environment")
        return Refused(f"{answer}; correct the recipient, or {FROM} in the environment")


def _cause(error: OSError) -> BaseException:
    """What broke the connection; smtplib's own error hides an answer that did not come in time."""
    disconnected = isinstance(error, smtplib.SMTPServerDisconnected)
    return error.__context__ or ConnectionAbortedError() if disconnected else error


def _reply(error: OSError) -> tuple[int, bytes | str]:
    """The server's reply, code 0 where there is none."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))
    if isinstance(error, smtplib.SMTPResponseException):
        return max(0, error.smtp_code), error.smtp_error
    return 0, ""


def compose(message: Message, sender: str, recipient: str) -> EmailMessage:
    """The mail: plain text, and HTML that shows each plot by its Content-ID."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = text.subject(message), sender, recipient
    mail["Date"], mail["Auto-Submitted"] = email.utils.localtime(), "auto-generated"
    mail["Message-ID"] = email.utils.make_msgid(domain=sender.rpartition("@")[2])
    mail.set_content(text.plain_text(message))
    plots = [draw(raised.alert) for raised in message.in_full]
    ids = [email.utils.make_msgid(domain="waltzjax") if plot else "" for plot in plots]
    mail.add_alternative(html(message, [i.strip("<>") for i in ids]), subtype="html")
    page = mail.get_payload()[1]  # type: ignore[index]
    for number, (plot, content_id) in enumerate(zip(plots, ids, strict=True), 1):
        if plot:
            name = f"alert{number}.png"
            page.add_related(  # type: ignore[union-attr]
                plot, "image", "png", cid=content_id, filename=name, disposition="inline"
            )
    return mail


def html(message: Message, content_ids: list[str]) -> str:
    """The page of a mail; ``content_ids`` of the plots, one for each alert in full, "" for none."""
    from waltzjax.report.pages import render  # not on import: matplotlib and jinja2

    alerts = [
        {
            "sentence": sentence(raised.alert),
            "critical": raised.alert.critical,
            "facts": text.facts(raised, message.host),
            "image": content_id,
            "alt": f"{one_line(raised.alert.metric)}: {text.sparkline(raised.alert.history)}",
        }
        for raised, content_id in zip(message.in_full, content_ids, strict=True)
    ]
    return render(
        "alert.html",
        title=text.subject(message),
        test=text.TEST if message.test else "",
        alerts=alerts,
        sums=text.sums(message),
    )


def read_server(environment: Mapping[str, str]) -> tuple[Server, str]:
    """The server that the environment names, and the password; raises ValueError."""
    given, user = environment.get(URL, "").strip(), environment.get(USER, "").strip()
    password = environment.get(PASSWORD, "").strip("\r\n")
    if not given:
        raise ValueError(
            f"e-mail needs the environment variable {URL}, {SCHEMES}; and for a login {USER} and "
            f"{PASSWORD}"
        )
    try:
        url = urlsplit(given)
        scheme, host, port, login = url.scheme, url.hostname, url.port, "@" in url.netloc
    except ValueError:
        scheme, host, port, login = "", None, None, False
    if login:
        raise ValueError(f"{URL} holds a login; that belongs into {USER} and {PASSWORD}")
    if scheme not in PORTS or not host or url.path.strip("/") or url.query or url.fragment:
        raise ValueError(f"{URL} is no URL of an SMTP server: it may be {SCHEMES}")
    if bool(user) != bool(password):
        raise ValueError(f"{USER} and {PASSWORD} belong together: one of them is not set or empty")
    if scheme == "smtp+plain" and user:
        raise ValueError(
            f"{URL}: a login goes over TLS only; it may be smtp://HOST or smtps://HOST"
        )
    if not (user + password).isascii():
        raise ValueError(f"{USER}, {PASSWORD}: SMTP takes ASCII characters only")
    sender = environment.get(FROM, "").strip() or (user if "@" in user else f"waltzjax@{_domain()}")
    if not is_address(sender):
        raise ValueError(f"{FROM}: {sender!r} is no e-mail address such as alerts@example.org")
    return Server(scheme, host, port or PORTS[scheme], user, sender), password


def _domain() -> str:
    name = socket.gethostname()
    return name if is_address(f"waltzjax@{name}") else "localhost"


def is_address(address: str) -> bool:
    """Whether it looks like NAME@HOST, in ASCII, without spaces or anything of a header."""
    name, at, host = address.rpartition("@")
    plain = address.isascii() and address.isprintable() and not set(address) & set(' <>"(),:;\\[]')
    return bool(at and name and host) and "@" not in name and plain
