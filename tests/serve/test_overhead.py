"""The service alone: what it adds to the time of a guard that does nothing but wait."""

import asyncio
import json
import multiprocessing
import random
import statistics
import time

import pytest
from fake_guard import REPORT, FakeGuard, running

from waltzjax.serve.service import Settings

CLIENTS, REQUESTS = 16, 60
BODY = json.dumps(
    {"model": "waltzrl", "messages": [{"role": "user", "content": "How do I bake bread? " * 20}]}
).encode()


class Waiting(FakeGuard):
    """A guard that takes 20 to 60 ms, and reports how long it took."""

    async def arespond(self, messages, *, user="", ask=None):
        began = time.perf_counter()
        await asyncio.sleep(random.uniform(0.02, 0.06))
        answer = self._answer(messages, ask)
        answer.report.timings_ms["total"] = 1000 * (time.perf_counter() - began)
        return answer


def serve(address, over):
    guard = Waiting(report=REPORT)
    with running(guard, Settings()) as (_, url):
        address.put(url)
        over.wait(60)


async def client(host, port, added):
    reader, writer = await asyncio.open_connection(host, port)
    head = f"Host: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    request = b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + BODY
    for _ in range(REQUESTS):
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].partition("\r")[0])
        answer = json.loads(await reader.readexactly(size))
        took = 1000 * (time.perf_counter() - began)
        added.append(took - answer["waltzjax"]["timings_ms"]["total"])
    writer.close()


async def load(url):
    host, port = url.removeprefix("http://").split(":")
    added = []
    await asyncio.gather(*(client(host, int(port), added) for _ in range(CLIENTS)))
    return added


@pytest.mark.slow  # a figure of an idle machine
def test_the_service_alone_adds_little():
    context = multiprocessing.get_context("spawn")
    address, over = context.Queue(), context.Event()
    process = context.Process(target=serve, args=(address, over))
    process.start()
    try:
        url = address.get(timeout=30)
        added = asyncio.run(load(url))[CLIENTS * 5 :]
    finally:
        over.set()
        process.join(20)
    p50, p95, p99 = (statistics.quantiles(added, n=100)[q - 1] for q in (50, 95, 99))
    print(f"{CLIENTS} clients: p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f} ms")
    assert len(added) == CLIENTS * (REQUESTS - 5)
    assert p95 <= 5.0
