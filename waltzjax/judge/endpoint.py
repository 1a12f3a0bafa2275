"""A model behind an OpenAI-compatible endpoint: texts in, texts out, from many threads at once.

It needs an API key in the environment, and the package openai.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from waltzjax.judge import replies
from waltzjax.judge.error_bodies import named_status
from waltzjax.judge.retry import CutOff, Retry, Unreached, UnusableReply
from waltzjax.support.errors import JudgeStopped, RequestRefused

_POLL_S = 0.1  # how soon a request under way notices that the run is to stop
_PASSING = (408, 409, 425, 429, 499)  # timeout, conflict, too early, too many, given up: as any 5xx
_OF_THE_TEXT = (400, 403, 413, 422)  # may be about one: a content filter, a text too long
_PLAIN = "Hello"  # a text to which no server objects


class _Rejected(Exception):
    """HTTP status of _OF_THE_TEXT; ``hint``: what to do if it is not about the text."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


class Endpoint:
    """Asks ``model`` at ``base_url`` ("http://host:8000/v1") at temperature 0.

    key_env: name of the environment variable that holds the API key; "": there is none.
    timeout_s: longest silence of the server during one request.
    tries, retry_s, say, stop, clock, wait: see ``Retry``.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        max_tokens: int,
        key_env: str = "",
        timeout_s: float = 120.0,
        tries: int = 5,
        retry_s: float = 3600.0,
        say: Callable[[str], None],
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.model, self.max_tokens, self.stop = model, max_tokens, stop
        self._timeout_s, self._key_env, self._key = timeout_s, key_env, read_key(key_env)
        self._what = f"the judge {model} at {base_url}"
        self._retry = Retry(
            self._what, tries=tries, retry_s=retry_s, say=say, stop=stop, clock=clock, wait=wait
        )
        self._openai = import_openai()
        self._client = self._openai.AsyncOpenAI(
            # The package wants some key, and would retry by itself, deaf to ``stop``.
            base_url=base_url,
            api_key=self._key or "none",
            timeout=timeout_s,
            max_retries=0,
        )
        # A request on an event loop can be cancelled; a thread that reads a socket cannot.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The assistant's reply to ``messages``.

        Raises:
          RequestRefused: HTTP 4xx that time does not mend, and not about these texts alone.
          UnusableReply: about these texts alone; and see ``Retry.call``.
          CutOff: the reply did not end by itself.
          JudgeOutage, JudgeStopped: see there.
        """
        create = self._client.chat.completions.with_raw_response.create
        plain = [{**message, "content": _PLAIN} for message in messages]
        send = functools.partial(self._send, replies.chat_reply, create)
        return self._ask(send, {"messages": list(messages)}, {"messages": plain})

    def complete(self, prompt: str) -> str:
        """How the model goes on after ``prompt``, to which no tokens are added. Raises as chat."""
        create = self._client.completions.with_raw_response.create
        # The field is vLLM's, which else puts a <s> before the one that the prompt begins with.
        form = {"extra_body": {"add_special_tokens": False}}
        send = functools.partial(self._send, replies.completion_reply, create)
        return self._ask(send, {"prompt": prompt, **form}, {"prompt": _PLAIN, **form})

    def _ask(
        self,
        send: Callable[[Mapping[str, Any]], str],
        asked: Mapping[str, Any],
        plain: Mapping[str, Any],
    ) -> str:
        """The reply to ``asked``; ``plain`` finds out whether a failure is about ``asked`` alone:
        earlier answers do not tell, a key may be revoked at any time."""

        def probe() -> None:
            try:
                send(plain)
            except UnusableReply:
                pass  # an answer all the same
            except _Rejected as rejected:
                raise RequestRefused(f"{rejected}; {rejected.hint}") from None

        def attempt() -> str:
            try:
                return send(asked)
            except _Rejected as rejected:
                why = str(rejected)
            probe()
            raise UnusableReply(why, final=True)

        return self._retry.call(attempt, probe)

    def _send(
        self,
        read: Callable[[Any], replies.Reply | None],
        create: Callable[..., Any],
        asked: Mapping[str, Any],
    ) -> str:
        """One request; ``read`` finds the text in the value of the reply's body.

        An error that comes with a 200 is treated as the status that it names.
        """
        request = create(model=self.model, temperature=0, max_tokens=self.max_tokens, **asked)
        future = asyncio.run_coroutine_threadsafe(request, self._loop)
        while not concurrent.futures.wait([future], timeout=_POLL_S).done:
            if self.stop.is_set():
                future.cancel()
                raise JudgeStopped(f"{self._what} is no longer waited for: the run is to stop")
        try:
            response = future.result()
        except self._openai.APITimeoutError as error:
            raise Unreached(
                f"no answer within {self._timeout_s:g} s (config.judge.timeout_s)"
            ) from error
        except self._openai.APIConnectionError as error:
            raise Unreached(self._without_key(replies.first_cause(error))) from error
        except self._openai.APIStatusError as error:
            # Not chained: the package's own error may spell out the key.
            raise self._failure(error.status_code, error.response) from None
        value = replies.parsed(response.text)
        if status := named_status(value):
            raise self._failure(status, response)
        if (reply := read(value)) is None:
            shown = replies.excerpt(self._without_key(response.text))
            raise UnusableReply(f"{self._what} sent no completion with a text: {shown}")
        if reply.cut_off:
            raise CutOff(
                f"{self._what} sent a reply that was cut off; it may have {self.max_tokens} tokens "
                f"(config.judge.max_tokens): {replies.excerpt(reply.text)}",
                reply.text,
            )
        return reply.text

    def _failure(self, status: int, response: Any) -> Exception:
        """The error for a reply of this status: to retry, to reject one text, or to refuse all."""
        why = f"HTTP {status}: {replies.refusal_message(self._without_key(response.text))}"
        if status in _PASSING or status >= 500:
            return Unreached(why, replies.retry_after_s(response.headers), limit=status == 429)
        why, hint = f"{self._what} refuses a request, {why}", self._hint(status)
        return _Rejected(why, hint) if status in _OF_THE_TEXT else RequestRefused(f"{why}; {hint}")

    def _hint(self, status: int) -> str:
        if status not in (401, 403):
            return "correct the judge's settings (config.judge)"
        if self._key:
            return f"correct the API key in the environment variable {self._key_env}, or its rights"
        return "no API key was sent: name the variable that holds it, config.judge.key_env"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, f"${self._key_env}") if self._key else text

    def close(self) -> None:
        """End the thread; the endpoint is then of no further use."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_key(key_env: str, setting: str = "config.judge.key_env") -> str:
    """The API key in that environment variable, which ``setting`` names; "" if none is named.

    Raises ValueError without ``key_env``, which may be the key itself by mistake.
    """
    key = os.environ.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise ValueError(
            f"{setting}: the environment variable that it names is not set or empty; "
            'export it with the API key, or set the name to "" if the endpoint needs no key'
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"{setting}: the environment variable {key_env} holds characters that no "
            "HTTP header may have; export it with the API key alone"
        )
    return key


def import_openai() -> Any:
    """The package, or ModuleNotFoundError with what to install."""
    try:
        import openai
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"config.judge.url: an endpoint needs {error.name}, which is not installed: "
            "pip install waltzjax[judge]"
        ) from error
    return openai
