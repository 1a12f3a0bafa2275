"""The command's settings, and what it says where it cannot begin."""

import signal
import sys
import threading
import time
from runpy import run_path

import pytest
from fake_guard import FakeGuard, Flags, Status
from support import REPO

from waltzjax.serve import __main__ as command
from waltzjax.serve.server import SIGNALS
from waltzjax.serve.service import Settings


@pytest.fixture
def config():
    return run_path(str(REPO / "configs/serve.py"))["get_config"]("tiny")


def test_settings_are_the_config_s(config):
    serve = {
        "model_name": "ours", "host": "::1", "max_requests": 3, "max_body_bytes": 4,
        "max_messages": 5, "temperature": 0.25, "speculative": True, "cors": ("http://a.b",),
        "audit": "a.jsonl", "audit_text": True,
    }  # fmt: skip
    config.serve.update(serve)
    config.rollout.max_new_tokens, config.rollout.top_p = 6, 0.5
    assert command.settings_of(config) == Settings(**serve, max_new_tokens=6, top_p=0.5)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("key_env", "NO_SUCH_KEYS", r"config\.serve\.key_env: .*NO_SUCH_KEYS holds no key"),
        ("host", "0.0.0.0", r"config\.serve\.host: got '0\.0\.0\.0'"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(config, monkeypatch, key, value, message):
    monkeypatch.setattr("waltzjax.serve.guard.Guard", lambda config: pytest.fail("loaded"))
    config.serve[key] = value
    with pytest.raises(ValueError, match=message):
        command.serve(config)


def test_an_audit_that_cannot_be_written_is_said_before_a_model_is_loaded(
    config, monkeypatch, tmp_path
):
    monkeypatch.setattr("waltzjax.serve.guard.Guard", lambda config: pytest.fail("loaded"))
    config.serve.audit, config.serve.port = str(tmp_path / "nowhere" / "a"), 0
    with pytest.raises(OSError, match=r"config\.serve\.audit"):
        command.serve(config)


def fail():
    raise ValueError("this cannot be")


def test_a_guard_that_cannot_be_built_ends_the_service(config, monkeypatch):
    config.serve.port = 0
    monkeypatch.setattr("waltzjax.serve.guard.Guard", lambda config: fail())
    handlers = [signal.getsignal(signum) for signum in SIGNALS]
    began = time.monotonic()
    with pytest.raises(ValueError, match="this cannot be"):
        command.serve(config)
    assert time.monotonic() - began < 5
    assert [signal.getsignal(signum) for signum in SIGNALS] == handlers
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("http")]


def test_a_guard_is_closed_where_the_service_cannot_go_on(config, monkeypatch):
    config.serve.port, closed, guard = 0, [], FakeGuard()
    monkeypatch.setattr(guard, "close", lambda: closed.append(True))
    monkeypatch.setattr("waltzjax.serve.guard.Guard", lambda config: guard)
    monkeypatch.setattr("waltzjax.serve.server.Server.main_loop", lambda _: fail())
    with pytest.raises(ValueError, match="this cannot be"):
        command.serve(config)
    assert closed == [True]


def test_without_the_extra(config, monkeypatch):
    monkeypatch.setattr(command, "chosen_config", lambda: config)
    monkeypatch.delitem(sys.modules, "waltzjax.serve.app", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ImportError, match=r"fastapi: pip install 'waltzjax\[serve\]'"):
        command.main()


def test_a_start_says_what_is_degraded_and_needs_a_key(capsys):
    guard = FakeGuard(
        now=Status(stage=1, degraded="there is no feedback agent", models=()),
        flags=Flags(policy={"drugs": "flag", "weapons": "block"}),
    )
    command.tell_start("http://127.0.0.1:1", guard, Settings(audit="a.jsonl"), keys=2)
    told = capsys.readouterr().out
    for part in (
        "agents  none", "stage   1, because there is no feedback agent", "2 API keys",
        "policy drugs=flag, weapons=block", '-H "Authorization: Bearer KEY"', "a.jsonl",
    ):  # fmt: skip
        assert part in told
