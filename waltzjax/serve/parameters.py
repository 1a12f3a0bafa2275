"""The parameters of a request as the guard takes them; what cannot be honoured is refused."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from waltzjax.serve.errors import RequestError
from waltzjax.serve.records import HOLD, SPECULATIVE, Ask
from waltzjax.serve.schema import ROLES, ChatRequest, Message
from waltzjax.serve.service import Settings
from waltzjax.types import COLDEST

SEEDS = 2**32
# Parameters that would change the answer and cannot be honoured -> values that change nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "structured_outputs": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_k": (0, -1),
    "top_logprobs": (0,),
    "use_beam_search": (False,),
    "web_search_options": (),
}
# Parameters that change nothing about an answer here, whatever they are.
HARMLESS = {
    "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention",
    "service_tier", "store", "verbosity",
}  # fmt: skip
IN_MESSAGE = ("audio", "function_call", "tool_calls")


class Wanted(NamedTuple):
    """A request for answers.

    asks: how each choice is drawn.
    mode: HOLD or SPECULATIVE.
    ignored: names of its parameters that nobody here knows.
    """

    messages: list[dict[str, str]]
    asks: tuple[Ask, ...]
    user: str
    streamed: bool
    mode: str
    include_usage: bool
    ignored: tuple[str, ...]


def read_request(request: ChatRequest, settings: Settings) -> Wanted:
    """What a request wants.

    Raises:
      RequestError: 400 where a parameter cannot be honoured, 404 where it names another model.
    """
    if request.model != settings.model_name:
        raise RequestError(
            404,
            f"model: got {request.model[:80]!r}, allowed is {settings.model_name!r}",
            "model",
            "model_not_found",
        )
    ignored = tuple(_unknown(request.model_extra or {}))
    options = request.stream_options
    if options and not request.stream:
        raise _refused("stream_options", "it is allowed only where stream is true")
    mode = request.waltzjax.stream if request.waltzjax else HOLD
    if mode == SPECULATIVE and not settings.speculative:
        raise _refused(
            "waltzjax.stream",
            f"got {SPECULATIVE!r}, allowed here is {HOLD!r}; who runs the service may allow it by "
            "config.serve.speculative",
        )
    return Wanted(
        messages=read_messages(request.messages),
        asks=_asks(request, settings),
        user=request.user or request.safety_identifier or "",
        streamed=bool(request.stream),
        mode=mode,
        include_usage=bool(options and options.include_usage),
        ignored=ignored,
    )


def read_messages(messages: list[Message]) -> list[dict[str, str]]:
    """The messages with the roles that a guard knows. The text of an assistant's that has no
    content is its refusal; one that has neither says nothing, and is left out.

    Raises:
      RequestError: 400, one holds more than text, or another's has no content.
    """
    read = []
    for number, message in enumerate(messages):
        for name in IN_MESSAGE:
            if (message.model_extra or {}).get(name):
                raise _refused(f"messages[{number}].{name}", "only text can be read")
        text = message.content
        if message.role == "assistant" and text is None:
            text = message.refusal or None
        elif text is None:
            raise _refused(f"messages[{number}].content", "it is missing; give a text")
        if text is not None:
            read.append({"role": ROLES[message.role], "content": text})
    return read


def _asks(request: ChatRequest, settings: Settings) -> tuple[Ask, ...]:
    wanted = request.max_completion_tokens or request.max_tokens or settings.max_new_tokens
    temperature = settings.temperature if request.temperature is None else request.temperature
    seed = secrets.randbits(32) if request.seed is None else request.seed
    return tuple(
        Ask(
            max_new_tokens=min(wanted, settings.max_new_tokens),
            temperature=0.0 if temperature < COLDEST else temperature,
            top_p=settings.top_p if request.top_p is None else request.top_p,
            stop=tuple(request.stop or ()),
            seed=(seed + choice) % SEEDS,
        )
        for choice in range(request.n or 1)
    )


def _unknown(extra: dict[str, Any]) -> Iterator[str]:
    """Names of ``extra`` that nobody here knows; those that can be said in a header.

    Raises:
      RequestError: 400, one would change the answer and cannot be honoured.
    """
    for name, value in extra.items():
        if name in NEUTRAL:
            if value is not None and not any(_same(value, other) for other in NEUTRAL[name]):
                neutral = "".join(f", {other!r}" for other in NEUTRAL[name])
                raise _refused(name, f"it cannot be honoured here; allowed are null{neutral}")
        elif name not in HARMLESS and re.fullmatch(r"\w{1,64}", name, re.ASCII):
            yield name


def _same(value: object, other: object) -> bool:
    """Equality under which True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _refused(param: str, why: str) -> RequestError:
    return RequestError(400, f"{param}: {why}", param, "unsupported_value")
