"""Section ``serve``: an endpoint that answers with both agents, its guard's flags and its limits.

Everything without a source is [ours].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ml_collections import ConfigDict

from waltzjax.config import policy_text
from waltzjax.config.endpoint import ADDRESS, broken_address, broken_variable, is_address
from waltzjax.config.key import (
    ANY,
    GREEDY_OR_TEMPERATURE,
    SERVE,
    Bound,
    Key,
    OnlyIf,
    above,
    at_least,
    value_at,
)


def _is_policy(texts: Any) -> bool:
    try:
        policy_text.parse_policy(texts)
    except ValueError:
        return False
    return True


def is_origin(text: object) -> bool:
    """Whether a browser may name ``text`` as the origin of a page: scheme, host, perhaps a port,
    nothing after them."""
    if not isinstance(text, str) or not is_address(text) or "@" in text:
        return False
    parts = urlsplit(text)
    return text.lower() == f"{parts.scheme}://{parts.netloc}".lower()


TEXT = Bound(lambda v: bool(v.strip()), "is a text that is not empty")
PORT = Bound(lambda v: 0 <= v <= 65535, "is [0, 65535]")
MODEL_NAME = Bound(
    lambda v: bool(re.fullmatch(r"[\w.:/-]+", v)), "are letters, digits and any of _ . : / -"
)
STAGE = Bound(lambda v: v in (1, 2), "are 1 and 2")
PER_CENT = Bound(lambda v: 0 <= v <= 100, "is [0, 100]")
POLICY = Bound(_is_policy, f"are texts {policy_text.FORM}")
ORIGINS = Bound(
    lambda v: all(map(is_origin, v)) and len({*v}) == len(v),
    "are origins such as 'https://chat.example.org', once each, without a path",
)
LOCAL = OnlyIf(lambda c: not c.serve.upstream.url, "config.serve.upstream.url is ''")
LOCAL_REVIEWER = OnlyIf(lambda c: not c.serve.reviewer.url, "config.serve.reviewer.url is ''")
AUDITED = OnlyIf(lambda c: bool(c.serve.audit), "config.serve.audit is a file")


def _key(default: object, bound: Bound, meaning: str, only_if: OnlyIf | None = None) -> Key:
    return Key(default, bound, [SERVE], meaning, only_if)


def _endpoint(name: str, agent: str) -> dict[str, Key]:
    chosen = OnlyIf(lambda c: bool(c.serve[name].url), f"config.serve.{name}.url is an address")
    return {
        "url": _key(
            "", ANY, f"of an OpenAI-compatible endpoint that is the {agent} agent, {ADDRESS}"
        ),
        "model": _key("", ANY, "the endpoint's name of it", chosen),
        "key_env": _key("", ANY, "environment variable with the API key; '': none is sent", chosen),
        "timeout_s": _key(60.0, above(0), "the endpoint's longest silence", chosen),
    }


KEYS = {
    "serve": {
        # Where it listens, and who may ask.
        "host": _key("127.0.0.1", TEXT, "address to listen at; 0.0.0.0: all of the machine's"),
        "port": _key(8000, PORT, "to listen at; 0: any that is free"),
        "model_name": _key("waltzrl", MODEL_NAME, "by which clients ask for both agents"),
        "key_env": _key(
            "", ANY, "environment variable with API keys, commas between them; '': anybody may ask"
        ),
        "cors": _key((), ORIGINS, "origins whose pages may ask from a browser; (): none"),
        # The agents.
        "conversation": _key("", ANY, "the conversation agent's directory", LOCAL),
        "feedback": _key("", ANY, "the feedback agent's directory", LOCAL_REVIEWER),
        "base": _key(
            "", ANY,
            "directory or hub name of the model that answers where the conversation agent cannot "
            "be loaded", LOCAL,
        ),
        "upstream": _endpoint("upstream", "conversation"),
        "reviewer": _endpoint("reviewer", "feedback"),
        "temperature": _key(
            1.0, GREEDY_OR_TEMPERATURE,
            "of answers, where a request names none; reviews are greedy",
        ),
        "speculative": _key(
            False, ANY,
            "clients may ask for answers that are streamed at once, and withdrawn where feedback "
            "objects; else all are held until it is satisfied",
        ),
        "warm_up": _key(True, ANY, "compile before the service is ready, not at the first request"),
        # The guard's flags: environment variables WALTZRL_* and flags_file come before these.
        "enable": _key(True, ANY, "the guard as a whole [source]; False: answers pass as they are"),
        "stage": _key(2, STAGE, "1: pattern rules | 2: both agents [source]"),
        "rollout_pct": _key(
            100, PER_CENT,
            "per cent of the users who get stage 2, the others stage 1 (10, 50, 100 [source]); as "
            "it grows, those who are in stay in",
        ),
        "blocking": _key(
            False, ANY,
            "what is flagged is withheld, and what fails is closed, for every category that the "
            "policy does not name [source]",
        ),
        "feedback_only": _key(
            True, ANY, "feedback is reported, answers are not revised [source]"
        ),
        "policy": _key(
            (), POLICY,
            "what is done about each category: 'weapons=block' withholds and fails closed, "
            "'drugs=flag' reports and fails open; 'unsafe' is the feedback agent's own label, "
            "'default' a failure with no category, which is open unless it is named here",
        ),
        "flags_file": _key(
            "", ANY, "JSON file with any of these six, read again when it changes; '': none"
        ),
        "patterns": _key("", ANY, "file of the rules of stage 1; '' is the package's own"),
        "refusal": _key("I can't help with that.", TEXT, "the answer where one is withheld"),
        "unavailable": _key(
            "The assistant is not available right now. Please try again later.", TEXT,
            "the answer where no model of the conversation agent can be loaded",
        ),
        # Limits.
        "max_requests": _key(
            256, at_least(1), "requests under way and waiting; more are turned away (429)"
        ),
        "max_body_bytes": _key(1_048_576, at_least(1), "bytes of a request; more: 413"),
        "max_messages": _key(128, at_least(1), "messages of a request; more: 400"),
        "deadline_s": _key(60.0, above(0), "of a request, from its arrival to its last token"),
        "feedback_timeout_s": _key(
            10.0, above(0), "of one review; a later one counts as a failure of the feedback agent"
        ),
        "breaker_failures": _key(
            5, at_least(1), "of the feedback agent in a row, after which it is not asked"
        ),
        "breaker_s": _key(30.0, above(0), "until it is asked again, by one request at first"),
        "drain_s": _key(30.0, at_least(0), "that requests under way have at a shutdown"),
        # The record of requests.
        "audit": _key("", ANY, "JSON Lines file with a line a request; '': none"),
        "audit_text": _key(False, ANY, "its lines have what was asked and answered, too", AUDITED),
    },
}  # fmt: skip


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    """Yield each broken rule; ``reads`` names who reads the config."""
    if SERVE not in reads:
        return
    s = c.serve
    for name in ("upstream", "reviewer"):
        yield from _broken_endpoint(c, f"serve.{name}")
    yield from broken_variable("config.serve.key_env", s.key_env)
    if s.feedback_timeout_s > s.deadline_s:
        yield (
            f"config.serve.feedback_timeout_s: got {s.feedback_timeout_s:g}, allowed is <= "
            f"config.serve.deadline_s = {s.deadline_s:g}: a review is a part of its request"
        )
    if s.breaker_s < s.feedback_timeout_s:
        yield (
            f"config.serve.breaker_s: got {s.breaker_s:g}, allowed is >= "
            f"config.serve.feedback_timeout_s = {s.feedback_timeout_s:g}: a review that began "
            "before the pause would else end after it"
        )


def _broken_endpoint(c: ConfigDict, path: str) -> Iterator[str]:
    key, endpoint = f"config.{path}", value_at(c, path)
    if endpoint.url:
        secret = [*broken_address(f"{key}.url", endpoint.url, f"{key}.key_env")]
        yield from secret
        if not secret and not is_address(endpoint.url):
            yield f"{key}.url: got {endpoint.url!r}, allowed are '' and {ADDRESS}"
        if not endpoint.model:
            yield f"{key}.model: got '', needed by {key}.url; give the endpoint's name of its model"
    yield from broken_variable(f"{key}.key_env", endpoint.key_env)
