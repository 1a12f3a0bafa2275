"""An agent at any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import httpx

from waltzjax.judge.endpoint import read_key
from waltzjax.judge.error_bodies import named_status
from waltzjax.judge.replies import first_cause, is_utf8, parsed, retry_after_s
from waltzjax.serve.clients import Clients
from waltzjax.serve.records import AgentBusy, AgentFailed, Ask, Messages, PromptTooLong, Reply
from waltzjax.serve.speech import Speech

_TOO_LONG = re.compile(r"context.?(?:length|window|size)|(?:prompt|input).{0,40}too long", re.I)
_OF_THE_TEXT = (400, 413, 422)
_END = "[DONE]"
_LONGEST_WAIT_S = 60.0  # that clients are told, whatever the server says
_LAST_WORDS_S = 1.0  # that a complete reply is held back for the counts of its tokens
_GOODBYE_S = 0.05  # and for the end of the body, so that the connection can be used again
_MOST_TOKENS = 2**31 - 1
_LONGEST_LINE = 2**20  # bytes; of a body that tells of a failure, all that is read
_NONSENSE = (AttributeError, TypeError, ValueError, LookupError, OverflowError, RecursionError)


class EndpointAgent:
    """``model`` at ``url`` ("http://host:8000/v1"); see ``records.Agent``.

    key_env: name of the environment variable that holds the API key; "": there is none.
    timeout_s: longest silence of the server.
    setting: the config key of ``key_env``, for errors.
    """

    def __init__(
        self, url: str, model: str, *, key_env: str, timeout_s: float, name: str, setting: str
    ):
        key = read_key(key_env, setting)
        self._name, self._model, self._timeout_s = name, model, timeout_s
        self._thinks = False  # until a reply ends a thought
        self._url = f"{url.rstrip('/')}/chat/completions"
        tls = httpx.create_ssl_context()  # slow to make
        self._clients = Clients(
            lambda: httpx.AsyncClient(
                headers={"authorization": f"Bearer {key}"} if key else {},
                timeout=timeout_s,
                limits=httpx.Limits(),  # connections: the service bounds its requests
                follow_redirects=False,  # the key is for this server alone
                verify=tls,
            )
        )

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        """Close the connections, and make no more. Any thread may call it."""
        self._clients.close()

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        """See ``records.Agent``. Where ``ask.on_text`` has enough, or the coroutine is cancelled,
        the connection is closed, by which the server learns that it may stop."""
        try:
            client = await self._clients.here()
        except RuntimeError:
            raise AgentFailed(f"{self._name}: closed") from None
        try:
            async with client.stream(
                "POST", self._url, json=_body(self._model, messages, ask)
            ) as response:
                if response.status_code != 200:
                    body = await _beginning(response)
                    raise _failure(response.status_code, body, response.headers)
                speech = Speech(ask.on_text, thinks=self._thinks)
                reply = await _read(response, speech)
                self._thinks = self._thinks or speech.thought
                return reply
        except httpx.TimeoutException:
            raise AgentFailed(f"{self._name}: no word within {self._timeout_s:g} s") from None
        except httpx.NetworkError as error:  # not chained: it may hold the request
            raise AgentFailed(f"{self._name}: {first_cause(error)}") from None
        except httpx.HTTPError as error:  # its text may quote what the server sent
            raise AgentFailed(f"{self._name}: {type(error).__name__}") from None


def _body(model: str, messages: Messages, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m["role"], "content": m["content"]} for m in messages],
        "max_tokens": ask.max_new_tokens,
        "temperature": ask.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if ask.temperature > 0:
        body |= {"top_p": ask.top_p, "seed": ask.seed}
    return body | ({"stop": list(ask.stop)} if ask.stop else {})


class _Piece(NamedTuple):
    """News of a reply; the fields are empty where an event does not speak of them."""

    text: str
    reason: str
    prompt_tokens: int
    completion_tokens: int


async def _read(response: httpx.Response, speech: Speech) -> Reply:
    """The reply in a stream of events, as far as ``speech`` wants it.

    Raises:
      AgentFailed: the stream ends before the reply does; and see ``_failure``.
    """
    written, reason, prompt_tokens, completion_tokens, pieces = "", "", 0, 0, 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            async for chunk in _chunks(response):
                if chunk is None:
                    limit.reschedule(loop.time() + _GOODBYE_S)
                    continue
                piece = _piece(chunk, response.headers)
                written, pieces = written + piece.text, pieces + bool(piece.text)
                prompt_tokens = piece.prompt_tokens or prompt_tokens
                completion_tokens = piece.completion_tokens or completion_tokens
                if piece.text and speech.hear(written):
                    reason = "stop"
                    break
                if piece.reason and not reason:
                    reason = piece.reason
                    limit.reschedule(loop.time() + _LAST_WORDS_S)
    except TimeoutError:
        pass
    except httpx.HTTPError:
        if not reason:
            raise
    if not reason:
        raise AgentFailed("the reply broke off")
    ended = "length" if reason == "length" else "stop"
    return Reply(speech.text(written), ended, prompt_tokens, completion_tokens or pieces)


def _piece(chunk: Any, headers: Mapping[str, str]) -> _Piece:
    """Raises AgentFailed where ``chunk`` is none of a chat completion; and see ``_failure``."""
    try:
        if status := named_status(chunk):
            raise _failure(status, json.dumps(chunk), headers)
        choice: Any = next(iter(chunk.get("choices") or ()), {})
        text = (choice.get("delta") or {}).get("content") or ""
        usage = chunk.get("usage") or {}
        counts = (_count(usage.get(f"{what}_tokens")) for what in ("prompt", "completion"))
        if is_utf8(text):
            return _Piece(text, str(choice.get("finish_reason") or ""), *counts)
    except PromptTooLong:
        raise
    except _NONSENSE:
        pass
    raise AgentFailed("the reply is no chat completion")


async def _chunks(response: httpx.Response) -> AsyncIterator[Mapping[str, Any] | None]:
    """The objects of a stream of server-sent events; None: there are no more."""
    over = False
    async for line in _lines(response):
        field, _, value = line.decode("utf-8", "replace").partition(":")
        if field != "data":
            continue
        if value.strip() == _END:
            over = True
            yield None
        if over:
            continue
        chunk = parsed(value)
        if not isinstance(chunk, dict):
            raise AgentFailed("the reply is no stream of JSON objects")
        yield chunk


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of a body: those that end in line feeds, for a text may hold all other ends of
    lines."""
    rest = b""
    async for data in response.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _LONGEST_LINE:
            raise AgentFailed("the reply has a line of more than 1 MiB")
    yield rest


async def _beginning(response: httpx.Response) -> str:
    """The text of a body, or of its beginning where that is long."""
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) > _LONGEST_LINE:
            break
    return body.decode("utf-8", "replace")


def _count(value: Any) -> int:
    """A number of tokens, whatever the server says."""
    return min(max(0, int(value or 0)), _MOST_TOKENS)


def _failure(status: int, body: str, headers: Mapping[str, str]) -> Exception:
    """The error for an HTTP status. The server's words are left out: they may quote the user's."""
    if status == 429:
        return AgentBusy(min(retry_after_s(headers) or 1.0, _LONGEST_WAIT_S))
    if status in _OF_THE_TEXT and _TOO_LONG.search(body):
        return PromptTooLong("the messages are longer than the model behind the endpoint reads")
    return AgentFailed(f"the endpoint answered with HTTP {status}")
