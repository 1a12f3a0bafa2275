"""Webhooks, and services by apprise, against a real HTTP server on loopback."""

import email.utils
import logging
import socket
import ssl
import time

import pytest
import trustme
from alerts import alert, message
from judge_server import JudgeServer, cut, reply

from waltzjax.monitor.delivery.attempts import Refused, Unreached
from waltzjax.monitor.delivery.message import chat_text
from waltzjax.monitor.delivery.services import Service
from waltzjax.monitor.delivery.webhook import Webhook

SECRET = "T024BE7LD/xoxb-9f86d081"


def hook(server: JudgeServer) -> Webhook:
    return Webhook("env:SLACK", f"http://127.0.0.1:{server.port}/services/{SECRET}")


def failure(destination: Webhook | Service, timeout_s: float = 5.0) -> Unreached | Refused:
    with pytest.raises((Unreached, Refused)) as caught:
        destination.deliver(message(), timeout_s)
    assert not any(part in str(caught.value) for part in SECRET.split("/"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_a_webhook_gets_the_text_as_slack_mattermost_and_discord_read_it():
    with JudgeServer() as server:
        hook(server).deliver(message(alert(run="a<!channel>&b")), 5.0)
        hook(server).deliver(message(), 5.0)
    first, second = server.requests
    assert first["path"] == f"/services/{SECRET}"
    assert "of run a&lt;!channel&gt;&amp;b is 0.31" in first["body"]["text"]
    assert second["body"] == {"text": chat_text(message())}


@pytest.mark.parametrize("status", [500, 502, 503, 408, 429])
def test_a_status_that_may_pass(status):
    with JudgeServer(reply(status, "later", retry_after="7")) as server:
        error = failure(hook(server))
        hook(server).deliver(message(), 5.0)
    assert isinstance(error, Unreached) and error.retry_after_s == 7
    assert str(error) == f"the server answers {status} (later)"


def test_a_pause_may_end_at_a_date():
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    with JudgeServer(reply(429, "", retry_after=date)) as server:
        error = failure(hook(server))
    assert isinstance(error, Unreached) and 50 < error.retry_after_s <= 60


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "make a new webhook"), (403, "put its URL into SLACK"), (404, "make a new webhook"),
     (302, "the URL has moved"), (308, "the URL has moved")],
)  # fmt: skip
def test_a_status_that_somebody_must_mend_shows_the_answer_but_no_secret(status, words):
    answer = reply(status, f"no /services/{SECRET}\nhere", location="http://127.0.0.1:1/")
    with JudgeServer(answer) as server:
        error = failure(hook(server))
    assert isinstance(error, Refused) and words in str(error)
    assert f"answers {status} (no /***/***/*** here)" in str(error)
    assert len(server.requests) == 1


def test_no_server_a_silent_one_and_one_that_hangs_up_are_unreached():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    error = failure(Webhook("env:SLACK", f"http://127.0.0.1:{closed}/{SECRET}"))
    assert isinstance(error, Unreached)
    assert "127.0.0.1 cannot be reached (Connection refused)" in str(error)
    with JudgeServer() as server:
        server.script = [server.hang, lambda handler: handler.connection.close()]
        assert "(no answer in time)" in str(failure(hook(server), timeout_s=0.1))
        error = failure(hook(server))
        assert isinstance(error, Unreached)
        assert "(the server closed the connection)" in str(error)


def test_a_message_that_was_taken_is_sent_though_the_answer_breaks_off():
    with JudgeServer(cut) as server:
        hook(server).deliver(message(), 5.0)


def test_a_certificate_that_nobody_vouches_for_is_refused(monkeypatch, tmp_path):
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with JudgeServer() as server:
        plain = server._server.socket
        server._server.socket = context.wrap_socket(plain, server_side=True)
        secure = Webhook("env:SLACK", f"https://127.0.0.1:{server.port}/{SECRET}")
        error = failure(secure)
        assert isinstance(error, Refused) and "SSL_CERT_FILE" in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        secure.deliver(message(), 5.0)
    assert len(server.requests) == 1


def test_a_server_that_speaks_no_tls_is_refused():
    with JudgeServer() as server:
        error = failure(Webhook("env:SLACK", f"https://127.0.0.1:{server.port}/{SECRET}"))
    assert isinstance(error, Refused) and "does not speak TLS" in str(error)


def test_apprise_carries_text_and_plot_to_other_services(caplog, capfd):
    with JudgeServer() as server:
        service = Service("env:PHONE", f"json://127.0.0.1:{server.port}/{SECRET}")
        service.deliver(message(), 5.0)
        server.then = reply(500, f"no {SECRET}")
        error = failure(service)
    sent = server.requests[0]["body"]
    assert sent["title"].startswith("[waltzjax] critical: kl of run demo")
    assert "kl, critical: kl above 0.2" in sent["message"] and sent["type"] == "failure"
    assert [a["filename"] for a in sent["attachments"]] == ["alert.png"]
    assert isinstance(error, Unreached) and "500" in str(error)
    assert isinstance(failure(service), Unreached)  # nobody there
    assert capfd.readouterr() == ("", "")


def test_apprise_says_why_without_a_secret_and_logs_to_nobody(monkeypatch):
    def send(service, **_) -> bool:
        logging.getLogger("apprise").warning(f"403 of {service.host}{service.fullpath}")
        return False

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", send)
    error = failure(Service("env:PHONE", f"json://127.0.0.1/{SECRET}"))
    assert "apprise failed (403 of ***/***/***); mend the network, or the URL in PHONE" in str(
        error
    )
    assert not logging.getLogger("apprise").propagate
