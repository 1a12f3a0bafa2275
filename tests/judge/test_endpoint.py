"""The client against a real server on loopback, well and ill."""

import email.utils
import json
import re
import sys
import threading
import time
import traceback

import pytest
from judge_server import FakeTime, JudgeServer, cut, reply, well, when

from waltzjax.judge import replies
from waltzjax.judge.endpoint import Endpoint
from waltzjax.judge.retry import CutOff, UnusableReply
from waltzjax.support.errors import JudgeOutage, JudgeStopped, RequestRefused

HELLO = [{"role": "user", "content": "hello"}]
SOON_S = 2.0  # far below the 30 s that a hanging server takes, far above a busy machine's pauses


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


class Client(Endpoint):
    """An endpoint under fake time that keeps what it said."""

    def __init__(self, url, *, then=lambda now: None, **changes):
        self.said, stop = [], threading.Event()
        self.time = FakeTime(stop, then)
        settings = dict(
            max_tokens=64, timeout_s=5.0, tries=3, retry_s=600.0, stop=stop,
            say=self.said.append, clock=self.time.clock, wait=self.time.wait,
        )  # fmt: skip
        super().__init__(url, "judge-model", **(settings | changes))


def test_a_chat_completion(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "a-secret-key\n")
    with (
        JudgeServer(well("good")) as server,
        Client(server.url, key_env="JUDGE_KEY") as client,
    ):
        assert client.chat(HELLO) == "good"
    (asked,) = server.requests
    assert asked["path"] == "/v1/chat/completions" and asked["key"] == "Bearer a-secret-key"
    settings = {"model": "judge-model", "temperature": 0, "max_tokens": 64}
    assert asked["body"] == {"messages": HELLO, **settings}


def test_a_raw_completion_adds_no_tokens():
    with JudgeServer(well("")) as server, Client(server.url + "/") as client:
        assert client.complete("<s>prompt") == ""
    (asked,) = server.requests
    assert asked["path"] == "/v1/completions"
    settings = {"model": "judge-model", "temperature": 0, "max_tokens": 64}
    assert asked["body"] == {"prompt": "<s>prompt", "add_special_tokens": False, **settings}


