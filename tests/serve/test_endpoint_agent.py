"""An agent behind an endpoint, against a server on loopback."""

import asyncio
import json
import threading

import pytest
from judge_server import JudgeServer, cut, reply
from served_runs import config
from stream_server import ending, endless, event, stream

from waltzjax.serve import Guard
from waltzjax.serve.endpoint_agent import EndpointAgent
from waltzjax.serve.records import AgentBusy, AgentFailed, Ask, PromptTooLong, Reply

KEY = "sk-secret-1234"
MESSAGES = [{"role": "user", "content": "my secret question"}]
LIMIT = "This model's maximum context length is 4096 tokens, you asked for: my secret question"


def agent_at(url, timeout_s=5.0, key_env=""):
    return EndpointAgent(
        url, "big", key_env=key_env, timeout_s=timeout_s, name="big", setting="config.key"
    )


def usage(value):
    """A complete reply with such a count of tokens."""
    return (
        '{"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}], '
        f'"usage": {{"prompt_tokens": {value}, "completion_tokens": 3}}}}'
    )


def ask(server, how=None, **settings):
    async def one():
        agent = agent_at(server.url, **settings)
        try:
            return await agent.reply(MESSAGES, how or Ask(16))
        finally:
            agent.close()

    return asyncio.run(one())


def test_the_reply_is_the_text_of_all_pieces():
    pieces = [event("<thi"), event("nk>hm</think> Hel"), event("lo"), event(" ü", index=0)]
    with JudgeServer(stream(*pieces, *ending(prompt=7, completion=9, reason="length"))) as server:
        heard = []
        got = ask(server, Ask(16, 0.5, 0.9, ("END",), 3, lambda text: heard.append(text)))
    assert got == Reply("Hello ü", "length", 7, 9)
    assert heard == ["Hel", "Hello", "Hello ü"]
    assert server.requests[0]["path"] == "/v1/chat/completions"
    assert server.requests[0]["body"] == {
        "model": "big", "messages": MESSAGES, "max_tokens": 16, "temperature": 0.5, "top_p": 0.9,
        "seed": 3, "stop": ["END"], "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_a_model_that_thinks_unasked_is_held_from_then_on():
    pieces = [event("plan"), event("</think>yes"), *ending()]
    heard: list[list[str]] = [[], []]

    async def twice(url):
        agent = agent_at(url)
        for texts in heard:
            how = Ask(16, on_text=lambda text, texts=texts: texts.append(text))
            assert (await agent.reply(MESSAGES, how)).text == "yes"
        agent.close()

    with JudgeServer(stream(*pieces), stream(*pieces)) as server:
        asyncio.run(twice(server.url))
    assert heard == [["plan"], ["yes"]]


def test_enough_text_ends_the_reply_and_the_servers_work():
    gone = threading.Event()
    with JudgeServer(then=endless(gone)) as server:
        got = ask(server, Ask(16, on_text=lambda text: len(text) > 20))
        assert gone.wait(10)
    assert got.finish_reason == "stop" and got.completion_tokens >= 5
    assert len(got.text) > 20 and set(got.text.split()) == {"more"}


def test_a_cancelled_reply_ends_the_servers_work():
    gone, heard = threading.Event(), threading.Event()

    async def cancel(url):
        agent = agent_at(url)
        how = Ask(16, on_text=lambda text: heard.set())
        task = asyncio.create_task(agent.reply(MESSAGES, how))
        while not heard.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gone.wait, 10)
        agent.close()

    with JudgeServer(then=endless(gone)) as server:
        asyncio.run(cancel(server.url))


def test_the_key_is_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("BIG_KEY", KEY)
    for status in (401, 500):
        with JudgeServer(then=reply(status, f"{{'error': 'bad key {KEY}'}}")) as server:
            with pytest.raises(AgentFailed) as failed:
                ask(server, key_env="BIG_KEY")
            assert server.requests[0]["key"] == f"Bearer {KEY}"
        seen = failed.value
        assert KEY not in str(seen) and str(status) in str(seen) and seen.__cause__ is None
    monkeypatch.setenv("BIG_KEY", "")
    with pytest.raises(ValueError, match=r"config\.key: the environment variable .* not set"):
        agent_at("http://127.0.0.1:1", key_env="BIG_KEY")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (reply(429, "{}", retry_after="7"), AgentBusy),
        (reply(400, '{"error": {"code": "context_length_exceeded"}}'), PromptTooLong),
        (reply(400, json.dumps({"error": {"message": LIMIT}})), PromptTooLong),
        (reply(400, '{"error": {"message": "no such field: my secret question"}}'), AgentFailed),
        (reply(503, "{}"), AgentFailed),
        (reply(302, "", location="http://127.0.0.1:1"), AgentFailed),
        (reply(200, "<html>my secret question</html>"), AgentFailed),
        (stream('{"error": {"message": "my secret question", "code": 429}}'), AgentBusy),
        (stream("[1]"), AgentFailed),
        (stream('{"choices": ["my secret question"]}'), AgentFailed),
        (stream('{"choices": [{"delta": {"content": 5}}]}'), AgentFailed),
        (stream(event("\ud83d"), *ending()), AgentFailed),
        (stream(event("half")), AgentFailed),
        (cut, AgentFailed),
        (reply(200, "garbage", content_encoding="gzip"), AgentFailed),
        (reply(500, "garbage", content_encoding="gzip"), AgentFailed),
        (reply(200, "data: garbage", content_type="text/plain; charset=hex"), AgentFailed),
        (reply(200, "data: " + "[" * 5000), AgentFailed),
        (stream('{"error": ' + '{"message": ' * 2000 + "5" + "}" * 2001), AgentFailed),
        (stream('{"choices": 5}'), AgentFailed),
        (stream('{"choices": {"a": 1}}'), AgentFailed),
        (stream(usage("Infinity")), AgentFailed),
        (stream(usage("NaN")), AgentFailed),
        (stream(usage("[1]")), AgentFailed),
        (stream('{"usage": [1]}'), AgentFailed),
        (reply(200, "data: " + "x" * 2**21), AgentFailed),
    ],
)
def test_what_goes_wrong_is_told_without_what_the_user_wrote(behaviour, error):
    with JudgeServer(behaviour) as server, pytest.raises(error) as failed:
        ask(server)
    assert "secret" not in str(failed.value)
    if "7" in str(failed.value):
        assert failed.value.retry_after_s == 7


