"""The audit: what a line holds, and that no request waits for it or fails by it."""

import dataclasses
import errno
import hashlib
import json
import os
import stat
import threading
from datetime import datetime

import httpx
import pytest
from fake_guard import HTTP, REPORT, FakeGuard, idle, serving, wait_for

from waltzjax.serve import audit
from waltzjax.serve.audit import Audit
from waltzjax.serve.keys import read_keys
from waltzjax.serve.records import BLOCK, Failure
from waltzjax.serve.service import Settings

HI = {"model": "waltzrl", "messages": [{"role": "user", "content": "bake bread"}], "user": "ann"}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def hashed(text, digits):
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def test_a_line_a_request_without_its_text(tmp_path):
    path = tmp_path / "audit.jsonl"
    failure = Failure("feedback", "it is gone", "closed", "weapons")
    report = dataclasses.replace(REPORT, action=BLOCK, categories=("weapons",), failure=failure)
    keys = read_keys("K", {"K": "secret-key"})
    header = {"Authorization": "Bearer secret-key"}
    with serving(FakeGuard(report=report), Settings(audit=str(path)), keys) as url:
        http = httpx.Client(base_url=url, headers=header)
        chat = http.post("/v1/chat/completions", json=HI)
        http.post("/v1/chat/completions", json={**HI, "stream": True})
        assert idle(url, header)
        http.post("/v1/guard/check", json={"messages": HI["messages"]})
        http.post("/v1/chat/completions", json={**HI, "n": 99})
        HTTP.post(f"{url}/v1/chat/completions", json=HI)
        http.get("/healthz")
        http.get("/metrics")
    first, stream, check, wrong, stranger = lines_of(path)
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(first["time"])).seconds) < 60
    assert first["request_id"] == chat.headers["x-request-id"]
    assert first["key"] == hashed("secret-key", 8)
    assert first["user"] == hashed("ann", 16)
    assert {k: first[k] for k in ("path", "status", "error")} == {
        "path": "/v1/chat/completions", "status": 200, "error": ""
    }  # fmt: skip
    assert (first["stage"], first["action"], first["categories"]) == (2, "block", ["weapons"])
    assert first["labels"] == {"unsafe": False, "overrefuse": False}
    assert first["failure"] == dataclasses.asdict(failure)
    assert first["timings_ms"] == REPORT.timings_ms
    assert (first["prompt_tokens"], first["completion_tokens"]) == (7, 3)
    for name in ("time", "request_id", "took_ms"):
        first.pop(name), stream.pop(name)
    assert first == stream
    assert (check["path"], check["user"], check["action"]) == ("/v1/guard/check", "", "block")
    assert (wrong["status"], wrong["error"]) == (400, "invalid_value")
    assert (stranger["status"], stranger["error"], stranger["key"]) == (401, "invalid_api_key", "")
    text = path.read_text()
    assert not any(secret in text for secret in ("bake", "bread", "ann", "secret-key"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_text_where_it_is_asked_for(tmp_path):
    path = tmp_path / "audit.jsonl"
    with serving(FakeGuard(), Settings(audit=str(path), audit_text=True)) as url:
        HTTP.post(f"{url}/v1/chat/completions", json=HI)
    [line] = lines_of(path)
    assert line["messages"] == HI["messages"]
    assert line["answers"] == ["You said: bake bread"]


def test_a_file_that_was_there_keeps_its_lines_and_its_mode(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text('{"before": 1}\n')
    path.chmod(0o640)
    written = Audit(path)
    written.add({"after": 2})
    written.close()
    assert lines_of(path) == [{"before": 1}, {"after": 2}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_of_another_owner_may_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(audit.os, "fchmod", refuse)
    monkeypatch.setattr(audit.os, "chmod", refuse)
    path = tmp_path / "audit.jsonl"
    path.touch()
    written = Audit(path)
    written.add({"after": 2})
    written.close()
    assert lines_of(path) == [{"after": 2}]


def test_a_file_that_was_moved_is_begun_anew(tmp_path):
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.1"
    written = Audit(path)
    written.add({"n": 1})
    assert wait_for(lambda: path.stat().st_size)
    path.rename(old)
    written.add({"n": 2})
    assert wait_for(lambda: path.exists() and path.stat().st_size)
    path.unlink()
    written.add({"n": 3})
    written.close()
    assert (lines_of(old), lines_of(path)) == ([{"n": 1}], [{"n": 3}])


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path):
    with pytest.raises(OSError, match=r"config\.serve\.audit: .*nowhere"):
        Audit(tmp_path / "nowhere" / "audit.jsonl")


def test_a_full_disk_costs_lines_and_no_request(tmp_path, monkeypatch, capfd):
    full, path, write = threading.Event(), tmp_path / "audit.jsonl", os.write

    def maybe(file, line):
        if full.is_set() and line.startswith(b'{"time"'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, line)

    monkeypatch.setattr(audit.os, "write", maybe)
    with serving(FakeGuard(), Settings(audit=str(path))) as url:
        full.set()
        for _ in range(3):
            assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200

        def lost():
            return "waltzjax_audit_lost_total 3.0" in HTTP.get(f"{url}/metrics").text

        assert wait_for(lost)
        full.clear()
        HTTP.post(f"{url}/v1/chat/completions", json=HI)
    assert len(lines_of(path)) == 1
    told = capfd.readouterr().err
    assert told.count("No space left on device") == told.count("\n") == 1


def counted(url, status):
    name = 'waltzjax_requests_total{path="/v1/chat/completions",status="%s"} 1.0'
    return name % status in HTTP.get(f"{url}/metrics").text


@pytest.mark.parametrize("tokens", [-5, 10**400], ids=["negative", "huge"])
def test_figures_that_an_upstream_makes_up_cost_no_record(tmp_path, monkeypatch, capfd, tokens):
    path, guard = tmp_path / "audit.jsonl", FakeGuard()
    answer = dataclasses.replace(guard._answer(HI["messages"], None), prompt_tokens=tokens)
    monkeypatch.setattr(guard, "_answer", lambda *_: answer)
    with serving(guard, Settings(audit=str(path))) as url:
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
        assert counted(url, 200)
        assert HTTP.post(f"{url}/v1/chat/completions", json={**HI, "n": 9}).status_code == 400
        figures = HTTP.get(f"{url}/metrics").text
    assert [line["status"] for line in lines_of(path)] == [200, 400][tokens > 0 :]
    assert f"waltzjax_audit_lost_total {float(tokens > 0)}" in figures
    assert 'waltzjax_choices_total{stage="2"} 1.0' in figures
    told = capfd.readouterr().err
    assert told.count("OverflowError") == (tokens > 0)


@pytest.mark.parametrize("broken", ["meters", "audit"])
def test_what_fails_at_the_end_of_a_request_is_told_and_costs_nothing_else(
    tmp_path, monkeypatch, capfd, broken
):
    def fail(*_):
        raise KeyError

    path = tmp_path / "audit.jsonl"
    if broken == "meters":
        monkeypatch.setattr("waltzjax.serve.app.Meters.add", fail)
    else:
        monkeypatch.setattr("waltzjax.serve.app.record_of", fail)
    with serving(FakeGuard(), Settings(audit=str(path))) as url:
        assert HTTP.post(f"{url}/v1/chat/completions", json=HI).status_code == 200
        assert counted(url, 200) is (broken == "audit")
        assert "waltzjax_in_flight 0.0" in HTTP.get(f"{url}/metrics").text
    assert len(lines_of(path)) == (broken == "meters")
    assert "serve: KeyError at" in capfd.readouterr().err


def test_a_disk_that_hangs_stalls_no_request(tmp_path, monkeypatch, capfd):
    over, path, write = threading.Event(), tmp_path / "audit.jsonl", os.write
    monkeypatch.setattr(audit, "WAITING", 3)
    monkeypatch.setattr(audit.os, "write", lambda *given: over.wait(20) and write(*given))
    with serving(FakeGuard(), Settings(audit=str(path))) as url:
        for _ in range(10):
            assert HTTP.post(f"{url}/v1/chat/completions", json=HI, timeout=2).status_code == 200
        lost = HTTP.get(f"{url}/metrics").text
        over.set()
    assert "waltzjax_audit_lost_total 6.0" in lost
    assert len(lines_of(path)) == 4
    assert "faster than they can be written" in capfd.readouterr().err
