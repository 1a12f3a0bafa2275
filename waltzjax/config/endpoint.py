"""What the address of an endpoint and the variable with its key may be; no error shows a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

ADDRESS = "http://HOST:PORT/v1 or https://..."


def is_address(url: str) -> bool:
    """Whether an endpoint may be at ``url``."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        return False


def broken_address(key: str, url: str, key_env: str) -> Iterator[str]:
    """Yield why ``url``, the value of ``key``, is not one that the run's files may keep;
    ``key_env``: the key that names the variable of the secret."""
    if "@" in url:
        yield (
            f"{key}: holds a user's name or password (not shown), which the run's files would "
            f"keep; leave it out, and name the key's variable in {key_env}"
        )


def broken_variable(key: str, name: str) -> Iterator[str]:
    """Yield why ``name``, the value of ``key``, names no environment variable; '' names none, and
    may."""
    if not re.fullmatch(r"([A-Za-z_]\w*)?", name, re.ASCII):
        yield (
            f"{key}: not the name of an environment variable (not shown, in case it is the key "
            "itself); export the key in a variable, and give that one's name"
        )
