"""A real SMTP server on loopback, whose replies, login and TLS are as a test wants them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Mailbox:
    """The messages that a server got. ``replies`` to the next messages, in order; after these it
    accepts. ``hangs_up``: it breaks the connection off where QUIT is to be answered."""

    def __init__(self, *replies: str, hangs_up: bool = False) -> None:
        self.replies, self.mails, self.rejected = list(replies), list[EmailMessage](), 0
        self.senders: list[str] = []
        self._hangs_up = hangs_up

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.replies:
            self.rejected += 1
            return self.replies.pop(0)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.senders.append(envelope.mail_from)
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        if self._hangs_up:
            server.transport.abort()
        return "221 Bye"


class _Controller(Controller):
    def _trigger_server(self) -> None:
        assert self.server
        self.port = self.server.sockets[0].getsockname()[1]  # of port 0
        super()._trigger_server()


@contextmanager
def mail_server(
    mailbox: Mailbox,
    *,
    login: tuple[str, str] | None = None,
    refusal: str = "535 5.7.8 bad credentials",
    starttls: ssl.SSLContext | None = None,
    implicit_tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """The port of a server that takes messages, where there is a ``login`` only from who knows it;
    ``refusal`` is its answer to others."""

    def authenticate(server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        good = (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=good, handled=False, message=None if good else refusal)

    controller = _Controller(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        ssl_context=implicit_tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=authenticate,
        auth_required=login is not None,
        auth_require_tls=implicit_tls is None,
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop(no_assert=True)
