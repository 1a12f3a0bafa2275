"""What a launch leaves of where it ran, and what is read of it."""

import json
import sys

import pytest

from waltzjax.evaluation.record import read_record
from waltzjax.run import environment as e


def test_what_is_written_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/home/me/bin/python3", "-m", "waltzjax.train", "a b"])
    monkeypatch.setenv("XLA_FLAGS", "--one")
    assert e.read_environment(tmp_path) == {}
    e.write_environment(tmp_path, "abc", "8 x H100 (gpu)", {"data": 2, "fsdp": 4})
    found = e.read_environment(tmp_path)
    assert found["command"] == "python -m waltzjax.train 'a b'" and found["XLA_FLAGS"] == "--one"
    assert (
        found["commit"] == "abc"
        and found["devices"] == "8 x H100 (gpu)"
        and found["mesh"] == "data 2, fsdp 4"
    )
    assert {"jax", "flax", "Python", "launched"} <= found.keys() and "" not in found.values()


@pytest.mark.parametrize("text", ["", "[1]", "{half"])
def test_a_damaged_file_is_no_environment(tmp_path, text):
    (tmp_path / e.FILE).write_text(text)
    assert e.read_environment(tmp_path) == {}


def test_the_record_of_a_run_takes_whole_events_and_alerts(tmp_path):
    good = {"kind": "launch", "stage": "s", "step": 0}
    lines = [json.dumps(good), "half {", json.dumps({"kind": "stop"}), "7", '{"kind": "stop", "sta']
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    record = read_record(tmp_path, "Run", "")
    assert record.events == [good] and record.alerts == [] and record.metrics == []
    alert = {"metric": "kl", "stage": "s", "step": 3, "value": 1.0}
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "alerts.jsonl").write_text(json.dumps(alert) + "\n")
    assert read_record(tmp_path, "Run", "").alerts == [alert]
