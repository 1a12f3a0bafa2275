"""Work on an event loop that a signal ends in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from waltzjax.support.signals import SIGNALS, Stopped

T = TypeVar("T")


def run_stoppable(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``. The first SIGTERM or Ctrl-C cancels it, so that it puts back what it
    has changed.

    Raises:
      Stopped: after such a signal. Also what ``work`` raises.
    """
    return asyncio.run(_watched(work))


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    task, received = asyncio.ensure_future(work), []
    loop = asyncio.get_running_loop()

    def stop(signum: int) -> None:
        received.append(signum)
        task.cancel()

    for signum in SIGNALS:
        with suppress(ValueError, RuntimeError):  # not the main thread: whoever has them acts
            loop.add_signal_handler(signum, stop, signum)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        name = signal.Signals(received[0]).name
        raise Stopped(
            f"stopped by {name}: flags are as they were, no results are written", received[0]
        ) from None
