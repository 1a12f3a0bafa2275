"""Answers as server-sent events: pieces as they come, in the form of OpenAI's chunks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, cast

from sse_starlette import EventSourceResponse

from waltzjax.serve.errors import GONE, RequestError, request_error
from waltzjax.serve.records import Answer, Delta
from waltzjax.serve.schema import Chunk, Usage
from waltzjax.serve.service import Exchange, Settings

QUEUED = 64  # pieces of news that wait for a slow reader; then the answer waits too
DONE = b"data: [DONE]\n\n"


class News:
    """Deltas of all choices of a request, in the order in which they come.

    It runs within an event loop, until it is closed.
    """

    def __init__(self, streams: Sequence[AsyncIterator[Delta]]):
        self._queue: asyncio.Queue[tuple[int, Delta | Exception]] = asyncio.Queue(QUEUED)
        self._first: tuple[int, Delta | Exception] | None = None
        self._tasks = [
            asyncio.create_task(self._pump(index, stream)) for index, stream in enumerate(streams)
        ]

    async def begin(self, timeout_s: float) -> None:
        """Wait for the first news, for at most ``timeout_s``.

        Raises:
          RequestError: there will be no answer.
        """
        try:
            async with asyncio.timeout(timeout_s):
                self._first = await self._queue.get()
        except TimeoutError:
            return
        if isinstance(self._first[1], Exception):
            raise request_error(self._first[1])

    async def next(self) -> tuple[int, Delta]:
        """The next news, and of which choice it is.

        Raises:
          RequestError: there will be no answer.
        """
        index, news = self._first or await self._queue.get()
        self._first = None
        if isinstance(news, Exception):
            raise request_error(news)
        return index, news

    def close(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()

    async def _pump(self, index: int, stream: AsyncIterator[Delta]) -> None:
        generator = cast(AsyncGenerator[Delta, None], stream)  # an iterator has nothing to close
        async with contextlib.aclosing(generator) as deltas:
            try:
                async for delta in deltas:
                    await self._queue.put((index, delta))
            except Exception as error:  # raised again where the news are read
                await self._queue.put((index, error))


class Writer:
    """Chunks of one response."""

    def __init__(self, completion_id: str, created: int, model: str, include_usage: bool):
        self._chunk = Chunk(id=completion_id, created=created, model=model, choices=[])
        self._include_usage = include_usage

    def piece(
        self,
        index: int,
        delta: dict[str, str],
        finish_reason: str | None = None,
        extension: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._chunk.model_copy(update={"choices": [choice], "waltzjax": extension})
        left_out = {"usage"} if not self._include_usage else set()
        left_out |= {"waltzjax"} if extension is None else set()
        return event(chunk.model_dump_json(exclude=left_out))

    def usage(self, answers: Sequence[Answer]) -> bytes:
        chunk = self._chunk.model_copy(update={"usage": usage_of(answers)})
        return event(chunk.model_dump_json(exclude={"waltzjax"}))


def event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def usage_of(answers: Sequence[Answer]) -> Usage:
    """The tokens of a request; its prompt is counted once, as OpenAI counts it."""
    prompt = answers[0].prompt_tokens
    completion = sum(answer.completion_tokens for answer in answers)
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
    )


async def events(
    news: News, choices: int, writer: Writer, include_usage: bool, exchange: Exchange
) -> AsyncIterator[bytes]:
    """The events of a response, "data: [DONE]" last."""
    answers: list[Answer] = []
    try:
        for index in range(choices):
            yield writer.piece(index, {"role": "assistant", "content": ""})
        while len(answers) < choices:
            index, delta = await news.next()
            if delta.withdrawn:
                yield writer.piece(index, {}, None, {"event": "withdrawn"})
            if delta.text:
                yield writer.piece(index, {"content": delta.text})
            if delta.answer:
                answers.append(delta.answer)
                exchange.add(delta.answer)
                yield writer.piece(
                    index, {}, delta.answer.finish_reason, delta.answer.report.as_json()
                )
        if include_usage:
            yield writer.usage(answers)
    except RequestError as error:  # too late for a status
        exchange.error = error.code or ""
        yield event(error.body().decode())
    except (asyncio.CancelledError, GeneratorExit):
        exchange.status = GONE
        raise
    finally:
        news.close()
    yield DONE


def respond(stream: AsyncIterator[bytes], settings: Settings) -> EventSourceResponse:
    """The response that sends ``stream``, and comments while it has nothing to send."""
    return EventSourceResponse(
        stream,
        sep="\n",
        ping=settings.ping_s,
        send_timeout=settings.send_s,
        headers={"Cache-Control": "no-store"},
    )
