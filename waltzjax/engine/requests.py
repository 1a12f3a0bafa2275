"""The requests to a generation engine, and its answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from waltzjax.types import COLDEST, LEAST_MASS

Guess = Callable[[Sequence[int], int], Sequence[int]]
MAX_STOP_IDS = 16  # a request; an array of them goes to the device with every row


def _all(kind: type) -> Callable[[Any], bool]:
    def fits(values: Any) -> bool:
        row = isinstance(values, Sequence) or (isinstance(values, np.ndarray) and values.ndim == 1)
        return row and all(isinstance(v, kind) for v in values)

    return fits


# Requirements on a field: in words, and as a test.
WHOLE = ("a whole number", lambda x: isinstance(x, Integral) and not isinstance(x, bool))
REAL = ("a number", lambda x: isinstance(x, Real) and not isinstance(x, bool))
TOKENS = ("a sequence of token numbers", _all(Integral))
TEXTS = ("a tuple of texts", lambda x: not isinstance(x, str) and _all(str)(x))


class Sampling(NamedTuple):
    """How a request's tokens are drawn and when they end. Requests of any mixture run together."""

    max_new_tokens: int  # >= 1
    temperature: float = 1.0  # 0, which takes the most probable token, or >= 0.001
    top_k: int = 0  # the k most probable tokens; 0: all
    top_p: float = 1.0  # [1e-6, 1]: the most probable tokens of so much mass together; 1: all
    min_p: float = 0.0  # [0, 1]: tokens at least so probable, times the most probable; 0: all
    stop_ids: tuple[int, ...] | None = None  # tokens that end it; None: the engine's
    stop_strings: tuple[str, ...] = ()  # texts that end it, wherever its tokens' borders lie
    logprobs: bool = True  # whether they are returned

    @property
    def truncates(self) -> bool:
        """Whether tokens may be left out of the distribution."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1 or self.min_p > 0)


@dataclasses.dataclass(frozen=True)
class Request:
    """One text to be continued by one of the models at hand.

    The answer is a function of model, prompt, sampling and seed, whatever else is in the batch:
    token i is drawn with ``fold_in(key(seed), i)``. Batches of another width round otherwise, which
    in float32 moves logits by some 1e-6, in bfloat16 by some 1e-2: there a token may differ.
    """

    id: Any  # hashable, unique among those under way
    model: str
    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int  # [0, 2^32)
    # (tokens drawn so far, count) -> up to ``count`` tokens that may come next. They change the
    # time that it takes: those that are drawn anyway are drawn together; and in bfloat16 perhaps a
    # token, as they change the batch's shape.
    guess: Guess | None = None


class Tokens(NamedTuple):
    """The outcome of a request: its tokens (the one that stopped it included), their
    log-probabilities in nats under the distribution they were drawn from."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str  # "stop" | "length" | "error"
    # See ``core.sampling.Drawn``: with it a trainer finds the truncated distribution again.
    cutoff_gap: tuple[float, ...] = ()
    error: str = ""  # where the reason is "error": what was wrong


class Event(NamedTuple):
    """News of one request: tokens it got since its last event; at its end, all of it."""

    id: Any
    token_ids: tuple[int, ...]
    result: Tokens | None


def checked(
    request: Request, *, longest: int, vocabulary: int, models: tuple[str, ...], decodes: bool
) -> Request:
    """The request with tuples of Python's own numbers and texts, where arrays were given.

    Args:
      longest: tokens of the longest text, prompt and answer together.
      vocabulary: tokens there are.
      models: whose names it may bear.
      decodes: whether the engine can turn tokens into text, which stop strings need.

    Raises:
      ValueError: it cannot be served, and why.
    """
    s = request.sampling
    _check(
        (fits(value), name, repr(value), what)
        for name, value, (what, fits) in (
            ("prompt", request.prompt, TOKENS),
            ("seed", request.seed, WHOLE),
            ("max_new_tokens", s.max_new_tokens, WHOLE),
            ("temperature", s.temperature, REAL),
            ("top_k", s.top_k, WHOLE),
            ("top_p", s.top_p, REAL),
            ("min_p", s.min_p, REAL),
            ("stop_ids", () if s.stop_ids is None else s.stop_ids, TOKENS),
            ("stop_strings", s.stop_strings, TEXTS),
        )
    )
    prompt, texts = tuple(map(int, request.prompt)), tuple(map(str, s.stop_strings))
    stops = None if s.stop_ids is None else tuple(map(int, s.stop_ids))
    room = longest - s.max_new_tokens
    unknown = [t for t in (*prompt, *(stops or ())) if not 0 <= t < vocabulary]
    _check(
        (
            (request.model in models, "model", request.model, f"one of {', '.join(models)}"),
            (
                1 <= s.max_new_tokens < longest,
                "max_new_tokens",
                s.max_new_tokens,
                f"1 to {longest - 1}: there are {longest} positions",
            ),
            (
                room < 1 or 1 <= len(prompt) <= room,
                "prompt tokens",
                len(prompt),
                f"1 to {room} ({longest} positions less {s.max_new_tokens} new tokens)",
            ),
            (not unknown, "token ids", unknown[:1], f"0 to {vocabulary - 1}"),
            (
                s.temperature == 0 or COLDEST <= s.temperature < math.inf,
                "temperature",
                s.temperature,
                f"0 or >= {COLDEST}",
            ),
            (0 <= s.top_k < 2**31, "top_k", s.top_k, "0 to 2^31 - 1"),
            (LEAST_MASS <= s.top_p <= 1, "top_p", s.top_p, f"{LEAST_MASS} to 1"),
            (0 <= s.min_p <= 1, "min_p", s.min_p, "[0, 1]"),
            (
                len(stops or ()) <= MAX_STOP_IDS,
                "stop_ids",
                len(stops or ()),
                f"at most {MAX_STOP_IDS}",
            ),
            (all(texts), "stop_strings", texts, "no empty one"),
            (
                decodes or not texts,
                "stop_strings",
                texts,
                "none: this engine was given no tokenizer",
            ),
            (0 <= request.seed < 2**32, "seed", request.seed, "[0, 2^32)"),
        )
    )
    s = s._replace(stop_ids=stops, stop_strings=texts)
    return dataclasses.replace(request, prompt=prompt, sampling=s)


def _check(rules: Iterable[tuple[bool, str, Any, str]]) -> None:
    broken = [rest for holds, *rest in rules if not holds]
    if broken:
        raise ValueError(
            "; ".join(f"{name}: got {got}, allowed is {allowed}" for name, got, allowed in broken)
        )