TROUBLES = {
    "cut mid-body": cut,
    "408": reply(408, ""),
    "409": reply(409, '{"error": {"message": "conflict"}}'),
    "425": reply(425, ""),
    "499": reply(499, ""),
    "529": reply(529, '{"type": "error", "error": {"type": "overloaded_error"}}'),
    "200 that is a 409": reply(200, '{"error": {"code": 409, "message": "conflict"}}'),
    "200 that is a 502": reply(200, '{"error": {"message": "upstream", "code": 502}}'),
    "200 that is a limit": reply(200, '{"error": {"code": "rate_limit_exceeded"}}'),
    "200 that is busy": reply(200, '{"object": "error", "message": "busy", "code": 503}'),
    "200 with words alone": reply(200, '{"detail": "The model is overloaded, try again later"}'),
    "200 with a broken choice": well("", error={"code": 504, "message": "provider"}),
    "a call in the place of a text": well(None, finish_reason="tool_calls"),
    "the beginning of a text": well("fi", finish_reason="error"),
    "a text given up": well("fi", finish_reason="abort"),
    "429": reply(429, '{"error": {"message": "slow down"}}'),
    "500": reply(500, "<html>oops</html>"),
    "503": reply(503, ""),
    "not JSON": reply(200, "<html>welcome</html>"),
    "deeply nested": reply(200, "[" * 100_000),
    "no object": reply(200, "[]"),
    "no choices": reply(200, '{"choices": []}'),
    "null choices": reply(200, '{"choices": null}'),
    "null content": well(None),
    "content in parts": well(["fine"]),
    "half a character": well("fine \ud83d"),
    "empty": reply(200, ""),
    "compressed badly": reply(200, "plain", content_encoding="gzip"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_is_tried_again(trouble):
    with JudgeServer(TROUBLES[trouble], TROUBLES[trouble]) as server, Client(server.url) as client:
        assert client.chat(HELLO) == "fine"
    assert len(server.requests) == 3 and client.said == []
    assert 0.75 <= client.time.now <= 1.5  # half a second, then a whole one, less jitter


def test_a_timeout_is_tried_again():
    with JudgeServer() as server, Client(server.url, timeout_s=0.1) as client:
        server.script, started = [server.hang], time.monotonic()
        assert client.complete("x") == "fine"
        assert time.monotonic() - started < SOON_S
    assert len(server.requests) == 2


def test_retry_after_is_respected():
    ill = reply(429, "", retry_after="7")
    with JudgeServer(ill) as server, Client(server.url) as client:
        assert client.chat(HELLO) == "fine"
    assert client.time.now == 7


def test_retry_after_as_a_date_or_nonsense():
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 < replies.retry_after_s({"retry-after": date}) <= 30
    for value in ("soon", "", "nan", "inf", "-5", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert replies.retry_after_s({"retry-after": value}) == 0
    assert replies.retry_after_s({}) == 0


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"error": {"message": "max_tokens is too large"}}, "max_tokens is too large"),
        (404, {"object": "error", "message": "no such model"}, "no such model"),
        (404, {"error": "model 'judge-model' not found"}, "model 'judge-model' not found"),
        (422, {"detail": ["field required"]}, '{"detail": ["field required"]}'),
        (400, ["neither"], '["neither"]'),
        (403, "<html>\n  forbidden</html>", "<html> forbidden</html>"),
    ],
)
def test_a_refused_request_is_an_error_at_once(status, body, words):
    text = body if isinstance(body, str) else json.dumps(body)
    with (
        JudgeServer(then=reply(status, text)) as server,
        Client(server.url) as client,
        pytest.raises(RequestRefused) as caught,
    ):
        client.chat(HELLO)
    tries = 1 if status == 404 else 2  # others may be about the text: a plain one is tried
    assert len(server.requests) == tries and client.said == []
    for part in (f"HTTP {status}: {words};", "judge-model", server.url):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"code": 401, "message": "no key"}}, "HTTP 401: no key; no API key was sent"),
        ({"error": {"code": "model_not_found", "message": "gone"}}, "HTTP 404: gone;"),
        ({"error": "invalid_api_key"}, "HTTP 401: invalid_api_key;"),
        ({"object": "error", "code": 404, "message": "no such model"}, "HTTP 404: no such model;"),
        ({"detail": "Not Found"}, 'HTTP 404: {"detail": "Not Found"};'),
        ({"error": {"code": 400, "message": "max_tokens"}}, "HTTP 400: max_tokens;"),
    ],
)
def test_an_error_with_a_200_is_refused_as_the_status_it_names(body, words):
    with (
        JudgeServer(then=reply(200, json.dumps(body))) as server,
        Client(server.url) as client,
        pytest.raises(RequestRefused, match=re.escape(words)),
    ):
        client.chat(HELLO)
    assert client.said == []


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 503}},
        {"error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"object": "error", "type": "InternalServerError", "message": "x"},
        [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}],
        {"choices": [], "error": {"code": "502"}},
    ],
)
def test_an_error_with_a_200_that_lasts_is_an_outage_and_no_reply(body):
    with (
        JudgeServer(then=reply(200, json.dumps(body))) as server,
        Client(server.url) as client,
        pytest.raises(JudgeOutage, match="for 10 min"),
    ):
        client.chat(HELLO)


def test_a_limit_with_a_200_is_waited_for_as_long_as_it_asks():
    ill = reply(200, '{"error": {"code": 429}}', retry_after="9")
    with JudgeServer(ill) as server, Client(server.url) as client:
        assert client.chat(HELLO) == "fine"
    assert client.time.now == 9


@pytest.mark.parametrize("ended", ["length", "max_tokens", "content_filter"])
def test_a_reply_that_did_not_end_by_itself_is_told_with_its_text(ended):
    with (
        JudgeServer(then=well("<think>So", finish_reason=ended)) as server,
        Client(server.url) as client,
        pytest.raises(CutOff, match=r"64 tokens \(config.judge.max_tokens\): <think>So") as caught,
    ):
        client.chat(HELLO)
    assert caught.value.text == "<think>So" and len(server.requests) == 1


