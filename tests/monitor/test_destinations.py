"""--alert: the forms it takes, what is missing for each, and secrets that no text shows."""

import sys

import pytest

from waltzjax.monitor.delivery.destinations import read_destinations
from waltzjax.monitor.delivery.mail import Mail, Server
from waltzjax.monitor.delivery.redact import shown, url_secrets
from waltzjax.monitor.delivery.webhook import Webhook

SMTP = {"WALTZJAX_SMTP_URL": "smtp://mail.example.org"}
LOGIN = {"WALTZJAX_SMTP_USER": "me@example.org", "WALTZJAX_SMTP_PASSWORD": "pass word \n"}
SECRET = "T024BE7LD-xoxb-9f86d081"


def read(value: str, **environment: str):
    (destination,) = read_destinations([value], environment)
    return destination


def refusal(value: str, **environment: str) -> str:
    with pytest.raises(ValueError) as caught:
        read_destinations([value], environment)
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None  # nor in what a traceback would show
    return str(caught.value)


def test_e_mail_takes_its_server_from_the_environment():
    assert read("mailto:you@example.org", **SMTP, **LOGIN) == Mail(
        "mailto:you@example.org",
        "you@example.org",
        Server("smtp", "mail.example.org", 587, "me@example.org", "me@example.org"),
        "pass word ",
    )


@pytest.mark.parametrize(
    ("url", "port"),
    [("smtp://h", 587), ("smtps://h", 465), ("smtp+plain://h", 25), ("smtps://h:2465/", 2465)],
)
def test_the_scheme_says_how_tls_begins(url, port):
    server = read("mailto:you@example.org", WALTZJAX_SMTP_URL=url).server
    assert (server.scheme, server.port) == (url.partition(":")[0], port)


def test_the_sender_can_be_named():
    mail = read("mailto:you@example.org", WALTZJAX_SMTP_FROM="gpu@example.org", **SMTP)
    assert mail.server.sender == "gpu@example.org"


def test_a_variable_holds_a_url_of_any_kind():
    hook = f"https://hooks.example.org/services/{SECRET}"
    assert read("env:SLACK", SLACK=hook) == Webhook("env:SLACK", hook)
    assert read("env:CHAT", CHAT="https://discord.com/api/webhooks/1/2/slack").label == "env:CHAT"
    assert read("env:ME", ME="mailto:you@example.org", **SMTP).recipient == "you@example.org"
    assert read("env:PHONE", PHONE=f"ntfy://{SECRET}").url == f"ntfy://{SECRET}"


def test_a_destination_given_twice_is_one():
    values = ["mailto:a@example.org", "mailto:b@example.org", "mailto:a@example.org"]
    assert [d.label for d in read_destinations(values, SMTP)] == values[:2]


@pytest.mark.parametrize(
    ("value", "environment", "words"),
    [
        (f"https://hooks.example.org/{SECRET}", {}, "does not belong on a command line"),
        (f"tgram://{SECRET}/1", {}, "--alert=env:SLACK_URL"),
        ("you@example.org", {}, "--alert=mailto:you@example.org"),
        ("", {}, "mailto:NAME@HOST or env:VARIABLE"),
        (f"env:https://h/{SECRET}", {}, "not the name of an environment variable"),
        ("env:SLACK", {}, "SLACK is not set or empty"),
        ("env:SLACK", {"SLACK": " "}, "SLACK is not set or empty"),
        ("env:SLACK", {"SLACK": SECRET}, "holds no URL"),
        ("env:SLACK", {"SLACK": f"https:///{SECRET}"}, "holds no URL of a webhook"),
        ("env:SLACK", {"SLACK": f"https://h:{SECRET}/"}, "holds no URL of a webhook"),
        ("env:SLACK", {"SLACK": f"https://me:{SECRET}@h/"}, "holds no URL of a webhook"),
        ("env:SLACK", {"SLACK": f"https://h/{SECRET} x"}, "holds no URL of a webhook"),
        ("env:CHAT", {"CHAT": f"https://discord.com/api/webhooks/1/{SECRET}"}, "needs /slack"),
        ("env:SLACK", {"SLACK": f"nosuch://{SECRET}"}, "holds no URL that apprise knows"),
        (
            "env:SLACK",
            {"SLACK": f"tgram://123456789:a_{SECRET}/1/?"},
            "holds no URL that apprise knows",
        ),
        ("mailto:you", SMTP, "needs one e-mail address"),
        ("mailto:a@example.org,b@example.org", SMTP, "give --alert several times"),
        ("mailto:a@example.org?bcc=b@example.org", SMTP, "needs one e-mail address"),
        ("mailto:you@example.org", {}, "needs the environment variable WALTZJAX_SMTP_URL"),
        ("mailto:you@example.org", {"WALTZJAX_SMTP_URL": "mail.example.org"}, "smtps://HOST"),
        ("mailto:you@example.org", {"WALTZJAX_SMTP_URL": f"smtp://a:{SECRET}@h"}, "holds a login"),
        ("mailto:you@example.org", {"WALTZJAX_SMTP_URL": f"smtp://h:{SECRET}"}, "smtp://HOST"),
        ("mailto:you@example.org", {**SMTP, "WALTZJAX_SMTP_PASSWORD": SECRET}, "belong together"),
        ("mailto:you@example.org", {**LOGIN, "WALTZJAX_SMTP_URL": "smtp+plain://h"}, "over TLS"),
        (
            "mailto:you@example.org",
            {**SMTP, "WALTZJAX_SMTP_USER": "me", "WALTZJAX_SMTP_PASSWORD": f"{SECRET}ä"},
            "ASCII",
        ),
        ("mailto:you@example.org", {**SMTP, "WALTZJAX_SMTP_FROM": "me"}, "'me' is no e-mail"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(value, environment, words):
    text = refusal(value, **environment)
    assert words in text and text.startswith("--alert")


def test_apprise_is_asked_for_only_where_a_url_is_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)  # as if it were not installed
    assert "pip install 'waltzjax[alerts]'" in refusal("env:PHONE", PHONE="ntfy://topic")
    read("env:SLACK", SLACK="https://hooks.example.org/x")


def test_no_destination_shows_its_secret():
    mail = read("mailto:you@example.org", **SMTP, **LOGIN)
    hook = read("env:SLACK", SLACK=f"https://h/{SECRET}")
    phone = read("env:PHONE", PHONE=f"ntfy://{SECRET}")
    assert "pass word" not in repr(mail)
    assert SECRET not in repr((hook, phone))


def test_every_part_of_a_url_is_kept_out_of_a_text():
    secrets = url_secrets("https://hooks.example.org/services/T0/token%2Done?key=abcdefg",
                          ["hooks.example.org"])  # fmt: skip
    text = "hooks.example.org: no /services/T0/token%2Done, no token-one with abcdefg\r\n at all"
    assert shown(text, secrets) == "hooks.example.org: no /***/T0/***, no *** with *** at all"
    assert shown(b"x" * 900, ()) == "x" * 199 + "…"