def test_silence_and_a_closed_port_are_failures():
    with JudgeServer() as server:
        server.then = server.hang
        with pytest.raises(AgentFailed, match=r"no word within 0\.2 s"):
            ask(server, timeout_s=0.2)
    with pytest.raises(AgentFailed, match="big: "):
        ask(server)


def test_connections_are_reused():
    ports = set()

    def well(handler):
        ports.add(handler.client_address)
        handler.protocol_version = "HTTP/1.1"
        body = "".join(f"data: {each}\n\n" for each in (event("hi"), *ending()))
        reply(200, body, content_type="text/event-stream")(handler)
        handler.close_connection = False

    async def several(url):
        agent = agent_at(url)
        for _ in range(3):
            assert (await agent.reply(MESSAGES, Ask(4))).text == "hi"
        agent.close()

    with JudgeServer(then=well) as server:
        asyncio.run(several(server.url))
    assert len(ports) == 1


def test_any_number_of_event_loops_and_threads_ask():
    """One loop after another, then several at a time; the connection stays open in between."""

    def well(handler):
        handler.protocol_version = "HTTP/1.1"
        body = "".join(f"data: {each}\n\n" for each in (event("hi"), *ending()))
        reply(200, body, content_type="text/event-stream")(handler)
        handler.close_connection = False

    def several():
        async def asks():
            return [(await agent.reply(MESSAGES, Ask(4))).text for _ in range(3)]

        texts.extend(asyncio.run(asks()))

    texts = []
    with JudgeServer(then=well) as server:
        agent = agent_at(server.url)
        several(), several()
        threads = [threading.Thread(target=several) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert texts == ["hi"] * 18


def test_to_close_the_guard_is_to_close_the_connections():
    gone = threading.Event()

    def well(handler):
        handler.protocol_version = "HTTP/1.1"
        body = "".join(f"data: {each}\n\n" for each in (event("hi"), *ending()))
        reply(200, body, content_type="text/event-stream")(handler)
        handler.rfile.read(1)  # until the client has closed the connection
        gone.set()

    with JudgeServer(then=well) as server:
        own = config("serve", "tiny", **{"serve.upstream.url": server.url, "serve.stage": 1})
        with Guard(config=own, environ={}) as guard:
            assert guard.respond(MESSAGES).text == "hi"
            agent = guard._models.conversation
        assert gone.wait(3)
    with pytest.raises(AgentFailed, match="closed"):
        asyncio.run(agent.reply(MESSAGES, Ask(4)))


@pytest.mark.parametrize(("value", "count"), [("-5", 0), ("1e300", 2**31 - 1), ("null", 0)])
def test_counts_are_counts_whatever_the_server_says(value, count):
    with JudgeServer(stream(usage(value), "[DONE]")) as server:
        assert ask(server) == Reply("hi", "stop", count, 3)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("86400", 60), ("-3", 1), ("x", 1)])
def test_clients_are_told_to_wait_a_minute_at_most(header, seconds):
    full = reply(429, "{}", retry_after=header)
    with JudgeServer(full) as server, pytest.raises(AgentBusy) as busy:
        ask(server)
    assert busy.value.retry_after_s == seconds


@pytest.mark.parametrize("events", [ending(prompt=7, completion=2), (event(finish_reason="stop"),)])
def test_a_complete_reply_is_one_though_the_connection_stays_open(events):
    over = threading.Event()

    def open_ended(handler):
        stream(event("a\u2028b"), *events)(handler)
        over.wait(20)

    with JudgeServer(open_ended) as server:
        got = ask(server, timeout_s=5.0)
        over.set()
    assert got.text == "a\u2028b" and got.finish_reason == "stop"


def test_a_redirect_takes_the_key_nowhere(monkeypatch):
    monkeypatch.setenv("BIG_KEY", KEY)
    with JudgeServer() as other:
        moved = reply(307, "", location=other.url)
        with JudgeServer(then=moved) as server, pytest.raises(AgentFailed, match="307"):
            ask(server, key_env="BIG_KEY")
    assert other.requests == []