TEXTS = {
    "parts": (well([{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]), "fine"),
    "thoughts in parts": (
        well([{"type": "thinking", "thinking": ["no"]}, {"type": "text", "text": "yes"}]), "yes",
    ),
    "thoughts apart": (
        well(message={"content": "yes", "reasoning_content": "no", "reasoning": "no"}), "yes",
    ),
    "a byte order mark": (reply(200, '\ufeff{"choices": [{"message": {"content": "a"}}]}'), "a"),
    "choices out of order": (
        reply(200, json.dumps({"choices": [{"index": i, "message": {"content": str(i)}}
                                           for i in (1, 0)]})), "0",
    ),
    "no error": (reply(200, '{"error": null, "choices": [{"message": {"content": "a"}}]}'), "a"),
}  # fmt: skip


@pytest.mark.parametrize("form", TEXTS)
def test_the_text_of_a_reply_is_found(form):
    behave, text = TEXTS[form]
    with JudgeServer(then=behave) as server, Client(server.url) as client:
        assert client.chat(HELLO) == text


THOUGHT_ALONE = {"content": None, "reasoning_content": "fine", "refusal": "I will not"}


def test_a_thought_or_a_refusal_in_a_field_of_its_own_is_no_reply():
    with (
        JudgeServer(then=well(message=THOUGHT_ALONE)) as server,
        Client(server.url) as client,
        pytest.raises(UnusableReply, match="no completion with a text"),
    ):
        client.chat(HELLO)


FILTERED = '{"error": {"message": "content_filter"}}'


def objecting(status):
    """A server that rejects what holds the word "bomb"."""
    return when(lambda body: "bomb" in json.dumps(body), reply(status, FILTERED))


@pytest.mark.parametrize("status", [400, 403, 413, 422])
@pytest.mark.parametrize("first", [True, False])
def test_one_text_to_which_the_server_objects_has_no_reply(status, first):
    """Whatever was answered before, a plain one is tried each time."""
    bomb = [{"role": "system", "content": "Judge."}, {"role": "user", "content": "bomb"}]
    with JudgeServer(then=objecting(status)) as server, Client(server.url) as client:
        if not first:
            assert client.chat(HELLO) == "fine"
        for _ in range(2):
            with pytest.raises(UnusableReply, match=f"HTTP {status}: content_filter"):
                client.chat(bomb)
        with pytest.raises(UnusableReply, match="content_filter"):
            client.complete("a bomb")
        assert client.chat(HELLO) == "fine"
    assert client.said == [] and client.time.now == 0
    sent = [request["body"].get("messages") for request in server.requests]
    plain = [{**message, "content": "Hello"} for message in bomb]
    assert sent == [HELLO] * (not first) + [bomb, plain] * 2 + [None, None, HELLO]
    assert server.requests[-2]["body"]["prompt"] == "Hello"


@pytest.mark.parametrize("status", [401, 404])
def test_what_is_never_about_one_text_ends_the_run_at_any_time(status):
    with JudgeServer(then=objecting(status)) as server, Client(server.url) as client:
        client.chat(HELLO)
        with pytest.raises(RequestRefused, match=f"HTTP {status}"):
            client.complete("a bomb")


@pytest.mark.parametrize("status", [400, 403])
def test_what_is_refused_to_all_from_some_time_on_ends_the_run(status):
    """A key that is revoked, a model that is taken away."""
    with JudgeServer(well()) as server, Client(server.url) as client:
        client.chat(HELLO)
        server.then = reply(status, '{"error": {"message": "no more"}}')
        with pytest.raises(RequestRefused, match=f"HTTP {status}: no more; "):
            client.chat([{"role": "user", "content": "anything"}])


def test_a_plain_text_may_be_answered_with_nothing_usable():
    """As by a model that thinks for longer than its reply may be."""

    def server_of(trouble):
        def behave(handler):
            (well(None) if "Hello" in json.dumps(vars(handler)["body"]) else trouble)(handler)

        return JudgeServer(then=behave)

    with server_of(reply(403, FILTERED)) as server, Client(server.url) as client:
        with pytest.raises(UnusableReply, match="HTTP 403: content_filter"):
            client.complete("a bomb")
        assert len(server.requests) == 2
    with (
        server_of(reply(500, "")) as server,
        Client(server.url, retry_s=5) as client,
        pytest.raises(UnusableReply, match="answers others, but not this request: HTTP 500"),
    ):
        client.complete("a bomb")


@pytest.mark.parametrize("others", [True, False])
def test_a_text_on_which_the_server_breaks_has_no_reply(others):
    def then(now):
        if others:
            client.chat(HELLO)

    with (
        JudgeServer(then=objecting(500)) as server,
        Client(server.url, then=then) as client,
        pytest.raises(UnusableReply, match="answers others, but not this request: HTTP 500"),
    ):
        client.complete("a bomb")
    assert 60 <= client.time.now < 200
    assert len(client.said) == (0 if others else 2)  # a silent server is an outage at first
    prompts = [request["body"].get("prompt") for request in server.requests]
    assert prompts[-3:] == ["a bomb", "Hello", "a bomb"] and prompts.count("Hello") == 1


def test_a_text_on_which_the_server_hangs_has_no_reply():
    with JudgeServer() as server, Client(server.url, timeout_s=0.05, retry_s=10) as client:
        server.then = when(lambda body: "bomb" in body["prompt"], server.hang)
        with pytest.raises(UnusableReply, match=r"not this request: no answer within 0\.05 s"):
            client.complete("a bomb")


def test_a_refusal_that_a_breaking_request_hid_ends_the_run():

    def behave(handler):
        reply(500 if "bomb" in vars(handler)["body"]["prompt"] else 403, "")(handler)

    with (
        JudgeServer(then=behave) as server,
        Client(server.url, retry_s=5) as client,
        pytest.raises(RequestRefused, match="HTTP 403"),
    ):
        client.complete("a bomb")


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_named_and_not_shown(status, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "a-secret-key")
    ill = reply(status, '{"error": {"message": "invalid key a-secret-key"}}')
    with (
        JudgeServer(then=ill) as server,
        Client(server.url, key_env="JUDGE_KEY") as client,
        pytest.raises(RequestRefused, match="environment variable JUDGE_KEY") as caught,
    ):
        client.chat(HELLO)
    assert "invalid key $JUDGE_KEY" in str(caught.value)
    assert "a-secret-key" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_key_is_asked_for(status):
    with (
        JudgeServer(then=reply(status, "")) as server,
        Client(server.url) as client,
        pytest.raises(RequestRefused, match=r"no API key was sent: .*judge.key_env"),
    ):
        client.chat(HELLO)


@pytest.mark.parametrize("echo", [reply(200, '"Bearer a-secret-key"'), reply(503, "a-secret-key")])
def test_a_server_that_echoes_the_key_does_not_spread_it(echo, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "a-secret-key")
    with (
        JudgeServer(then=echo) as server,
        Client(server.url, key_env="JUDGE_KEY", retry_s=0) as client,
        pytest.raises((UnusableReply, JudgeOutage)) as caught,
    ):
        client.chat(HELLO)
    assert "$JUDGE_KEY" in str(caught.value)
    assert "a-secret-key" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("status", "error"), [(503, JudgeOutage), (404, RequestRefused)])
