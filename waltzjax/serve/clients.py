"""HTTP clients for any number of event loops: a connection belongs to the loop that opened it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import httpx

CLOSING_S = 5.0  # that another thread's loop has to close its client


class _Open(NamedTuple):
    client: httpx.AsyncClient
    life: AsyncGenerator[None]  # a loop ends its generators when it ends, and so its client


class Clients:
    """A client for each event loop that asks for one, all made by ``make``."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]):
        self._make, self._closed = make, False
        self._lock = threading.Lock()
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def here(self) -> httpx.AsyncClient:
        """The client of the running loop.

        Raises:
          RuntimeError: the clients are closed.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._closed:
                raise RuntimeError("the clients are closed")
            if loop in self._open:
                return self._open[loop].client
            client = self._make()
            opened = _Open(client, _life(client))
            alive = {each: it for each, it in self._open.items() if not each.is_closed()}
            self._open = alive | {loop: opened}
        await anext(opened.life)
        return client

    def close(self) -> None:
        """Close the clients of all loops that run, and make no more. In a coroutine: that one's is
        closed soon after."""
        with self._lock:
            self._closed = True
            opened, self._open = self._open, {}
        for loop, each in opened.items():
            _close_on(loop, each.life)


async def _life(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    async with client:
        yield


def _close_on(loop: asyncio.AbstractEventLoop, life: AsyncGenerator[None]) -> None:
    if not loop.is_running():  # it has closed its client, or does so at its end
        return
    closing = asyncio.run_coroutine_threadsafe(_close(life), loop)
    if asyncio._get_running_loop() is not loop:
        try:
            closing.result(CLOSING_S)
        except TimeoutError:
            closing.cancel()


async def _close(life: AsyncGenerator[None]) -> None:
    await life.aclose()
