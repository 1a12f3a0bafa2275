"""Judges that are models: asked for each answer, remembered on disk, read strictly."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from waltzjax.rewards.endpoint import Endpoint
from waltzjax.rewards.judges import Judge
from waltzjax.rewards.patience import UnusableReply
from waltzjax.rewards.replies import is_utf8
from waltzjax.rewards.verdict_cache import VerdictCache, reply_key
from waltzjax.types import Prompt, Verdict

FIELDS = ("unsafe", "overrefuse")
Asked = TypeVar("Asked", str, Sequence[Mapping[str, str]])  # a raw prompt, or chat messages


def chat_judge(
    endpoint: Endpoint, system: str, message: Callable[[str, str], str], *, cache: VerdictCache,
    concurrency: int,
) -> Judge:  # fmt: skip
    """A chat model, told by ``system`` what to judge and shown ``message(prompt, answer)``."""

    def request(prompt: str, answer: str) -> Sequence[Mapping[str, str]]:
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": message(prompt, answer)},
        ]

    return asked_judge(
        endpoint.chat, request, parse_labels, model=endpoint.model, max_tokens=endpoint.max_tokens,
        stop=endpoint.stop, cache=cache, concurrency=concurrency,
    )  # fmt: skip


def asked_judge(
    ask: Callable[[Asked], str], request: Callable[[str, str], Asked],
    parse: Callable[[str], Verdict | None], *, model: str, max_tokens: int, stop: threading.Event,
    cache: VerdictCache, concurrency: int,
) -> Judge:  # fmt: skip
    """The judge ``parse(ask(request(prompt, answer)))``; ``model`` and ``max_tokens`` are ask's.

    A reply is stored once it is known to be usable, so others are asked for again the next time.
    """
    unparsed: deque[str] = deque(maxlen=1)

    def verdict(prompt: str, answer: str) -> Verdict | None:
        if not is_utf8(prompt + answer):
            unparsed.append("not asked: half of a surrogate pair cannot be sent")
            return None
        asked = request(prompt, answer)
        key = reply_key(model, asked, max_tokens)
        stored = cache.get(key)
        found = None if stored is None else parse(stored)
        if found is not None:
            return found
        try:
            reply = ask(asked)
        except UnusableReply as error:
            unparsed.append(str(error))
            return None
        found = parse(reply)
        if found is None:
            unparsed.append(reply)
        else:
            cache.put(key, reply)
        return found

    def verdicts(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Verdict | None]:
        return [verdict(p.text, answer) for p, answer in zip(prompts, answers, strict=True)]

    return Judge(verdicts, concurrency, stop, unparsed)


def parse_labels(reply: str) -> Verdict | None:
    """The labels in the one JSON object that has both, as booleans; None if there is not one.

    Other text may stand around it, such as a fence, but no brace that begins no object. What is
    inside another object does not count, nor do labels of an object that repeats a key: two
    readers could take them for different things.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    labelled, at = [], reply.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(reply, at)
        except (ValueError, RecursionError):
            return None
        if any(name in value for name in FIELDS):
            labelled.append([value.get(name) for name in FIELDS])
        at = reply.find("{", end)
    if len(labelled) != 1 or any(type(label) is not bool for label in labelled[0]):
        return None
    return Verdict(*labelled[0])


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    # None is no boolean: the object is seen, and its labels are not usable.
    return value if len(value) == len(pairs) else dict.fromkeys(value)
