"""Limits: how many requests, how large and how slow a body may be."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from fake_guard import HTTP, FakeGuard, serving, wait_for

from waltzjax.serve import server
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}
SMALL = 4096


@pytest.fixture(scope="module")
def guard():
    return FakeGuard()


@pytest.fixture(scope="module")
def url(guard):
    with serving(guard, Settings(max_body_bytes=SMALL, body_s=0.4)) as address:
        yield address


def body_of(size):
    empty = json.dumps({**HI, "user": ""}).encode()
    return json.dumps({**HI, "user": "a" * (size - len(empty))}).encode()


def pieces(body):
    for start in range(0, len(body), 512):
        yield body[start : start + 512]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size, status", [(SMALL, 200), (SMALL + 1, 413), (100 * SMALL, 413)])
def test_a_body_may_have_so_many_bytes(url, guard, chunked, size, status):
    body, calls = body_of(size), len(guard.calls)
    assert len(body) == size
    response = HTTP.post(
        f"{url}/v1/chat/completions",
        content=pieces(body) if chunked else body,
        headers={"content-type": "application/json"},
    )
    assert response.status_code == status
    assert len(guard.calls) - calls == (status == 200)
    if status == 413:
        assert response.headers["connection"] == "close"
        error = response.json()["error"]
        assert error["code"] == "body_too_large"
        assert "4096 bytes (config.serve.max_body_bytes)" in error["message"]


@contextmanager
def connection(url, length, start=b""):
    """A connection on which the head of a request and the start of its body were sent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        raw.sendall(head.encode() + start)
        yield raw


def test_a_body_that_is_declared_too_large_is_not_waited_for(url):
    began = time.monotonic()
    with connection(url, 10**12) as raw:
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 0.4


def test_who_still_sends_gets_the_answer_too(url):
    with connection(url, 7 * SMALL) as raw:
        time.sleep(0.1)
        for _ in range(7):
            raw.sendall(b"a" * SMALL)
            time.sleep(0.01)
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_slow_is_given_up(url):
    with connection(url, 100, b"{") as raw:
        began = time.monotonic()
        for _ in range(3):  # each piece comes in time, all of them do not
            time.sleep(0.1)
            raw.sendall(b" ")
        assert raw.recv(100).startswith(b"HTTP/1.1 408 ")
    assert 0.3 < time.monotonic() - began < 2


def test_a_client_that_leaves_before_its_body_is_there(url, guard):
    calls = len(guard.calls)
    with connection(url, 100, b"{"):
        pass
    assert wait_for(lambda: 'status="499"} 1.0' in HTTP.get(f"{url}/metrics").text)
    assert len(guard.calls) == calls


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_has_to_be_declared_as_json(url, kind):
    response = HTTP.post(
        f"{url}/v1/guard/check", content=json.dumps(HI), headers={"content-type": kind}
    )
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


def test_a_connection_serves_again_after_an_error(url):
    with httpx.Client(base_url=url) as http:
        for status in (400, 200, 404, 200):
            model = "other" if status == 404 else "waltzrl"
            messages = [] if status == 400 else HI["messages"]
            body = {"model": model, "messages": messages}
            assert http.post("/v1/chat/completions", json=body).status_code == status


def test_more_requests_than_may_be_under_way_are_turned_away():
    guard, seen = FakeGuard(delay_s=1.0), []

    def ask():
        seen.append(HTTP.post(f"{url}/v1/chat/completions", json=HI))

    with serving(guard, Settings(max_requests=2)) as url:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert wait_for(lambda: guard.begun == 2)
        began = time.monotonic()
        refused = HTTP.post(f"{url}/v1/chat/completions", json=HI)
        assert time.monotonic() - began < 0.5
        figures = HTTP.get(f"{url}/metrics").text  # also while nothing else is let in
        assert HTTP.get(f"{url}/readyz").status_code == 200
        for thread in threads:
            thread.join()
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
    assert [response.status_code for response in seen] == [200, 200]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "too_many_requests"
    assert "waltzjax_in_flight 2.0" in figures


def test_a_body_that_comes_slowly_takes_no_place():
    with (
        serving(FakeGuard(), Settings(max_requests=2)) as url,
        connection(url, 1000, b"{"),
        connection(url, 1000),
        connection(url, 1000),
    ):
        time.sleep(0.1)
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
        assert "waltzjax_in_flight 0.0" in HTTP.get(f"{url}/metrics").text


def test_a_request_whose_place_was_taken_while_its_body_came_is_turned_away():
    guard = FakeGuard(delay_s=0.5)
    body = json.dumps(HI).encode()
    with (
        serving(guard, Settings(max_requests=1)) as url,
        connection(url, len(body), body[:9]) as raw,
    ):
        time.sleep(0.1)
        asking = threading.Thread(
            target=HTTP.post, args=(f"{url}/v1/chat/completions",), kwargs={"json": HI}
        )
        asking.start()
        assert wait_for(lambda: guard.begun)
        raw.sendall(body[9:])
        assert raw.recv(100).startswith(b"HTTP/1.1 429 ")
        asking.join()
    assert guard.begun == 1


def test_bodies_that_come_slowly_have_so_many_bytes_together():
    rest = b" " * (SMALL - 100)
    with serving(FakeGuard(), Settings(max_requests=2, max_body_bytes=SMALL, body_s=1)) as url:
        with connection(url, SMALL, rest) as first, connection(url, SMALL, rest) as second:
            time.sleep(0.1)
            with connection(url, SMALL, rest) as third:
                assert third.recv(100).startswith(b"HTTP/1.1 429 ")
            first.sendall(b" " * 100)
            assert first.recv(100).startswith(b"HTTP/1.1 400 ")  # no JSON
            assert second.recv(100).startswith(b"HTTP/1.1 408 ")
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
        with connection(url, SMALL, rest) as again, connection(url, SMALL, rest):
            time.sleep(0.1)
            again.sendall(b" " * 100)
            assert again.recv(100).startswith(b"HTTP/1.1 400 ")  # nothing is held of those before


def test_who_is_turned_away_takes_no_place():
    guard = FakeGuard(delay_s=0.5)
    with (
        serving(guard, Settings(max_requests=1, max_body_bytes=SMALL)) as url,
        connection(url, 10**9) as raw,  # refused, and still sending
    ):
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200


def test_headers_have_a_limit(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        with pytest.raises(OSError):
            for number in range(100):
                raw.sendall(b"X-%d: %s\r\n" % (number, b"a" * 10_000))
                time.sleep(0.01)
    assert HTTP.get(f"{url}/healthz").status_code == 200


def closed_after(raw):
    """Seconds after which the other side has closed the connection."""
    began = time.monotonic()
    while raw.recv(1000):
        pass
    return time.monotonic() - began


def test_headers_have_a_time(monkeypatch):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    guard = FakeGuard(delay_s=0.6)
    with serving(guard) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            assert 0.2 < closed_after(raw) < 2  # it says nothing
        dripping = socket.create_connection((host, int(port)), timeout=5)
        with dripping, pytest.raises(OSError):
            for _ in range(100):
                dripping.sendall(b"G")
                time.sleep(0.05)
        with connection(url, 2, b"{}") as raw:
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
            raw.sendall(b"GET /heal")
            assert 0.2 < closed_after(raw) < 2  # nor may a later request
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
