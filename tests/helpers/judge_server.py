"""A small OpenAI-compatible server on loopback that misbehaves as it is told, and a fake time."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

Handler = http.server.BaseHTTPRequestHandler
Behaviour = Callable[[Handler], None]


def reply(status: int, body: str, **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return behave


def well(text: object = "fine", **more: object) -> Behaviour:
    """A completion of either kind: chat clients read ``message``, raw ones ``text``; with ``more``
    fields of its choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "text": text, **more}
    return reply(200, json.dumps({"choices": [choice]}))


def when(chosen: Callable[[Any], bool], behave: Behaviour) -> Behaviour:
    """``behave`` where the request's body is ``chosen``, else well."""
    return lambda handler: (behave if chosen(vars(handler)["body"]) else well())(handler)


def cut(handler: Handler) -> None:
    """The connection ends in the middle of the body."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


class JudgeServer:
    """``script`` is what the next requests get, in order; after it all get ``then``."""

    def __init__(self, *script: Behaviour, then: Behaviour | None = None, port: int = 0) -> None:
        self.script, self.then = list(script), then or well()
        self.requests: list[dict[str, Any]] = []  # path, key, body
        self.over = threading.Event()  # ends those who hang
        self._lock, outer = threading.Lock(), self

        class Answer(Handler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"] or 0))
                body = json.loads(sent) if sent else None
                key, self.body = self.headers["authorization"], body
                with outer._lock:
                    outer.requests.append({"path": self.path, "key": key, "body": body})
                    behave = outer.script.pop(0) if outer.script else outer.then
                behave(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def hang(self, _: Handler) -> None:
        self.over.wait(30)

    def __enter__(self) -> JudgeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class FakeTime:
    """Seconds that pass by being waited for; ``then`` runs after each wait."""

    def __init__(self, stop: threading.Event, then: Callable[[float], None] = lambda _: None):
        self.now, self._stop, self._then, self._lock = 0.0, stop, then, threading.Lock()

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        with self._lock:
            self.now += seconds
            self._then(self.now)
        return self._stop.is_set()
