"""Section ``judge``: who says of each answer whether it is unsafe or over-refuses."""

from __future__ import annotations

from collections.abc import Iterator

from ml_collections import ConfigDict

from waltzjax.config.endpoint import ADDRESS, broken_address, broken_variable, is_address
from waltzjax.config.key import ANY, FRACTION, WALTZ, Key, above, at_least, one_of

ENDPOINT = ("key_env", "timeout_s", "retry_s", "concurrency", "cache")
USED = {  # by each judge, besides those of its endpoint
    "label": (),
    "wildguard": ("model", "url"),
    "openai": ("model", "url", "prompt", "max_tokens"),
}
# How a judge is reached and waited for. A verdict means the same whatever they are, and messages
# ask to change them: a run that goes on may have others than it began with.
MAY_CHANGE = [f"config.judge.{key}" for key in ("url", *ENDPOINT, "max_tokens", "max_unparsed")]

JUDGE = {
    "name": Key(
        "label", one_of(*USED), [WALTZ],
        "label: the prompt's label and a refusal classifier, rules with a floor of some 3 % ASR: "
        "for small runs; at full size take one of the others | wildguard (arXiv 2406.18495) | "
        "openai: any chat model behind an OpenAI-compatible endpoint",
    ),
    "model": Key(
        "", ANY, [WALTZ], "the endpoint's name of it; with no url WildGuard's directory or hub name"
    ),
    "url": Key("", ANY, [WALTZ], "of the endpoint, http://HOST:PORT/v1"),
    "key_env": Key(
        "", ANY, [WALTZ], "environment variable with the API key; '': none is sent"
    ),
    "prompt": Key(
        "", ANY, [WALTZ], "openai: file with system prompt and message; '' is prompts/judge.txt"
    ),
    "max_tokens": Key(
        256, at_least(1), [WALTZ], "openai: of a reply; WildGuard's are 32 at most"
    ),
    "concurrency": Key(16, at_least(1), [WALTZ], "requests under way at a time"),
    "timeout_s": Key(
        120.0, above(0), [WALTZ], "the endpoint's longest silence during a request"
    ),
    "retry_s": Key(
        3600.0, at_least(0), [WALTZ], "how long a run pauses for an endpoint that cannot be reached"
    ),
    "cache": Key(
        "", ANY, [WALTZ], "SQLite file of replies; '' is verdicts.sqlite in the run's directory"
    ),
    "max_unparsed": Key(
        0.2, FRACTION, [WALTZ],
        "share of a step's answers without a usable verdict; more stops it",
    ),
}  # fmt: skip

KEYS = {"judge": JUDGE}


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    del reads  # these rules hold for everybody
    judge = c.judge
    if judge.name not in USED:
        return
    name, url = judge["name"], judge["url"]
    needed = f"needed by config.judge.name = {name!r}"
    remote = name == "openai" or (name == "wildguard" and bool(url))
    if name != "label" and not judge["model"]:
        yield f"config.judge.model: got '', {needed}"
    secret = [*broken_address("config.judge.url", url, "config.judge.key_env")]
    yield from secret
    if remote and not secret and not is_address(url):
        yield f"config.judge.url: got {url!r}, {needed} is {ADDRESS}"
    yield from broken_variable("config.judge.key_env", judge["key_env"])
    if c.rollout.variant == "oracle" and name == "wildguard" and not remote:
        yield (
            "config.rollout.variant: got 'oracle', which asks the judge between an agent's turns, "
            "when WildGuard on the same devices cannot run; serve it at a config.judge.url"
        )
    used = {"name", "max_unparsed", *USED[name], *(ENDPOINT if remote else ())}
    for key, knob in JUDGE.items():
        if key not in used and judge[key] != knob.default:
            where = " with no url" if name == "wildguard" and not remote else ""
            yield f"config.judge.{key}: not used by config.judge.name = {name!r}{where}; drop it"
