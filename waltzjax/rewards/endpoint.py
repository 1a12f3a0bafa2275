"""A model behind an OpenAI-compatible endpoint: texts in, texts out, from many threads at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from waltzjax.rewards import replies
from waltzjax.rewards.patience import JudgeStopped, Patience, Unreached, UnusableReply

_POLL_S = 0.1  # how soon a request under way notices that the run is to stop


class RequestRefused(Exception):
    """The endpoint refuses what it was asked, so that asking again would not help."""


class Endpoint:
    """Asks ``model`` at ``base_url`` ("http://host:8000/v1") at temperature 0.

    key_env: name of the environment variable that holds the API key; "": there is none.
    timeout_s: longest silence of the server during one request.
    tries, patience_s, say, stop, clock, wait: see ``Patience``.
    """

    def __init__(self, base_url: str, model: str, *, max_tokens: int, key_env: str = "",
                 timeout_s: float = 120.0, tries: int = 5, patience_s: float = 3600.0,
                 say: Callable[[str], None], stop: threading.Event,
                 clock: Callable[[], float] = time.monotonic,
                 wait: Callable[[float], bool] | None = None) -> None:  # fmt: skip
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"base_url: got {base_url!r}; write http://HOST:PORT/v1 or https://..."
            )
        self.model, self.max_tokens, self.stop = model, max_tokens, stop
        self._timeout_s, self._key_env, self._key = timeout_s, key_env, _read_key(key_env)
        self._what = f"the judge {model} at {base_url}"
        self._patience = Patience(
            self._what, tries=tries, patience_s=patience_s, say=say, stop=stop, clock=clock,
            wait=wait,
        )  # fmt: skip
        self._openai = _import_openai()
        self._client = self._openai.AsyncOpenAI(
            # The package wants some key, and would retry by itself, deaf to ``stop``.
            base_url=base_url, api_key=self._key or "none", timeout=timeout_s, max_retries=0,
        )  # fmt: skip
        # A request on an event loop can be cancelled; a thread that reads a socket cannot.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The assistant's reply to ``messages``.

        Raises:
          RequestRefused: HTTP 4xx other than 408 and 429.
          UnusableReply, JudgeOutage, JudgeStopped: see ``Patience.call``.
        """
        create = self._client.chat.completions.with_raw_response.create
        asked = {"messages": list(messages)}
        return self._patience.call(lambda: self._attempt(replies.chat_text, create, asked))

    def complete(self, prompt: str) -> str:
        """How the model goes on after ``prompt``, to which no tokens are added. Raises as chat."""
        create = self._client.completions.with_raw_response.create
        # The field is vLLM's, which else puts a <s> before the one that the prompt begins with.
        asked = {"prompt": prompt, "extra_body": {"add_special_tokens": False}}
        return self._patience.call(lambda: self._attempt(replies.completion_text, create, asked))

    def _attempt(
        self, read: Callable[[str], str | None], create: Callable[..., Any],
        asked: Mapping[str, Any],
    ) -> str:  # fmt: skip
        """One request; ``read`` finds the text in the body of the reply."""
        request = create(model=self.model, temperature=0, max_tokens=self.max_tokens, **asked)
        future = asyncio.run_coroutine_threadsafe(request, self._loop)
        while not concurrent.futures.wait([future], timeout=_POLL_S).done:
            if self.stop.is_set():
                future.cancel()
                raise JudgeStopped(f"{self._what} is no longer waited for: the run is to stop")
        try:
            body = future.result().text
        except self._openai.APITimeoutError as error:
            raise Unreached(f"no answer within {self._timeout_s:g} s (timeout_s)") from error
        except self._openai.APIConnectionError as error:
            raise Unreached(self._without_key(replies.first_cause(error))) from error
        except self._openai.APIStatusError as error:
            status, body = error.status_code, self._without_key(error.response.text)
            why = f"HTTP {status}: {replies.refusal_message(body)}"
            # Not chained: the package's own error may spell out the key.
            if status in (408, 429) or status >= 500:
                raise Unreached(why, replies.retry_after_s(error.response.headers)) from None
            hint = "correct the judge's settings"
            if status == 401 and self._key:
                hint = f"correct the API key in the environment variable {self._key_env}"
            elif status == 401:
                hint = "no API key was sent: set key_env to the environment variable that holds it"
            raise RequestRefused(f"{self._what} refuses a request, {why}; {hint}") from None
        if (text := read(body)) is None:
            shown = replies.excerpt(self._without_key(body))
            raise UnusableReply(f"{self._what} sent no completion with a text: {shown}")
        return text

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


def _read_key(key_env: str) -> str:
    """The API key in that environment variable, "" if none is named."""
    key = os.environ.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise ValueError(
            f"key_env: the environment variable {key_env} is not set or empty; export it with the "
            'API key, or set key_env to "" if the endpoint needs none'
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"key_env: the environment variable {key_env} holds characters that no HTTP header "
            "may have; export it with the API key alone"
        )
    return key


def _import_openai() -> Any:
    try:
        import openai
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a judge behind an endpoint needs the package {error.name}, which is not installed: "
            "pip install waltzjax[judge]"
        ) from error
    return openai
