"""Replies of ``JudgeServer`` as streams of server-sent events, as chat endpoints send them."""

from __future__ import annotations

import json
import threading

from judge_server import Behaviour, Handler


def event(text: str | None = None, **more: object) -> str:
    """An event with a piece of text; ``more``: other fields of the choice."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, **more}
    return json.dumps({"choices": [choice]})


def ending(*, prompt: int = 0, completion: int = 0, reason: str = "stop") -> tuple[str, ...]:
    """The last events of a reply."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return event(finish_reason=reason), json.dumps({"choices": [], "usage": usage}), "[DONE]"


def stream(*events: str) -> Behaviour:
    """All events at once; then the connection ends."""
    return lambda handler: _send(handler, events)


def endless(gone: threading.Event, piece: str = "more ") -> Behaviour:
    """Pieces of text, 30 s long, until the client has closed the connection: then ``gone``."""

    def behave(handler: Handler) -> None:
        over = threading.Event()
        try:
            _send(handler, ())
            for _ in range(3000):
                _write(handler, event(piece))
                over.wait(0.01)
        except OSError:
            gone.set()

    return behave


def _send(handler: Handler, events: tuple[str, ...]) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("connection", "close")
    handler.end_headers()
    for each in events:
        _write(handler, each)


def _write(handler: Handler, data: str) -> None:
    handler.wfile.write(f"data: {data}\n\n".encode())
    handler.wfile.flush()
