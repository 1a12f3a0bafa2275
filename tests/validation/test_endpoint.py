"""Requests that a service refuses: sent again where it says when, counted, and never hidden."""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from waltzjax.serve.records import AGENTS, Report
from waltzjax.validation import endpoint as module
from waltzjax.validation.checks import CHECKS, Figure, decide
from waltzjax.validation.endpoint import RETRIES, Endpoint
from waltzjax.validation.load import with_retried

ANSWER = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "hi"}}],
    "waltzjax": Report(AGENTS, timings_ms={"added": 1.0}).as_json(),
}  # fmt: skip


@contextlib.contextmanager
def scripted(*responses):
    """The address of a service that gives one of ``responses`` (status, headers) after another,
    then the last one for ever, and the list of the times of its requests; status 0: it hangs."""
    times, done = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            times.append(time.monotonic())
            status, headers = responses[min(len(times), len(responses)) - 1]
            if not status:
                done.wait(30)
                return
            body = json.dumps(ANSWER if status == 200 else {"error": {"message": "boom"}}).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", times
    finally:
        done.set()
        server.shutdown()
        thread.join()
        server.server_close()


def asked(url):
    """The answer's text, or the error, and the retries that were counted."""

    async def work():
        endpoint = Endpoint(url, "")
        try:
            answer = await endpoint.responder("m", None)("hello", 7)
        except OSError as error:
            return error, dict(endpoint.retried)
        finally:
            await endpoint.aclose()
        return answer.text, dict(endpoint.retried)

    return asyncio.run(work())


SOON = {"retry-after": "0.05"}


@pytest.mark.parametrize("status", [500, 502, 504, 408, 409])
def test_a_failure_is_no_reason_to_ask_again(status):
    with scripted((status, SOON), (200, {})) as (url, times):
        error, retried = asked(url)
    assert f"request 7: {url} gave no answer (HTTP {status})" in str(error)
    assert len(times) == 1 and not retried


@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}, {"retry-after": "-1"},
                                     {"retry-after": "nan"}])  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_does_not_say_when_is_not_asked_again(status, headers):
    with scripted((status, headers), (200, {})) as (url, times):
        error, retried = asked(url)
    assert f"(HTTP {status})" in str(error) and len(times) == 1 and not retried


def test_a_busy_service_is_asked_again_when_it_says():
    with scripted((429, SOON), (503, SOON), (429, SOON), (200, {})) as (url, times):
        text, retried = asked(url)
    assert text == "hi" and retried == {429: 2, 503: 1} and len(times) == 4
    assert all(later - before >= 0.05 for before, later in itertools.pairwise(times))


def test_retries_end():
    with scripted((429, {"retry-after": "0"})) as (url, times):
        error, retried = asked(url)
    assert "(HTTP 429)" in str(error) and len(times) == RETRIES + 1 and retried == {429: RETRIES}


@pytest.mark.parametrize("responses", [((0, {}),), ((503, {"retry-after": "100"}), (200, {}))])
def test_a_request_takes_no_longer_than_its_time(responses, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    with scripted(*responses) as (url, times):
        error, _ = asked(url)
        assert time.monotonic() - began < 3
    assert "none within 0.3 s" in str(error) and len(times) == 1


@pytest.mark.parametrize(("unavailable", "passes"), [(1, True), (2, False)])
def test_what_was_refused_is_reported(unavailable, passes):
    figure = with_retried(Figure(100.0, 100), {429: 50, 503: unavailable}, 100)
    check = decide(CHECKS[-1], figure)
    assert check.passed == passes
    assert check.detail["retried"] == {"429": 50, "503": unavailable}
    assert check.why == (
        f"requests were sent again 50 times after HTTP 429, {unavailable} times after HTTP 503"
    )
    assert with_retried(figure, {}, 100) is figure
