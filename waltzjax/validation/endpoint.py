"""A running service as its clients see it: answers and reports over HTTP."""

from __future__ import annotations

import os
from types import NoneType
from typing import Any

from waltzjax.data.fields import Kinds, checked
from waltzjax.serve.records import Answer, Failure, Labels, Report
from waltzjax.validation.load import Respond

RETRIES = 8  # of a request that the service is too busy for; its Retry-After says when
TIMEOUT_S = 120.0  # of one request
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
    its API key, "" for none.

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
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key, timeout=TIMEOUT_S, max_retries=RETRIES
        )

    async def model(self) -> str:
        """The name of the first model that the service lists. An address where nobody answers is
        an error at once."""
        try:
            listed = (await self._client.with_options(max_retries=0).models.list()).data
        except self._openai.OpenAIError as error:
            raise self._failed(error) from None  # the package's own error may spell out the key
        if not listed:
            raise ValueError(f"--endpoint: {self.url} lists no model")
        return listed[0].id

    def responder(self, model: str, temperature: float | None) -> Respond:
        """How ``load.ask_all`` asks the service; ``temperature`` None: the service's own.

        Raises (when it is asked):
          OSError: it gave no answer, for other reasons than being busy. ValueError: it answered
            without a report, so it is no service of ours.
        """

        named = self._openai.omit if temperature is None else temperature

        async def respond(text: str, seed: int) -> Answer:
            try:
                got = await self._client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": text}],
                    temperature=named,
                    seed=seed,
                    user=USER,
                )
            except self._openai.OpenAIError as error:
                raise self._failed(error) from None
            return self._answer(got)

        return respond

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

    def _failed(self, error: Exception) -> OSError:
        status = getattr(error, "status_code", None)
        why = f"HTTP {status}" if status else type(error).__name__
        hint = "; name its API key's variable by --key_env" if status in (401, 403) else ""
        return OSError(f"--endpoint: {self.url} gave no answer ({why}){hint}")
