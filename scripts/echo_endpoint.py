"""A scripted OpenAI-compatible endpoint on loopback, for load and soak: no model, known answers.

    python scripts/echo_endpoint.py --port=8100 [--words=8] [--pause_s=0]

Model "echo" answers with the last user message's first word, its nonce, and ``--words`` more, a
word a piece. Model "reviewer" is a feedback agent: it objects, as unsafe, to an exchange that holds
``OBJECT`` and not ``REVISED``; "echo" says ``REVISED`` where an objection is among its messages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from absl import app, flags
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

OBJECT, REVISED, OBJECTION = "please-object", "second-thought", "scripted-objection"
BACKLOG = 256


def text_of(message: dict[str, Any]) -> str:
    """A message's text: a string, or parts of which some are texts."""
    content = message["content"]
    return content if isinstance(content, str) else " ".join(p.get("text", "") for p in content)


def echo(messages: list[dict[str, Any]], words: int) -> list[str]:
    """Words of "echo"; the nonce is the first word of the last user message but an objection."""
    asked = [text_of(m) for m in messages if m["role"] == "user"]
    texts = [text for text in asked if OBJECTION not in text]
    nonce = texts[-1].split(maxsplit=1)[0] if texts and texts[-1].strip() else "empty"
    second = len(texts) < len(asked)
    return [f"answer-{nonce}", *[REVISED] * second, *(f"word{i}" for i in range(words))]


def review(messages: list[dict[str, Any]]) -> list[str]:
    """The words of "reviewer": labels in the form that a feedback agent is trained to."""
    exchange = " ".join(map(text_of, messages))
    unsafe = OBJECT in exchange and REVISED not in exchange
    labels = {
        "reasoning": "scripted",
        "unsafe": unsafe,
        "overrefuse": False,
        "feedback": OBJECTION if unsafe else "fine",
    }
    return json.dumps(labels).split(" ")


def completion(model: str, kind: str, **choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "finish_reason": None, **choice}]
    return {"id": "scripted", "object": kind, "created": 0, "model": model, "choices": choices}


def pieces(words: list[str]) -> Iterator[str]:
    """The words with the spaces between them."""
    for i, word in enumerate(words):
        yield f" {word}" if i else word


async def events(model: str, words: list[str], usage: dict[str, int], pause_s: float):
    """Server-sent events of a streamed answer."""
    kind = "chat.completion.chunk"
    for piece in pieces(words):
        await asyncio.sleep(pause_s)
        delta = {"role": "assistant", "content": piece}
        yield f"data: {json.dumps(completion(model, kind, delta=delta))}\n\n"
    end = completion(model, kind, delta={}, finish_reason="stop") | {"usage": usage}
    yield f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n"


def application(words: int, pause_s: float) -> Starlette:
    async def chat(request: Request) -> Response:
        body = await request.json()
        model, messages = body["model"], body["messages"]
        answer = review(messages) if model == "reviewer" else echo(messages, words)
        count = {"prompt_tokens": 1, "completion_tokens": len(answer)}
        usage = count | {"total_tokens": 1 + len(answer)}
        if body.get("stream"):
            stream: AsyncIterator[str] = events(model, answer, usage, pause_s)
            return StreamingResponse(stream, media_type="text/event-stream")
        await asyncio.sleep(pause_s * len(answer))
        message = {"role": "assistant", "content": "".join(pieces(answer))}
        whole = completion(model, "chat.completion", message=message, finish_reason="stop")
        return JSONResponse(whole | {"usage": usage})

    async def models(_: Request) -> Response:
        names = [{"id": name, "object": "model"} for name in ("echo", "reviewer")]
        return JSONResponse({"object": "list", "data": names})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
        ]
    )


def main(_: list[str]) -> None:
    f = flags.FLAGS
    uvicorn.run(
        application(f.words, f.pause_s),
        host="127.0.0.1",
        port=f.port,
        log_level="critical",  # clients that leave are no news
        backlog=BACKLOG,
    )


if __name__ == "__main__":
    flags.DEFINE_integer("port", 8100, "Port on loopback.", lower_bound=1)
    flags.DEFINE_integer("words", 8, "Words after the nonce.", lower_bound=0)
    flags.DEFINE_float("pause_s", 0.0, "Pause before each word, in seconds.", lower_bound=0.0)
    app.run(main)
