"""A running service as its clients see it: answers and reports over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from types import NoneType
from typing import Any

from waltzjax.data.fields import Kinds, checked
from waltzjax.serve.records import Answer, Failure, Labels, Report
from waltzjax.validation.load import UNAVAILABLE, Respond

BUSY = 429  # this HTTP status, and UNAVAILABLE, are asked again if Retry-After says when
RETRIES = 8  # of one request
MOST_WAIT_S = 30.0  # before one retry, whatever Retry-After says
TIMEOUT_S = 120.0  # of one request with its retries
USER = "waltzjax-validation"
FIELD = "waltzjax"  # of a response: what the guard did
_REPORT: Kinds = {
    "stage": (int,), "triggered": (bool,), "labels": (dict, NoneType), "categories": (list,),
    "action": (str,), "revised": (bool,), "rounds": (int,), "failure": (dict, NoneType),
    "timings_ms": (dict,),
}  # fmt: skip
_LABELS: Kinds = {"unsafe": (bool,), "overrefuse": (bool,)}
_FAILURE: Kinds = dict.fromkeys(("component", "reason", "policy", "category"), (str,))


def read_report(value: object) -> Report:
    """The report in a response's extension field.

    Raises:
      ValueError: it is none.
    """
    fields = checked(value, _REPORT, f"{FIELD}: ")
    labels, failure = fields["labels"], fields["failure"]
    fields["categories"] = tuple(fields["categories"])
    if labels is not None:
        fields["labels"] = Labels(**checked(labels, _LABELS, f"{FIELD}.labels: "))
    if failure is not None:
        fields["failure"] = Failure(**checked(failure, _FAILURE, f"{FIELD}.failure: "))
    if type(fields["timings_ms"].get("added")) not in (int, float):
        raise ValueError(f"{FIELD}.timings_ms: no number 'added'")
    return Report(**fields)


class Endpoint:
    """A service at ``url``, "http://HOST:PORT/v1"; ``key_env`` names the environment variable with
    its API key, "" for none. ``retried`` counts by their status the responses after which a request
    was sent again.

    Raises:
      ModuleNotFoundError: the package openai is not installed.
      ValueError: the variable is empty.
    """

    def __init__(self, url: str, key_env: str) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"--endpoint needs {error.name}, which is not installed: "
                "pip install waltzjax[serve]"
            ) from error
        key = os.environ.get(key_env, "") if key_env else "none"
        if not key:
            raise ValueError(
                f"--key_env: got {key_env}, an environment variable that is not set or empty; "
                "export it with the service's API key"
            )
        self.url, self._openai = url, openai
        self.retried: Counter[int] = Counter()
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key, timeout=TIMEOUT_S, max_retries=0
        )

    async def model(self) -> str:
        """The name of the first model that the service lists. An address where nobody answers is
        an error at once."""
        try:
            listed = (await self._client.models.list()).data
        except self._openai.OpenAIError as error:
            raise self._failed(error) from None  # the package's own error may spell out the key
        if not listed:
            raise ValueError(f"--endpoint: {self.url} lists no model")
        return listed[0].id

    def responder(self, model: str, temperature: float | None) -> Respond:
        """How ``load.ask_all`` asks the service; ``temperature`` None: the service's own.

        Raises (when it is asked):
          OSError: it gave no answer, for other reasons than those for which it asks for a retry,
            or none within TIMEOUT_S. ValueError: it answered without a report, so it is no service
            of ours.
        """

        named = self._openai.omit if temperature is None else temperature

        async def complete(text: str, seed: int) -> Any:
            return await self._client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": text}],
                temperature=named,
                seed=seed,
                user=USER,
            )

        async def respond(text: str, seed: int) -> Answer:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return self._answer(await self._retrying(lambda: complete(text, seed)))
            except (self._openai.OpenAIError, TimeoutError) as error:
                raise self._failed(error, f"request {seed}: ") from None

        return respond

    async def _retrying(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What ``ask`` gives, asked again where the service says when to."""
        for _ in range(RETRIES):
            try:
                return await ask()
            except self._openai.APIStatusError as error:
                wait_s = _retry_after_s(error)
                if wait_s is None:
                    raise
                self.retried[error.status_code] += 1
                await asyncio.sleep(wait_s)
        return await ask()

    async def aclose(self) -> None:
        await self._client.close()

    def _answer(self, got: Any) -> Answer:
        if not got.choices:
            raise ValueError(f"--endpoint: {self.url} answered without a choice")
        choice, usage = got.choices[0], got.usage
        try:
            report = read_report((got.model_extra or {}).get(FIELD))
        except ValueError as error:
            raise ValueError(
                f"--endpoint: {self.url} answers without the report of waltzjax.serve ({error}); "
                "name the address of such a service, with /v1"
            ) from error
        return Answer(
            text=choice.message.content or "",
            report=report,
            finish_reason=choice.finish_reason,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
        )

    def _failed(self, error: Exception, which: str = "") -> OSError:
        status = getattr(error, "status_code", None)
        why = f"HTTP {status}" if status else type(error).__name__
        if isinstance(error, TimeoutError | self._openai.APITimeoutError):
            why = f"none within {TIMEOUT_S:g} s"
        hint = "; name its API key's variable by --key_env" if status in (401, 403) else ""
        return OSError(f"--endpoint: {which}{self.url} gave no answer ({why}){hint}")


def _retry_after_s(error: Any) -> float | None:
    """The seconds after which a response asks for a retry, MOST_WAIT_S at most; None: it does
    not."""
    if error.status_code not in (BUSY, UNAVAILABLE):
        return None
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, MOST_WAIT_S) if seconds >= 0 else None
