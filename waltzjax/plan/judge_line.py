"""The judge's endpoint, as the doctor looks at it: one request for its list of models."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from ml_collections import ConfigDict

from waltzjax.config.endpoint import is_address
from waltzjax.judge.endpoint import read_key
from waltzjax.plan.doctor_line import FAIL, OK, WARN, Line

JUDGE_LIMIT_S = 10.0


def judge_line(config: ConfigDict, limit_s: float = JUDGE_LIMIT_S) -> Line:
    """Whether the judge's endpoint answers, and serves its model. An address that holds a user's
    name or password is not asked, and not shown."""
    j = config.judge
    if not j.url and j.name != "openai":
        return Line("judge", OK, f"{j.name}, no endpoint")
    if "@" in j.url:
        return Line(
            "judge",
            FAIL,
            "config.judge.url holds a user's name or password (not shown)",
            "put the key into a variable that config.judge.key_env names",
        )
    if not is_address(j.url):
        return Line(
            "judge",
            FAIL,
            f"config.judge.url: {j.url!r} is no address",
            "it is http://HOST:PORT/v1 or https://...",
        )
    address = f"{j.url.rstrip('/')}/models"
    try:
        key = read_key(j.key_env)
    except ValueError as error:
        return Line("judge", FAIL, str(error), "export the variable, then ask again")
    headers = {"Authorization": f"Bearer {key or 'none'}"}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=limit_s) as response:
            body = response.read(2**22)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Line(
                "judge",
                FAIL,
                f"{address}: HTTP {error.code}, the key is refused",
                "name the variable that holds a key in config.judge.key_env, or correct the key",
            )
        return Line(
            "judge",
            WARN,
            f"{address}: HTTP {error.code}; the server is there",
            "some servers list no models; else correct config.judge.url, which ends in /v1",
        )
    # URLError, timeouts; an odd port; an answer that is no HTTP
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        return Line(
            "judge",
            FAIL,
            f"{address}: {reason}",
            "start the judge's server, or correct config.judge.url",
        )
    return _served(address, j.model, body)


def _served(address: str, model: str, body: bytes) -> Line:
    try:
        served = [entry["id"] for entry in json.loads(body)["data"]]
    except (ValueError, LookupError, TypeError):
        return Line(
            "judge",
            WARN,
            f"{address}: answers, but with no list of models",
            "see that config.judge.url is an OpenAI-compatible endpoint and ends in /v1",
        )
    if model in served:
        return Line("judge", OK, f"{address}: serves {model}")
    shown = ", ".join(map(str, served[:5])) or "none"
    return Line(
        "judge",
        WARN,
        f"{address}: {model} is not among its models ({shown})",
        "correct config.judge.model, or serve that one",
    )
