"""The clients of ``soak_serve.py``: what each may do, and what it may get."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio
import httpx
import numpy as np
from echo_endpoint import OBJECT
from serve_load import chat_body, client, events, piece
from soak_checks import BUSY, LEFT, NO_ANSWER, UNSENT, Seen, Tally
from soak_questions import KEY, MODEL, Question, headers

from waltzjax.serve.flags import Flags, describe

BOMB = "a" * 5_000 + "(a+)+$" + "!" * 4_994
BACK_OFF_S = 0.25  # after declared back-pressure; most of Retry-After would leave no load
LITTLE = 4096  # bytes that a slow reader's socket holds
MALFORMED = (
    b"{", b"[]", b'"text"', b"\xff\xfe", b"null", b"{}", b'{"messages": []}', b"[" * 5_000,
    b'{"model": "waltzrl", "messages": "hello"}',
    b'{"model": "waltzrl", "messages": [{"role": "root", "content": "hello"}]}',
    b'{"model": "waltzrl", "messages": [{"role": "user", "content": 7}]}',
    b'{"model": "waltzrl", "messages": [{"role": "user", "content": "a"}], "temperature": "hot"}',
    b'{"model": "waltzrl", "messages": [{"role": "user", "content": "a"}], "max_tokens": -1}',
    b'{"model": "waltzrl", "messages": [{"role": "user", "content": "\\ud800"}], "n": NaN}',
)  # fmt: skip


class Client:
    """One client: it does one thing after another, drawn from ``WHAT``."""

    def __init__(
        self, url: str, http: httpx.AsyncClient, questions: Iterator[Question], tally: Tally,
        rng: np.random.Generator,
    ):  # fmt: skip
        self._url, self._http, self._questions = url, http, questions
        self._tally, self._rng = tally, rng

    async def run(self, until: float) -> None:
        """Go on until ``time.monotonic()`` is ``until``."""
        names, weights = list(WHAT), np.array([weight for weight, _ in WHAT.values()])
        while time.monotonic() < until:
            name = str(self._rng.choice(names, p=weights / weights.sum()))
            begun = time.perf_counter()
            try:
                got = await WHAT[name][1](self)
            except httpx.TransportError as error:
                got = Seen(NO_ANSWER, fault=f"{type(error).__name__}: {error}")
            self._tally.add(name, got, time.perf_counter() - begun)
            await asyncio.sleep(BACK_OFF_S if got.status in BUSY else self._rng.exponential(0.02))

    async def _post(self, body: object, path: str = "/chat/completions") -> httpx.Response:
        return await self._http.post(self._url + path, json=body, headers=headers(KEY))

    async def plain(self) -> Seen:
        question = next(self._questions)
        response = await self._post(chat_body(question.text, MODEL, stream=False))
        if response.status_code != 200:
            return seen(response)
        value = response.json()
        text = value["choices"][0]["message"]["content"]
        return judged(response, question, text, value["waltzjax"])

    async def streamed(self) -> Seen:
        return await self._stream(next(self._questions), self._http)

    async def speculative(self) -> Seen:
        more = {"waltzjax": {"stream": "speculative"}}
        return await self._stream(next(self._questions), self._http, **more)

    async def slow(self) -> Seen:
        """Read little by little, through a socket that holds little."""
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)]
        transport = httpx.AsyncHTTPTransport(socket_options=options)
        async with client(1, transport=transport) as http:
            return await self._stream(next(self._questions), http, pause_s=0.1)

    async def _stream(
        self, question: Question, http: httpx.AsyncClient, pause_s: float = 0.0, **more: Any
    ) -> Seen:
        text, report, failed = "", None, ""
        body = chat_body(question.text, MODEL, **more)
        async with http.stream(
            "POST", f"{self._url}/chat/completions", json=body, headers=headers(KEY)
        ) as response:
            if response.status_code != 200:
                await response.aread()
                return seen(response)
            async for event in events(response):
                await asyncio.sleep(pause_s)
                if "error" in event:
                    failed = event["error"]["code"]
                    continue
                extension = event.get("waltzjax") or {}
                text = "" if extension.get("event") == "withdrawn" else text
                text += piece(event)
                report = extension if "stage" in extension else report
        if failed:
            return seen(response, fault="" if failed in DECLARED else f"ended by {failed}")
        if report is None:
            return seen(response, fault="a stream without a report")
        return judged(response, question, text, report)

    async def leave(self) -> Seen:
        """Go away in the middle of the answer, or before it begins."""
        body = chat_body(next(self._questions).text, MODEL)
        wait_s, status = float(self._rng.uniform(0, 0.2)), UNSENT

        async def note(event: str, _: object) -> None:
            nonlocal status
            status = LEFT if event == "http11.send_request_headers.complete" else status

        async with client(1) as http:
            request = http.build_request(
                "POST", f"{self._url}/chat/completions", json=body, headers=headers(KEY),
                extensions={"trace": note},
            )  # fmt: skip
            # Not asyncio's timeout, which may end a request between its sending and the note of
            # that: the service alone would count it.
            with anyio.move_on_after(wait_s):
                return seen(await http.send(request))
        return Seen(status)

    async def check(self) -> Seen:
        question = next(self._questions)
        messages = [{"role": "user", "content": question.text}]
        messages += [{"role": "assistant", "content": "Here is something."}]
        response = await self._post({"messages": messages}, "/guard/check")
        if response.status_code != 200:
            return seen(response)
        labels = response.json()["labels"]
        wrong = bool(labels and labels["unsafe"] != (OBJECT in question.text))
        scripted = "please say something" in question.text
        return seen(response, wrong="a review that is not its own" if wrong and scripted else "")

    async def bomb(self) -> Seen:
        return seen(await self._post(chat_body(BOMB, MODEL, stream=False)))

    async def oversize(self) -> Seen:
        return seen(await self._post(chat_body("x" * 70_000, MODEL)))

    async def malformed(self) -> Seen:
        body = MALFORMED[int(self._rng.integers(len(MALFORMED)))]
        more = headers(KEY) | {"content-type": "application/json"}
        return seen(
            await self._http.post(f"{self._url}/chat/completions", content=body, headers=more)
        )

    async def bad_key(self) -> Seen:
        wrong = self._rng.choice(["", "soak-kez", "soak-key-and-more"])
        body = chat_body("hello", MODEL)
        more = headers(str(wrong)) if wrong else {}
        return seen(await self._http.post(f"{self._url}/chat/completions", json=body, headers=more))

    async def models(self) -> Seen:
        return seen(await self._http.get(f"{self._url}/models", headers=headers(KEY)))


class Watch:
    """Look at what the service says of itself."""

    def __init__(self, url: str, http: httpx.AsyncClient, tally: Tally):
        self._url, self._http, self._tally = url, http, tally

    async def compare_flags(self, said: Mapping[str, Any]) -> None:
        """Count whether the flags that the file said are those that hold."""
        response = None
        while response is None or response.status_code in BUSY:
            await asyncio.sleep(BACK_OFF_S if response else 0.0)
            response = await self._http.get(f"{self._url}/guard/flags")
            self._tally.add("flags", seen(response), 0.0)
        self._tally.flags[response.json() == describe(Flags(**said))] += 1

    async def breaker(self) -> None:
        """Note the breaker's states, until cancelled."""
        states = self._tally.breaker
        while True:
            response = await self._http.get(f"{self._url.removesuffix('/v1')}/readyz")
            if response.json()["breaker"] != (states or [""])[-1]:
                states.append(response.json()["breaker"])
            await asyncio.sleep(0.1)


DECLARED = ("agent_failed", "busy", "deadline_exceeded")  # codes of a stream's last event


def seen(response: httpx.Response, **more: Any) -> Seen:
    return Seen(response.status_code, response.headers.get("retry-after", ""), **more)


def judged(
    response: httpx.Response, question: Question, text: str, report: Mapping[str, Any]
) -> Seen:
    return seen(response, wrong=question.wrong(text, report), report=report)


# What a client does -> how often, relative to the others, and how.
WHAT: dict[str, tuple[float, Callable[[Client], Awaitable[Seen]]]] = {
    "plain": (20, Client.plain), "streamed": (20, Client.streamed),
    "speculative": (10, Client.speculative), "check": (10, Client.check), "slow": (5, Client.slow),
    "leave": (8, Client.leave), "bomb": (2, Client.bomb), "oversize": (3, Client.oversize),
    "malformed": (6, Client.malformed), "bad_key": (4, Client.bad_key),
    "models": (2, Client.models),
}  # fmt: skip
