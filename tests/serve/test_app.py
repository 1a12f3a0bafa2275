"""Endpoints, errors in OpenAI's form, figures, and the description of it all."""

import dataclasses
import json
import socket

import httpx
import pytest
import schemathesis
from fake_guard import HTTP, REPORT, FakeGuard, Flags, Status, idle, serving
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from waltzjax.serve.app import make_app
from waltzjax.serve.records import (
    BLOCK,
    FLAG,
    AgentBusy,
    AgentFailed,
    DeadlineExceeded,
    Failure,
    Labels,
    PromptTooLong,
)
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}
EXCHANGE = [*HI["messages"], {"role": "assistant", "content": "No."}]


@pytest.fixture(scope="module")
def guard():
    return FakeGuard()


@pytest.fixture(scope="module")
def http(guard):
    with serving(guard) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(autouse=True)
def well(guard):
    guard.raises, guard.report, guard.finish_reason = None, REPORT, "stop"
    guard.now, guard.flags = Status(), Flags()


def chat(http, **more):
    return http.post("/v1/chat/completions", json={**HI, **more})


def error_of(response):
    body = response.json()
    assert [*body] == ["error"]
    assert [*body["error"]] == ["message", "type", "param", "code"]
    return body["error"]


def test_the_extension_is_the_report(http, guard):
    guard.finish_reason = "content_filter"
    guard.report = dataclasses.replace(
        REPORT,
        triggered=True,
        labels=Labels(True, False),
        action=BLOCK,
        categories=("weapons",),
        failure=Failure("feedback", "no review in time", "closed", "weapons"),
    )
    answer = chat(http).json()
    assert answer["waltzjax"] == guard.report.as_json()
    assert answer["choices"][0]["waltzjax"] == answer["waltzjax"]
    assert answer["choices"][0]["finish_reason"] == "content_filter"


def test_timings_are_in_a_header(http):
    timings = chat(http).headers["server-timing"]
    assert timings == "first;dur=12.5, feedback;dur=20, added;dur=20, total;dur=32.5"


def test_no_timings_are_no_header(http, guard):
    guard.report = dataclasses.replace(REPORT, timings_ms={})
    check = http.post("/v1/guard/check", json={"messages": HI["messages"]})
    for response in (chat(http), check):
        assert response.status_code == 200
        assert "server-timing" not in response.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
        b"POST /v1/guard/check HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
    ],
)
def test_what_is_no_http_gets_an_error_of_the_same_form(http, sent):
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=5) as raw:
        raw.sendall(sent)
        head, _, body = b"".join(iter(lambda: raw.recv(1000), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"application/json" in head
    assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_request_keeps_its_id(http):
    def given(value):
        return http.get("/healthz", headers={"X-Request-Id": value}).headers["x-request-id"]

    assert given("a-1.b") == "a-1.b"
    new = given("a b")
    assert len(new) == 32 and new != given("")


def test_check_judges_an_exchange(http, guard):
    guard.report = dataclasses.replace(REPORT, labels=Labels(False, True), action=FLAG)
    result = http.post("/v1/guard/check", json={"messages": EXCHANGE, "user": "ann"}).json()
    assert result["labels"] == {"unsafe": False, "overrefuse": True}
    assert (result["action"], result["categories"]) == ("flag", [])
    assert result["waltzjax"] == guard.report.as_json()
    assert guard.calls[-1] == (EXCHANGE, "ann", None)


def test_check_says_what_is_wrong_with_messages(http, guard):
    guard.raises = ValueError("the last message is nobody's")
    error = error_of(http.post("/v1/guard/check", json={"messages": EXCHANGE}))
    assert (error["param"], error["message"]) == ("messages", "the last message is nobody's")


@pytest.mark.parametrize(
    "raised, status, code, retry",
    [
        (AgentBusy(2.5), 429, "busy", "3"),
        (DeadlineExceeded(60), 503, "deadline_exceeded", "1"),
        (AgentFailed("the engine has stopped"), 503, "agent_failed", "5"),
        (PromptTooLong("300 tokens, 256 fit"), 400, "context_length_exceeded", None),
        (ValueError("the last message is not the user's"), 400, "invalid_messages", None),
    ],
)
@pytest.mark.parametrize("more", [{}, {"stream": True}, {"n": 2}])
def test_what_a_guard_raises(http, guard, raised, status, code, retry, more):
    guard.raises = raised
    response = chat(http, **more)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert response.headers.get("retry-after") == retry


def test_why_an_agent_failed_stays_here(http, guard):
    guard.raises = AgentFailed("connection to 10.0.0.7 refused")
    assert "10.0.0.7" not in chat(http).text


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"n": 2}])
def test_a_fault_is_500_without_its_text_but_for_where_it_is(http, guard, more, capfd):
    guard.raises = KeyError("what a user wrote")
    response = chat(http, **more)
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    told = capfd.readouterr()
    assert "KeyError" in told.err and "fake_guard.py" in told.err
    assert "what a user wrote" not in told.err + told.out + response.text
    assert chat(http, messages=EXCHANGE[:1]).status_code == 500
    guard.raises = None
    assert chat(http).status_code == 200


