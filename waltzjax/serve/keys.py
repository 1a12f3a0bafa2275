"""API keys, and who may reach a service that has none."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping

from waltzjax.serve.errors import RequestError
from waltzjax.serve.service import LOOPBACK

SHOWN = 8  # hexadecimal digits of a key's hash in the audit


def read_keys(variable: str, environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """SHA-256 digests of the keys in an environment variable, commas between them.

    Args:
      variable: its name; "": there are no keys.

    Raises:
      ValueError: it is not set, or holds no key.
    """
    if not variable:
        return ()
    keys = [key.strip() for key in environ.get(variable, "").split(",")]
    digests = tuple(_digest(os.fsencode(key)) for key in keys if key)
    if not digests:
        raise ValueError(
            f"config.serve.key_env: the environment variable {variable} holds no key; set it to "
            "one or more, commas between them, or config.serve.key_env to ''"
        )
    return digests


def check_host(host: str, keys: tuple[bytes, ...]) -> None:
    """Refuse to serve other machines without keys.

    Raises:
      ValueError: ``host`` is none of LOOPBACK, and there are no keys.
    """
    if host not in LOOPBACK and not keys:
        raise ValueError(
            f"config.serve.host: got {host!r}, which other machines reach, and no API keys; name "
            "the environment variable that holds them in config.serve.key_env, or serve this "
            f"machine alone: {', '.join(LOOPBACK)}"
        )


def key_hash(authorization: str, keys: tuple[bytes, ...]) -> str:
    """The short hash of the key in a header ``Authorization: Bearer KEY``.

    Raises:
      RequestError: 401, it is missing or wrong. The time that this takes tells nothing of how much
        of a key is right: whole digests are compared, and every key is looked at.
    """
    scheme, _, key = authorization.partition(" ")
    digest = _digest(key.strip().encode("latin-1"))  # as its bytes came
    right = [hmac.compare_digest(digest, known) for known in keys]
    if scheme.lower() != "bearer" or not any(right):
        got = "a key that is not valid" if authorization else "no key"
        raise RequestError(
            401, f"got {got}; send the header Authorization: Bearer KEY", None, "invalid_api_key"
        )
    return digest.hex()[:SHOWN]


def check_host_header(host: str) -> None:
    """Refuse a request that names another host: a page of another site, whose name was made to
    lead here, has its browser send one (DNS rebinding).

    Raises:
      RequestError: 403.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.strip("[]").lower() not in LOOPBACK:
        raise RequestError(
            403,
            f"the header Host names none of {', '.join(LOOPBACK)}; with API keys "
            "(config.serve.key_env) any is served",
            None,
            "host_not_allowed",
        )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
