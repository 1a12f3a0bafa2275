"""What an endpoint needs on this machine: an API key in the environment, a package."""

from __future__ import annotations

import os
from typing import Any


def read_key(key_env: str) -> str:
    """The API key in that environment variable, "" if none is named.

    Raises ValueError without ``key_env``, which may be the key itself by mistake.
    """
    key = os.environ.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise ValueError(
            "config.judge.key_env: the environment variable that it names is not set or empty; "
            'export it with the API key, or set the name to "" if the endpoint needs no key'
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"config.judge.key_env: the environment variable {key_env} holds characters that no "
            "HTTP header may have; export it with the API key alone"
        )
    return key


def import_openai() -> Any:
    """The package, or ModuleNotFoundError with what to install."""
    try:
        import openai
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"config.judge.url: an endpoint needs {error.name}, which is not installed: "
            "pip install waltzjax[judge]"
        ) from error
    return openai
