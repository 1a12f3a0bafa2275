"""The end of the service: what runs is finished, what comes is turned away; a second signal."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fake_guard import HTTP, FakeGuard, running, wait_for
from support import REPO

from waltzjax.serve.server import bound_socket
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}]}


class Client(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, url, body=HI):
        super().__init__(daemon=True)
        self.url, self.body, self.status, self.text = url, body, 0, ""
        self.start()

    def run(self):
        try:
            response = httpx.post(f"{self.url}/v1/chat/completions", json=self.body)
            self.status, self.text = response.status_code, response.text
        except httpx.HTTPError as error:
            self.text = type(error).__name__


@pytest.mark.parametrize("body", [HI, {**HI, "stream": True}])
def test_what_runs_is_finished_and_what_comes_is_turned_away(body):
    guard = FakeGuard(delay_s=1.2)
    settings = Settings(commit_s=0.01)
    with running(guard, settings, drain_s=30) as (server, url):
        HTTP.get(f"{url}/healthz")  # a connection that stays open
        client = Client(url, body)
        assert wait_for(lambda: guard.begun)
        server.handle_exit(signal.SIGTERM, None)
        ready, late = HTTP.get(f"{url}/readyz"), HTTP.post(f"{url}/v1/guard/check", json=HI)
        assert HTTP.get(f"{url}/healthz").status_code == 200
        client.join(10)
        assert wait_for(lambda: server.should_exit)
    assert (ready.status_code, ready.json()["draining"]) == (503, True)
    assert (late.status_code, late.headers["connection"]) == (503, "close")
    assert late.headers["retry-after"] == "1"
    assert late.json()["error"]["code"] == "shutting_down"
    assert client.status == 200 and "bread" in client.text and guard.ended == 1
    assert body is HI or client.text.endswith("data: [DONE]\n\n")
    assert (server.received, server.cut) == (signal.SIGTERM, 0)
    with pytest.raises(httpx.ConnectError):
        HTTP.get(f"{url}/healthz")


def end(server, guard, url, *signals):
    """Seconds until the server has ended, one answer being under way, after ``signals``."""
    client = Client(url)
    assert wait_for(lambda: guard.begun)
    began = time.monotonic()
    for signum in signals:
        server.handle_exit(signum, None)
    client.join(10)
    assert (client.status, '"shutting_down"' in client.text) == (503, True)
    return time.monotonic() - began


def test_what_takes_longer_than_it_may_is_cut():
    guard = FakeGuard(delay_s=60)
    with running(guard, Settings(), drain_s=0.3) as (server, url):
        assert 0.3 < end(server, guard, url, signal.SIGTERM) < 5
    assert (server.cut, guard.cancelled) == (1, 1)


def test_a_second_signal_ends_at_once():
    guard = FakeGuard(delay_s=60)
    with running(guard, Settings(), drain_s=60) as (server, url):
        assert end(server, guard, url, signal.SIGTERM, signal.SIGINT) < 3
    assert (server.received, guard.cancelled) == (signal.SIGTERM, 1)


COMMAND = """
import runpy, signal, sys, time, types
from fake_guard import FakeGuard

load_s = float(sys.argv.pop(1))
if sys.argv.pop(1) == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

class Guard(FakeGuard):
    def __init__(self, config):
        print("loading", flush=True)
        until = time.monotonic() + load_s
        while time.monotonic() < until:
            time.sleep(0.01)
        super().__init__(delay_s=1.0)

fake = types.ModuleType("waltzjax.serve.guard")
fake.Guard = Guard
sys.modules["waltzjax.serve.guard"] = fake
runpy.run_module("waltzjax.serve", run_name="__main__", alter_sys=True)
"""


@contextmanager
def command(load_s, how, *arguments):
    """A block during which the command runs, whose guard takes ``load_s`` seconds."""
    config = ["--config=configs/serve.py:tiny", *arguments]
    path = os.pathsep.join([str(REPO), str(REPO / "tests/helpers")])
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(load_s), how, *config],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "loading\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_command_ends_as_a_shell_expects(tmp_path: Path):
    audit = tmp_path / "audit.jsonl"
    with command(0, "nohup", "--config.serve.port=0", f"--config.serve.audit={audit}") as process:
        told = [process.stdout.readline() for _ in range(9)]
        url = told[0].split()[4].removesuffix("/v1;")
        client = Client(url)
        assert wait_for(lambda: "waltzjax_in_flight 1.0" in HTTP.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGHUP)  # under nohup it means nothing
        time.sleep(0.3)
        assert HTTP.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    client.join(5)
    assert client.status == 200
    assert process.returncode == 143
    assert (rest, errors) == ("stopped by SIGTERM: 0 requests were cut\n", "")
    text = "".join(told)
    for part in ("conversation, feedback", "stage 2, rollout_pct 100", f"{url}/metrics", "curl"):
        assert part in text
    assert len(audit.read_text().splitlines()) == 1
    body = text.partition(" -d '")[2].partition("'")[0]
    assert json.loads(body)["model"] == "waltzrl"


def free_port():
    with bound_socket("127.0.0.1", 0) as listener:
        return listener.getsockname()[1]


def test_it_listens_while_models_are_loaded_and_can_be_ended_then():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with command(60, "", f"--config.serve.port={port}") as process:
        assert HTTP.get(f"{url}/healthz").status_code == 200
        ready = HTTP.get(f"{url}/readyz")
        assert ready.status_code == 503
        assert ready.json()["degraded"] == "the agents are being loaded"
        process.send_signal(signal.SIGHUP)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 129
    assert (rest, errors) == ("stopped by SIGHUP: 0 requests were cut\n", "")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/guard/flags", "/metrics"])
def test_what_needs_the_guard_waits_for_it(path):
    with running(None, Settings()) as (server, url):
        asked = [
            HTTP.post(f"{url}/v1/chat/completions", json=HI),
            HTTP.post(f"{url}/v1/chat/completions", json={**HI, "stream": True}),
            HTTP.post(f"{url}/v1/guard/check", json={"messages": HI["messages"]}),
            HTTP.get(f"{url}{path}"),
        ]
        for response in asked:
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.json()["error"]["code"] == "loading"
        server.config.app.state.service.loaded = FakeGuard()
        assert HTTP.get(f"{url}/readyz").status_code == 200
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200


def test_an_address_that_cannot_be_taken():
    with bound_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"config\.serve\.port: {port} of 127\.0\.0\.1 is taken"):
            bound_socket("127.0.0.1", port)
    with pytest.raises(OSError, match=r"config\.serve\.host: got '203\.0\.113\.9'"):
        bound_socket("203.0.113.9", 0)
    assert socket.has_ipv6 is False or bound_socket("::1", 0).close() is None
