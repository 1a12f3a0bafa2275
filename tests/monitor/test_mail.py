"""E-mail, sent to a real SMTP server on loopback: TLS, login, replies, and what a person sees."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from alerts import alert, message
from mail_server import Mailbox, mail_server

from waltzjax.monitor.delivery.attempts import Refused, Unreached
from waltzjax.monitor.delivery.mail import Mail, read_server

# Where TLS is the connection's own, aiosmtpd does not see it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
LOGIN = ("alice@example.org", "s3cret-pass")


class Certificates:
    """A server's context, and the file of the authority that signed its certificate."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self.server)
        self.file = str(directory / "authority.pem")
        authority.cert_pem.write_to_path(self.file)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trusted(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    monkeypatch.setenv("SSL_CERT_FILE", certificates.file)
    return certificates


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def mail_to(port: int, scheme: str = "smtp+plain", login: tuple[str, str] = ("", "")) -> Mail:
    environment = {
        "WALTZJAX_SMTP_URL": f"{scheme}://127.0.0.1:{port}",
        "WALTZJAX_SMTP_USER": login[0],
        "WALTZJAX_SMTP_PASSWORD": login[1],
    }
    server, password = read_server(environment)
    return Mail("mailto:bob@example.org", "bob@example.org", server, password)


def failure(mail: Mail, timeout_s: float = 5.0) -> Unreached | Refused:
    with pytest.raises((Unreached, Refused)) as caught:
        mail.deliver(message(), timeout_s)
    assert LOGIN[1] not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
    return caught.value


def test_a_mail_has_text_page_and_plots():
    with mail_server(box := Mailbox()) as port:
        mail_to(port).deliver(message(alert(run="<b>demo</b>"), alert(rule="orr")), 5.0)
    (mail,) = box.mails
    assert (mail["To"], mail["Auto-Submitted"]) == ("bob@example.org", "auto-generated")
    assert mail["From"].startswith("waltzjax@") and mail["Date"] and mail["Message-ID"]
    assert mail["Subject"] == (
        "[waltzjax] critical: kl of run <b>demo</b> is 0.31, above 0.2, at step 1,204 of stage2 "
        "(rule kl) and 1 more"
    )
    text, page = (mail.get_body([kind]) for kind in ("plain", "html"))
    assert text and "rule         kl, critical: kl above 0.2" in text.get_content()
    assert page and "&lt;b&gt;demo&lt;/b&gt;" in page.get_content()
    assert "<b>" not in page.get_content()
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert all(p.get_content().startswith(b"\x89PNG") for p in pictures)
    assert all(p.get_content_disposition() == "inline" for p in pictures)
    shown = re.findall(r'src="cid:([^"]+)"', page.get_content())
    assert [f"<{content_id}>" for content_id in shown] == [p["Content-ID"] for p in pictures]
    assert len(set(shown)) == 2


def test_an_alert_is_sent_where_its_plot_cannot_be_drawn(monkeypatch):
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: 1 / 0)
    with mail_server(box := Mailbox()) as port:
        mail_to(port).deliver(message(), 5.0)
    page = box.mails[0].get_body(["html"])
    assert page and "above 0.2" in page.get_content() and "<img" not in page.get_content()


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_login_goes_over_tls(scheme, trusted):
    tls = {"starttls" if scheme == "smtp" else "implicit_tls": trusted.server}
    with mail_server(box := Mailbox(), login=LOGIN, **tls) as port:
        mail_to(port, scheme, LOGIN).deliver(message(), 5.0)
    assert box.senders == [LOGIN[0]]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_is_refused(scheme, certificates):
    tls = {"starttls" if scheme == "smtp" else "implicit_tls": certificates.server}
    with mail_server(box := Mailbox(), login=LOGIN, **tls) as port:
        error = failure(mail_to(port, scheme, LOGIN))
    assert isinstance(error, Refused) and "SSL_CERT_FILE" in str(error) and not box.mails


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_without_tls_gets_neither_login_nor_mail(scheme):
    with mail_server(box := Mailbox(), login=LOGIN) as port:
        error = failure(mail_to(port, scheme, LOGIN))
    assert isinstance(error, Refused) and "WALTZJAX_SMTP_URL" in str(error) and not box.mails


def test_a_refused_login_says_what_to_correct(trusted):
    reply = f"535 5.7.8 no {LOGIN[0]} with s3cret-pass-not"
    with mail_server(Mailbox(), login=LOGIN, refusal=reply, starttls=trusted.server) as port:
        error = failure(mail_to(port, "smtp", (LOGIN[0], "s3cret-pass-not")))
    assert isinstance(error, Refused)
    assert "answers 535 5.7.8 no *** with ***; correct WALTZJAX_SMTP_USER and" in str(error)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("451 4.3.0 try later", Unreached), ("550 5.1.1 nobody here", Refused),
     ("421 4.3.2 closing", Unreached)],
)  # fmt: skip
def test_a_reply_4xx_may_pass_and_5xx_may_not(reply, kind):
    with mail_server(box := Mailbox(reply)) as port:
        error = failure(mail_to(port))
        mail_to(port).deliver(message(), 5.0)
    assert type(error) is kind and reply in str(error) and len(box.mails) == 1


def test_a_server_that_refuses_the_recipient():
    class NoSuchUser(Mailbox):
        async def handle_RCPT(self, *_):
            return "550 5.1.1 no such user"

    with mail_server(NoSuchUser()) as port:
        error = failure(mail_to(port))
    assert isinstance(error, Refused) and "no such user; correct the recipient" in str(error)


def test_no_server_and_a_silent_one_are_unreached(silent_server):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    error = failure(mail_to(closed))
    assert isinstance(error, Unreached)
    assert f"127.0.0.1:{closed} cannot be reached (Connection refused)" in str(error)
    for scheme in ("smtp", "smtps"):
        error = failure(mail_to(silent_server.getsockname()[1], scheme), timeout_s=0.1)
        assert isinstance(error, Unreached) and "(no answer in time)" in str(error)


def test_a_server_that_hangs_up_is_unreached(silent_server):
    def hang_up() -> None:
        connection, _ = silent_server.accept()
        connection.sendall(b"220 hello\r\n")
        connection.recv(100)
        connection.close()

    (thread := threading.Thread(target=hang_up)).start()
    error = failure(mail_to(silent_server.getsockname()[1]))
    thread.join()
    assert isinstance(error, Unreached)
    assert "(the server closed the connection)" in str(error)


def test_a_mail_that_was_accepted_is_sent_whatever_comes_of_quit():
    with mail_server(box := Mailbox(hangs_up=True)) as port:
        mail_to(port).deliver(message(), 5.0)
    assert len(box.mails) == 1