def test_what_the_server_says_can_be_printed(status, error):
    ill = reply(status, '{"error": {"message": "half \\ud83d"}}')
    with (
        JudgeServer(then=ill) as server,
        Client(server.url, retry_s=5) as client,
        pytest.raises(error) as caught,
    ):
        client.chat(HELLO)
    for said in (str(caught.value), *client.said):
        assert f"HTTP {status}: half \\ud83d" in said.encode().decode()


def test_garbage_without_end_is_unusable_and_shown():
    ill = reply(200, "<html>log in first</html>")
    with (
        JudgeServer(then=ill) as server,
        Client(server.url) as client,
        pytest.raises(UnusableReply, match="log in first"),
    ):
        client.chat(HELLO)
    assert len(server.requests) == 3 and client.said == []


def test_an_outage_with_many_threads_and_the_return():
    with JudgeServer() as server:
        port, url = server.port, server.url
    servers = []

    def revive(now):
        if now > 300 and not servers:
            servers.append(JudgeServer(port=port))

    with Client(url, then=revive, retry_s=1e6) as client:
        found = [None] * 6

        def ask(i):
            found[i] = client.complete(f"prompt {i}")

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    with servers[0]:
        assert found == ["fine"] * 6
    prompts = [r["body"]["prompt"] for r in servers[0].requests]
    # It may be a probe that finds it back.
    assert sorted(set(prompts) - {"Hello"}) == [f"prompt {i}" for i in range(6)]
    assert len(prompts) - prompts.count("Hello") == 6
    begin, end = client.said
    assert url in begin and "cannot be reached" in begin and "Connect call failed" in begin
    assert "answers again" in end


def test_an_outage_beyond_retry_s():
    with JudgeServer() as server:
        url = server.url
    with Client(url) as client, pytest.raises(JudgeOutage, match="Connect call failed") as caught:
        client.chat(HELLO)
    assert "for 10 min" in str(caught.value) and url in str(caught.value)
    assert len(client.said) == 1
    assert client.time.now == pytest.approx(600)


@pytest.mark.parametrize("under_way", [True, False])
def test_stop_ends_a_call_at_once(under_way):
    stop = threading.Event()
    with JudgeServer() as server:
        server.then = server.hang if under_way else reply(503, "", retry_after="50")
        # Real time: this is about waits that are cut short.
        with Client(server.url, timeout_s=30, stop=stop, clock=time.monotonic, wait=None) as client:
            timer = threading.Timer(0.3, stop.set)
            timer.start()
            started = time.monotonic()
            with pytest.raises(JudgeStopped):
                client.chat(HELLO)
            assert 0.2 < time.monotonic() - started < SOON_S
            timer.join()
    assert len(server.requests) == 1


@pytest.mark.parametrize(("key", "why"), [("", "is not set or empty"), ("a\nb", "no HTTP header")])
def test_a_key_that_is_none(key, why, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", key)
    with pytest.raises(ValueError, match=f"config.judge.key_env: the environment variable .*{why}"):
        Client("http://host/v1", key_env="JUDGE_KEY")


def test_a_key_in_the_place_of_its_name_is_not_shown():
    with pytest.raises(ValueError, match="is not set or empty") as caught:
        Client("http://host/v1", key_env="hf_secret")
    assert "hf_secret" not in str(caught.value)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModuleNotFoundError, match=r"openai.*pip install waltzjax\[judge\]"):
        Client("http://host/v1")
