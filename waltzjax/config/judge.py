"""The rules of ``config.judge``: which keys each judge uses, what they may be, which may change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

ENDPOINT = ("key_env", "timeout_s", "patience_s", "concurrency", "cache")
USED = {  # by each judge, besides those of its endpoint
    "label": (),
    "wildguard": ("model", "url"),
    "openai": ("model", "url", "prompt", "max_tokens"),
}
# How a judge is reached and waited for. A verdict means the same whatever they are, and messages
# ask to change them: a run that goes on may have others than it began with.
MAY_CHANGE = [f"config.judge.{key}" for key in ("url", *ENDPOINT, "max_tokens", "max_unparsed")]


def broken_judge_rules(
    judge: Mapping[str, Any], usual: Mapping[str, Any], variant: str
) -> Iterator[str]:
    """What is wrong with ``judge``, whose keys are ``usual`` where nobody has set them."""
    name, url = judge["name"], judge["url"]
    needed = f"needed by config.judge.name = {name!r}"
    remote = name == "openai" or (name == "wildguard" and bool(url))
    if name != "label" and not judge["model"]:
        yield f"config.judge.model: got '', {needed}"
    if "@" in url:
        yield (
            "config.judge.url: holds a user's name or password (not shown), which the run's files "
            "would keep; leave it out, and name the key's variable in config.judge.key_env"
        )
    elif remote and not _is_address(url):
        yield f"config.judge.url: got {url!r}, {needed} is http://HOST:PORT/v1 or https://..."
    if not re.fullmatch(r"([A-Za-z_]\w*)?", judge["key_env"], re.ASCII):
        yield (
            "config.judge.key_env: not the name of an environment variable (not shown, in case it "
            "is the key itself); export the key in a variable, and give that one's name"
        )
    if variant == "oracle" and name == "wildguard" and not remote:
        yield (
            "config.rollout.variant: got 'oracle', which asks the judge between an agent's turns, "
            "when WildGuard on the same devices cannot run; serve it at a config.judge.url"
        )
    used = {"name", "max_unparsed", *USED[name], *(ENDPOINT if remote else ())}
    for key in usual:
        if key not in used and judge[key] != usual[key]:
            where = " with no url" if name == "wildguard" and not remote else ""
            yield f"config.judge.{key}: not used by config.judge.name = {name!r}{where}; drop it"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        return False
