"""The section ``serve``: what cannot be is refused by its key, and no error shows a secret."""

from runpy import run_path

import pytest
from support import REPO

from waltzjax.config.key import SERVE_READS
from waltzjax.config.policy_text import is_category, parse_policy
from waltzjax.config.serve import is_origin
from waltzjax.recipes import readers, validate

URL = "https://models.example.org/v1"


def problems(changes, arg="tiny"):
    c = run_path(str(REPO / "configs/serve.py"))["get_config"](arg)
    c.update_from_flattened_dict({f"serve.{key}": value for key, value in changes.items()})
    try:
        validate(c, reads=SERVE_READS)
    except ValueError as error:
        return str(error).split("\n  ")[1:]
    return []


@pytest.mark.parametrize(
    "changes",
    [
        {"upstream.url": URL, "upstream.model": "m", "upstream.key_env": "KEY_2"},
        {"reviewer.url": "http://127.0.0.1:9/v1", "reviewer.model": "m", "conversation": "c"},
        {"upstream.url": URL, "upstream.model": "m", "feedback": "runs/demo/feedback"},
        {"stage": 1, "rollout_pct": 0, "blocking": True, "feedback_only": False, "enable": False},
        {"policy": ("weapons=block", " self-harm = flag ", "default=block", "unsafe=block")},
        {"cors": ("https://chat.example.org", "http://localhost:3000", "http://[::1]:80")},
        {"audit": "audit.jsonl", "audit_text": True, "key_env": "SERVICE_KEYS"},
        {
            "feedback_timeout_s": 60.0,
            "breaker_s": 60.0,
            "port": 0,
            "drain_s": 0.0,
            "temperature": 0.0,
        },
    ],
)
def test_what_makes_sense_passes(changes):
    assert problems(changes) == []


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"upstream.url": URL}, "upstream.model", "got '', needed by config.serve.upstream.url"),
        ({"reviewer.url": URL}, "reviewer.model", "got '', needed by config.serve.reviewer.url"),
        ({"upstream.url": "host/v1", "upstream.model": "m"}, "upstream.url", "http://HOST:PORT/v1"),
        ({"upstream.model": "m"}, "upstream.model", "read only where config.serve.upstream.url"),
        ({"reviewer.timeout_s": 3.0}, "reviewer.timeout_s", "only where config.serve.reviewer.url"),
        ({"upstream.url": URL, "upstream.model": "m", "conversation": "c"}, "conversation",
         "read only where config.serve.upstream.url is ''"),
        ({"upstream.url": URL, "upstream.model": "m", "base": "b"}, "base", "read only where"),
        ({"reviewer.url": URL, "reviewer.model": "m", "feedback": "f"}, "feedback",
         "read only where config.serve.reviewer.url is ''"),
        ({"stage": 0}, "stage", "got 0, allowed are 1 and 2"),
        ({"stage": 3}, "stage", "got 3, allowed are 1 and 2"),
        ({"rollout_pct": 101}, "rollout_pct", "[0, 100]"),
        ({"rollout_pct": -1}, "rollout_pct", "[0, 100]"),
        ({"policy": ("weapons",)}, "policy", "'CATEGORY=block' or 'CATEGORY=flag'"),
        ({"policy": ("weapons=deny",)}, "policy", "'CATEGORY=block' or 'CATEGORY=flag'"),
        ({"policy": ("weapons=block", "weapons=flag")}, "policy", "each category once"),
        ({"policy": (3,)}, "policy", "'CATEGORY=block'"),
        ({"cors": ("*",)}, "cors", "without a path"),
        ({"cors": ("https://chat.example.org/",)}, "cors", "without a path"),
        ({"cors": ("https://a.org", "https://a.org")}, "cors", "once each"),
        ({"audit_text": True}, "audit_text", "read only where config.serve.audit is a file"),
        ({"feedback_timeout_s": 60.5}, "feedback_timeout_s", "<= config.serve.deadline_s = 60"),
        ({"breaker_s": 9.5}, "breaker_s", ">= config.serve.feedback_timeout_s = 10"),
        ({"refusal": "  "}, "refusal", "a text that is not empty"),
        ({"host": ""}, "host", "a text that is not empty"),
        ({"model_name": "my model"}, "model_name", "letters, digits"),
        ({"port": 65536}, "port", "[0, 65535]"),
        ({"deadline_s": 0.0, "feedback_timeout_s": -1.0}, "deadline_s", "> 0"),
        ({"temperature": 1e-5}, "temperature", "is 0 or >= 0.001"),
        ({"max_requests": 0}, "max_requests", ">= 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(changes, key, why):
    line = problems(changes)[0]
    assert line.startswith(f"config.serve.{key}: got ") and why in line


@pytest.mark.parametrize("end", ["upstream", "reviewer"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("key_env", "sk-s3cret"),
        ("key_env", "two s3cret"),
        ("url", "https://user:s3cret@host/v1"),
        ("url", "user:s3cret@host"),
    ],
)
def test_a_secret_is_refused_and_not_shown(end, key, value):
    usual = {f"{end}.url": URL, f"{end}.model": "m"}
    [line] = problems({**usual, f"{end}.{key}": value})
    assert line.startswith(f"config.serve.{end}.{key}: ") and "not shown" in line
    assert "s3cret" not in line


def test_the_variable_of_the_service_s_own_keys_is_no_key():
    [line] = problems({"key_env": "sk-s3cret"})
    assert line.startswith("config.serve.key_env: not the name of an environment") and (
        "s3cret" not in line
    )


@pytest.mark.parametrize("key", ["upstream.url", "upstream.key_env", "reviewer.key_env", "key_env"])
def test_a_secret_of_nobody_s_is_not_shown_either(key):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("tiny")
    c.update_from_flattened_dict({f"serve.{key}": "https://user:s3cret@host/v1"})
    with pytest.raises(
        ValueError, match=rf"serve\.{key}: got a value \(not shown\), but nothing th"
    ):
        validate(c, reads=readers(c))
    lines = problems({key: "https://user:s3cret@host/v1"})
    assert lines and not [line for line in lines if "s3cret" in line]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("https://a.org", True), ("http://a.org:8080", True), ("HTTPS://A.org", True),
        ("a.org", False), ("https://a.org/x", False), ("https://a.org?x", False),
        ("https://a.org#x", False), ("https://u@a.org", False), ("null", False), ("*", False),
        ("https://", False), ("https://a.org:x", False), ("file:///x", False), (3, False),
    ],
)  # fmt: skip
def test_origins(text, holds):
    assert is_origin(text) == holds


def test_a_policy_is_read_in_order():
    policy = parse_policy(["b=flag", "a.x/y-z_1=block"])
    assert [*policy.items()] == [("b", "flag"), ("a.x/y-z_1", "block")] and parse_policy([]) == {}


@pytest.mark.parametrize(
    "text", ["", "=block", "a=", "a==block", "a=Block", "a b=flag", "-a=flag", "a=flag,b=flag"]
)
def test_what_is_no_policy_says_what_one_is(text):
    with pytest.raises(ValueError, match="allowed is 'CATEGORY=block' or 'CATEGORY=flag'"):
        parse_policy([text])
    assert is_category("a.x/y") and not is_category(text)
