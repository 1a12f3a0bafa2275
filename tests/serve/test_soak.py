"""A soak of the real service, and its load: seconds here, a minute among the slow tests."""

import json
import re
import subprocess
import sys

import pytest
from support import REPO, slow


def script(name, *arguments):
    command = [sys.executable, str(REPO / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPO)


@pytest.mark.parametrize("minutes", [0.25, slow(1)])
def test_a_soak_finds_nothing(minutes, tmp_path):
    log = tmp_path / "service.log"
    done = script("soak_serve.py", f"--minutes={minutes}", "--clients=12", f"--log={log}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log.read_text()[-2000:]}"
    assert len(re.findall(r" True$", done.stdout, re.MULTILINE)) == 11


@pytest.mark.slow
def test_the_service_alone_is_compared_with_what_it_stands_before(tmp_path):
    output = tmp_path / "proxy.json"
    done = script(
        "bench_serve.py", "--proxy", "--clients=1,4", "--rates=20", "--warm_up=24", "--requests=24",
        "--rounds=2",
        f"--output={output}", f"--plot={tmp_path / 'plot.svg'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = json.loads(output.read_text())["records"]
    assert [r["arm"] for r in records] == ["direct", "off", "patterns"] * 3
    assert all(r["faults"] == {} and r["distinct_prompts"] == 48 == r["n"] for r in records)
    for direct, off, patterns in zip(records[::3], records[1::3], records[2::3], strict=True):
        assert "throughput_ratio" not in direct
        for guarded in (off, patterns):  # no service is quicker than what it waits for
            assert guarded["total_ms"]["p50"] > direct["total_ms"]["p50"]
            assert guarded["outside_added_ms"]["p50"] > 0
        assert off["added_ms"]["p50"] < patterns["total_ms"]["p50"]