@pytest.mark.parametrize(
    "method, path, status, code",
    [("GET", "/v1/nothing", 404, "not_found"), ("PUT", "/v1/models", 405, "method_not_allowed"),
     ("GET", "/docs", 404, "not_found"), ("GET", "/v1/models/", 404, "model_not_found")],
)  # fmt: skip
def test_what_is_not_there(http, method, path, status, code):
    response = http.request(method, path)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert response.headers.get("allow") == ("GET" if status == 405 else None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'"a"', b"\xff", b'{"model": "waltzrl", "messages": NaN}',
        b'{"model":"waltzrl","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"waltzrl","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"a":' * 50_000, b'{"model":"waltzrl","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"model":"waltzrl","messages":[{"role":"user","content":"a"}],"temperature":1e999}',
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read(http, guard, content):
    calls = len(guard.calls)
    headers = {"content-type": "application/json"}
    response = http.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"
    assert len(guard.calls) == calls


def test_health_and_readiness(http, guard):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").status_code == 200
    guard.now = Status(ready=False, stage=1, degraded="no feedback agent", breaker="open")
    response = http.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "ready": False, "draining": False, "stage": 1, "degraded": "no feedback agent",
        "breaker": "open", "active": 0, "waiting": 0,
    }  # fmt: skip
    assert http.get("/healthz").status_code == 200


def test_flags_that_hold_are_shown(http, guard):
    guard.flags = Flags(rollout_pct=10, policy={"drugs": "flag"})
    assert http.get("/v1/guard/flags").json() == {
        "enable": True, "stage": 2, "rollout_pct": 10, "blocking": False, "feedback_only": True,
        "policy": {"drugs": "flag"},
    }  # fmt: skip
    assert http.put("/v1/guard/flags", json={}).status_code == 405


def figures(http):
    page = http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in page.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_figures():
    guard = FakeGuard(now=Status(stage=1, breaker="open", active=2, waiting=5))
    with serving(guard) as url, httpx.Client(base_url=url) as http:
        chat(http)
        guard.report = dataclasses.replace(
            REPORT, triggered=True, revised=True, timings_ms={"total": 300.0, "revision": 40.0}
        )
        chat(http, n=2)
        failure = Failure("feedback", "it is gone", "closed", "weapons")
        guard.report = dataclasses.replace(
            REPORT, stage=1, rounds=0, action=BLOCK, categories=("weapons",), failure=failure
        )
        chat(http, stream=True)
        assert idle(url)
        chat(http, temperature=9)
        http.get("/made/up")
        seen = figures(http)
    chats = 'waltzjax_requests_total{path="/v1/chat/completions",status="%d"}'
    assert (seen[chats % 200], seen[chats % 400]) == (3, 1)
    assert seen['waltzjax_requests_total{path="other",status="404"}'] == 1
    assert seen['waltzjax_choices_total{stage="2"}'] == 3
    assert seen["waltzjax_reviewed_total"] == 3
    assert seen["waltzjax_triggered_total"] == seen["waltzjax_revised_total"] == 2
    assert seen['waltzjax_blocks_total{category="all"}'] == 1
    assert seen['waltzjax_blocks_total{category="weapons"}'] == 1
    fallback = 'waltzjax_fallbacks_total{component="feedback",policy="closed"}'
    assert seen[fallback] == 1
    assert seen['waltzjax_tokens_total{kind="completion"}'] == 12
    bucket = 'waltzjax_latency_seconds_bucket{le="%s",part="%s"}'
    assert (seen[bucket % ("0.25", "total")], seen[bucket % ("0.5", "total")]) == (2, 4)
    assert seen[bucket % ("0.05", "revision")] == 2
    assert (seen["waltzjax_stage"], seen["waltzjax_ready"], seen["waltzjax_in_flight"]) == (1, 1, 0)
    states = {name: value for name, value in seen.items() if name.startswith("waltzjax_breaker")}
    assert len(states) == 3 and sum(states.values()) == 1
    assert states['waltzjax_breaker{state="open"}'] == 1
    assert seen['waltzjax_rows{state="waiting"}'] == 5
    assert seen['waltzjax_flag{flag="rollout_pct"}'] == 100


def test_the_description_names_every_refusal(http):
    described = http.get("/openapi.json").json()
    chat = described["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert {*chat} >= {"200", "400", "401", "404", "408", "413", "415", "429", "503"}
    assert "422" not in chat
    schema = chat["400"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert {*chat["200"]["content"]} == {"application/json", "text/event-stream"}
    assert "http" not in json.dumps(described["paths"])


def test_pages_of_other_origins_may_not_ask(http):
    ask = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    response = http.options("/v1/chat/completions", headers=ask)
    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers
    form = http.post("/v1/chat/completions", content=json.dumps(HI), headers={**ask})
    assert form.status_code == 415


def test_pages_of_chosen_origins_may():
    allowed = "https://chat.example.org"
    settings = Settings(cors=(allowed,))
    with serving(FakeGuard(), settings) as url:
        for origin, answer in ((allowed, allowed), ("http://evil.example", None)):
            ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            preflight = HTTP.options(f"{url}/v1/chat/completions", headers=ask)
            assert preflight.headers.get("access-control-allow-origin") == answer
            real = HTTP.post(f"{url}/v1/chat/completions", json=HI, headers={"Origin": origin})
            assert real.headers.get("access-control-allow-origin") == answer


@pytest.fixture(scope="module")
def described():
    anywhere = Settings(host="0.0.0.0")  # the client's Host header is its own
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(FakeGuard(), anywhere))


@pytest.mark.parametrize("mode", GenerationMode, ids=str)
def test_requests_made_from_the_description(described, mode):
    operations = [result.ok() for result in described.get_all_operations()]
    assert len(operations) == 8
    for operation in operations:
        try:
            cases = operation.as_strategy(generation_mode=mode)
            _send(cases)
        except Unsatisfiable:  # nothing can be wrong with a request that has no parameters
            assert mode == GenerationMode.NEGATIVE


def _send(cases):
    checks = [not_a_server_error, response_schema_conformance, status_code_conformance]

    @settings(
        max_examples=8, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck]
    )  # the same requests each time
    @given(cases)
    def send(case):
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "waltzrl"  # else most of them are 404
        case.call_and_validate(checks=checks)

    send()
