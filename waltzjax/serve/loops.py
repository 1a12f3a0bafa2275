"""What callers without an event loop wait on, and what a stream's reader waits for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from waltzjax.serve.records import AgentFailed

T = TypeVar("T")
CLOSED_GUARD = "the guard is closed"


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``; AgentFailed: the loop was closed meanwhile."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except concurrent.futures.CancelledError:
            raise AgentFailed(CLOSED_GUARD) from None

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """Cancel all tasks of the loop but this one, and wait for them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Newest:
    """The newest text of a stream: a slow reader skips what a newer one holds too."""

    def __init__(self) -> None:
        self._text, self._news = "", asyncio.Event()

    def put(self, text: str) -> None:
        self._text = text
        self._news.set()

    async def until(self, work: asyncio.Future[Any]) -> AsyncIterator[str]:
        """The newest text each time that there is one, until ``work`` has ended."""
        work.add_done_callback(lambda _: self._news.set())
        while True:
            await self._news.wait()
            self._news.clear()
            yield self._text
            if work.done():
                return
