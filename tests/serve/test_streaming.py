"""Streams: both modes, comments while there is nothing to tell, errors, clients that leave."""

import json

import httpx
import openai
import pytest
from fake_guard import HTTP, REPORT, FakeGuard, idle, serving, wait_for

from waltzjax.serve.records import HOLD, SPECULATIVE, AgentFailed, Delta
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}
STREAM = {**HI, "stream": True}
AT_ONCE = {"waltzjax": {"stream": "speculative"}}


def lines_of(url, body=STREAM):
    with HTTP.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [line for line in response.iter_lines() if line]


def chunks_of(lines):
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(text) for text in data[:-1]]


def test_events_as_openai_s_clients_read_them():
    with serving(FakeGuard()) as url:
        chunks = chunks_of(lines_of(url))
    role, *pieces, last = [chunk["choices"][0] for chunk in chunks]
    assert role["delta"] == {"role": "assistant", "content": ""}
    assert [piece["delta"] for piece in pieces] == [
        {"content": "You"}, {"content": " said:"}, {"content": " bake"}, {"content": " bread"}
    ]  # fmt: skip
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert chunks[-1]["waltzjax"] == REPORT.as_json()
    assert not any("waltzjax" in chunk or "usage" in chunk for chunk in chunks[:-1])


def test_hold_is_the_default_and_speculative_has_to_be_allowed():
    guard = FakeGuard()
    with serving(guard) as url:
        lines_of(url)
        refused = HTTP.post(f"{url}/v1/chat/completions", json={**STREAM, **AT_ONCE})
        wrong = {"waltzjax": {"stream": "quickly"}}
        unknown = HTTP.post(f"{url}/v1/chat/completions", json={**STREAM, **wrong})
    assert guard.modes == [HOLD]
    for response in (refused, unknown):
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "waltzjax.stream"
    assert "config.serve.speculative" in refused.json()["error"]["message"]


def test_an_answer_that_is_withdrawn():
    news = [Delta("Take a "), Delta("knife"), Delta("", withdrawn=True), Delta("I would not.")]
    guard = FakeGuard(pieces=news)
    with serving(guard, Settings(speculative=True)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        text = ""
        with client, client.chat.completions.create(**STREAM, extra_body=AT_ONCE) as stream:
            for chunk in stream:
                if (chunk.model_extra or {}).get("waltzjax") == {"event": "withdrawn"}:
                    assert text == "Take a knife"
                    text = ""
                text += chunk.choices[0].delta.content or ""
    assert guard.modes == [SPECULATIVE]
    assert text == "I would not."


def test_comments_come_while_an_answer_is_held():
    settings = Settings(ping_s=0.05, commit_s=0.02)
    with serving(FakeGuard(delay_s=0.4), settings) as url:
        lines = lines_of(url)
    comments = [line for line in lines if line.startswith(":")]
    assert 3 <= len(comments) <= 8
    first = next(n for n, line in enumerate(lines) if "You" in line)
    assert all(line.startswith(":") for line in lines[1:first])


def test_what_fails_late_is_an_event():
    guard = FakeGuard(delay_s=0.1, raises=AgentFailed("it stopped"))
    with serving(guard, Settings(commit_s=0.01)) as url:
        lines = lines_of(url)
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with client, pytest.raises(openai.APIError, match="no agent answers now"):
            list(client.chat.completions.create(**STREAM))
        assert idle(url)
        counted = HTTP.get(f"{url}/metrics").text
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "agent_failed"
    assert lines[-1] == "data: [DONE]"
    assert 'waltzjax_requests_total{path="/v1/chat/completions",status="200"} 2.0' in counted


def leave(url, body):
    """Ask, and be gone before there is an answer."""
    with HTTP.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=0.15) as response:
        list(response.iter_lines())


@pytest.mark.parametrize("body", [HI, STREAM, {**HI, "n": 3}, {**STREAM, "n": 3}])
@pytest.mark.parametrize("commit_s", [0.01, 60.0])
def test_a_client_that_leaves_ends_what_runs_for_it(body, commit_s):
    guard, choices = FakeGuard(delay_s=60), body.get("n", 1)
    with serving(guard, Settings(commit_s=commit_s)) as url:
        with pytest.raises(httpx.ReadTimeout):
            leave(url, body)
        assert wait_for(lambda: guard.cancelled == choices)
        assert guard.begun == choices

        def seen():
            page = HTTP.get(f"{url}/metrics").text
            return 'status="499"} 1.0' in page and "waltzjax_in_flight 0.0" in page

        assert wait_for(seen)


def test_a_client_that_leaves_in_the_middle():
    guard = FakeGuard(pieces=[Delta("word ")] * 100_000)
    with serving(guard) as url:
        with HTTP.stream("POST", f"{url}/v1/chat/completions", json=STREAM) as response:
            lines = response.iter_lines()
            for _ in range(5):
                next(lines)
        assert idle(url)
    assert guard.ended == 0


def test_a_client_that_does_not_read_is_left():
    guard = FakeGuard(pieces=[Delta("word " * 1000)] * 10_000)
    with (
        serving(guard, Settings(send_s=0.2)) as url,
        HTTP.stream("POST", f"{url}/v1/chat/completions", json=STREAM) as response,
    ):
        assert response.status_code == 200
        assert wait_for(lambda: 'status="499"} 1.0' in HTTP.get(f"{url}/metrics").text)
    assert guard.ended == 0
