"""Clients that put an OpenAI-compatible chat endpoint under load, and the processes they load.

``closed_loop``: N clients, each with one request under way. ``open_loop``: Poisson arrivals at a
rate, whatever the endpoint does; a latency counts from the *scheduled* arrival, so that a client
that could not send in time does not hide what its users waited (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

CUT_OFF, NO_END = "cut off", "no finish_reason"  # faults of a stream
SWITCH_S = 1.5  # a service looks at its flags file twice a second
QUANTILES = (50, 95, 99)
SCRIPTS = Path(__file__).resolve().parent


class Outcome(NamedTuple):
    """One request as its client saw it."""

    prompt: str
    first_s: float | None  # from the arrival to the first piece of text; None: there was none
    total_s: float  # from the arrival to the end
    fault: str = ""  # why it is no answer: a status, CUT_OFF, NO_END or the code of an error event
    text: str = ""
    tokens: int = 0  # of the answer, as the endpoint counts them
    report: Mapping[str, Any] | None = None  # extension field ``waltzjax``


Send = Callable[[str, float], Awaitable[Outcome]]  # prompt, time of its arrival


def client(connections: int, **more: Any) -> httpx.AsyncClient:
    """A client that keeps ``connections`` open; it heeds no proxy of the environment."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(limits=limits, timeout=120.0, trust_env=False, **more)


def chat_body(prompt: str, model: str, *, stream: bool = True, **more: Any) -> dict[str, Any]:
    """A request's body: greedy, one user message."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0}
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return body | {"stream": stream} | options | more


def _sampled(prompt: str, model: str) -> dict[str, Any]:
    """A request for what trained agents say, at temperature 1: to a prompt each time the same, by a
    seed of its own, as one seed for all would draw the answers alike."""
    seed = zlib.crc32(prompt.encode())
    return chat_body(prompt, model, temperature=1.0, seed=seed)


async def events(response: httpx.Response) -> Any:
    """Yield the JSON of each server-sent event up to ``[DONE]``.

    Raises:
      httpx.RemoteProtocolError: the stream ended before it.
    """
    data = ""
    async for line in response.aiter_lines():
        if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
            try:
                event = json.loads(data)
            except ValueError as error:
                raise httpx.RemoteProtocolError(f"an event cut off: {data!r}") from error
            yield event
    if data != "[DONE]":
        raise httpx.RemoteProtocolError("the stream ended before [DONE]")


def piece(event: Mapping[str, Any]) -> str:
    """The text that an event appends."""
    return "".join(c.get("delta", {}).get("content") or "" for c in event.get("choices", ()))


async def ask(http: httpx.AsyncClient, url: str, model: str, prompt: str, begun: float) -> Outcome:
    """Stream one answer; ``begun``: ``time.perf_counter()`` at which its user asked."""
    first, text, tokens, report, fault = None, [], 0, None, NO_END
    try:
        async with http.stream(
            "POST", f"{url}/chat/completions", json=_sampled(prompt, model)
        ) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                fault = str(response.status_code)
            else:
                async for event in events(response):
                    fault = _fault(event, fault)
                    if got := piece(event):
                        first = first or time.perf_counter() - begun
                        text.append(got)
                    tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
                    report = event.get("waltzjax", report)
    except httpx.TransportError:
        fault = CUT_OFF
    total = time.perf_counter() - begun
    return Outcome(prompt, first, total, fault, "".join(text), tokens, report)


def _fault(event: Mapping[str, Any], fault: str) -> str:
    """The fault of a stream so far: NO_END until an event has the finish_reason."""
    if "error" in event:
        return str(event["error"].get("code") or "error")
    ended = any(c.get("finish_reason") for c in event.get("choices", ()))
    return "" if ended and fault == NO_END else fault


async def closed_loop(send: Send, prompts: Sequence[str], clients: int) -> list[Outcome]:
    """Send each prompt once, ``clients`` at a time."""
    waiting, outcomes = iter(prompts), []

    async def one_client() -> None:
        for prompt in waiting:
            outcomes.append(await send(prompt, time.perf_counter()))

    await asyncio.gather(*(one_client() for _ in range(clients)))
    return outcomes


def arrivals(count: int, rate: float, seed: int) -> np.ndarray:
    """Times of ``count`` arrivals of a Poisson process, in seconds; ``rate``: a second."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


async def open_loop(send: Send, prompts: Sequence[str], rate: float, seed: int) -> list[Outcome]:
    """Send each prompt once, at its arrival."""
    begun = time.perf_counter()

    async def arrive(prompt: str, due: float) -> Outcome:
        await asyncio.sleep(due - time.perf_counter())
        return await send(prompt, due)

    due_times = begun + arrivals(len(prompts), rate, seed)
    return list(await asyncio.gather(*map(arrive, prompts, due_times.tolist())))


def quantiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """p50, p95, p99 and the mean, in milliseconds; None of nothing."""
    if not seconds:
        return None
    ms = 1e3 * np.asarray(seconds)
    values = {f"p{q}": float(np.percentile(ms, q)) for q in QUANTILES} | {"mean": float(ms.mean())}
    return {name: round(value, 2) for name, value in values.items()}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process(NamedTuple):
    """An endpoint that this process started."""

    popen: subprocess.Popen[bytes]
    url: str  # with /v1

    def stop(self, wait_s: float = 60.0) -> int:
        """End it by SIGTERM; its exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(wait_s)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@contextlib.contextmanager
def started(
    command: Sequence[str], port: int, ready: str, *, environ: Mapping[str, str] | None = None,
    wait_s: float = 180.0, log: Path | None = None,
) -> Iterator[Process]:  # fmt: skip
    """An endpoint on loopback, from when ``ready`` (a path) answers 200 to the end of the block."""
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log else None
        popen = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT if log else None,
            env={**os.environ, **(environ or {})},
        )  # fmt: skip
        process = Process(popen, f"{url}/v1")
        try:
            _await_ready(popen, url + ready, wait_s)
            yield process
        finally:
            if popen.poll() is None:
                process.kill()


def _await_ready(popen: subprocess.Popen[bytes], url: str, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while time.monotonic() < until and popen.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    raise OSError(
        f"{url}: the endpoint did not become ready in {wait_s:.0f} s (exit {popen.poll()}); see "
        "its output"
    )


def echo_endpoint(port: int, *, words: int = 8, pause_s: float = 0.0):
    """A scripted endpoint (``echo_endpoint.py``), as ``started`` gives it."""
    script = str(SCRIPTS / "echo_endpoint.py")
    command = [sys.executable, script, f"--port={port}", f"--words={words}", f"--pause_s={pause_s}"]
    return started(command, port, "/v1/models", wait_s=30)


def service(arguments: Sequence[str], **more: Any):
    """``python -m waltzjax.serve`` with ``arguments`` on a free port, as ``started`` gives it."""
    port = free_port()
    command = [sys.executable, "-m", "waltzjax.serve", *arguments, f"--config.serve.port={port}"]
    return started(command, port, "/readyz", **more)
