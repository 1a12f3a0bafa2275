"""The script that measures calibration points."""

import json
from runpy import run_path

import pytest
from support import REPO

from waltzjax.plan import calibration
from waltzjax.plan.parts import FEATURES, PHASES


@pytest.fixture(scope="module")
def script():
    return run_path(str(REPO / "scripts/calibrate.py"), run_name="calibrate")


def test_a_token_is_the_difference_of_two_generations(script):
    """Prefill 1 s, and 0.5 s a token: 1.5 s for one, 3 s for four."""
    got = script["seconds_by_phase"]([1.5, 3.0, 7.0, 8.0], new=4)
    assert got == pytest.approx({"prefill": 1.0, "decode": 2.0, "log-probs": 7.0, "update": 8.0})


def test_a_busy_machine_is_not_measured(script, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    assert [script["disturbed"](load) for load in (1.9, 2.5, 2.6)] == [False, False, True]


def test_points_are_measured_and_recorded(script, tmp_path, monkeypatch):
    monkeypatch.setitem(script["record"].__globals__, "multiply", lambda *_: (1e9, 0.0))
    path = tmp_path / "points.json"
    smallest = script["Size"](32, 1, 64, 4, 8, 4, 1)
    point = script["measure"](smallest, repeats=2)
    script["record"](path, point)
    [kept] = json.loads(path.read_text())["points"]
    parts = kept["parts"]
    assert [*parts] == [*PHASES] and {*FEATURES} < {*parts["decode"]}
    assert min(parts[name]["seconds"] for name in ("log-probs", "update")) > 0
    together = sum(part["seconds"] for part in parts.values())
    assert together <= point["step_s"] * 1.001  # a sum of minima
    wide = {**point, "size": {**point["size"], "width": 64}}
    script["record"](path, wide)
    slow = {name: s + (99 if name == "update" else -1e-9) for name, s in point["least_s"].items()}
    script["record"](path, {**point, "step_s": 77.0, "least_s": slow})
    record = json.loads(path.read_text())
    narrow, wide = sorted(record["points"], key=lambda p: p["size"]["width"])
    assert (narrow["step_s"], narrow["repeats"], wide["repeats"]) == (point["step_s"], 4, 2)
    assert narrow["least_s"]["update"] == point["least_s"]["update"]
    assert narrow["least_s"]["log-probs"] == point["least_s"]["log-probs"] - 1e-9
    assert record["device"] == calibration.device_kind() and record["matmul_flop_per_s"] == 1e9
