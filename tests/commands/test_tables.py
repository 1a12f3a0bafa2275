"""Measured figures: recorded of runs, written into tables, and the same in both."""

import ast
import json
import re
import runpy
from pathlib import Path

import pytest
from support import REPO

TABLES = runpy.run_path(str(REPO / "scripts/write_tables.py"))
RECORD = runpy.run_path(str(REPO / "scripts/record_results.py"))
CONFIGS = sorted((REPO / "configs").glob("*.py"))
MAX_DELTAS = 15


@pytest.mark.parametrize("path", TABLES["files"](), ids=lambda p: str(p.relative_to(REPO)))
def test_every_table_is_as_the_results_are(path):
    assert TABLES["rewritten"](path) == path.read_text(), "python scripts/write_tables.py"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_is_a_docstring_with_its_results_and_few_deltas(path):
    tree = ast.parse(path.read_text())
    _, _, block = ast.get_docstring(tree).rpartition("Results:")
    header, *rows = block.strip().splitlines()
    assert header == "size | commit | hardware | time | seeds | metric (interval)"
    assert rows and all(len(row.split(" | ")) == 6 for row in rows)
    for row in rows:
        _, commit, _, time, _, metric = row.strip().split(" | ")
        measured = metric != "not measured"
        assert bool(re.fullmatch(r"[0-9a-f]{7}", commit)) == measured == (time != "-")
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    statements = [n for n in ast.walk(function) if isinstance(n, ast.stmt)]
    lines = {line for n in statements[1:] for line in range(n.lineno, n.end_lineno + 1)}
    assert len(lines) <= MAX_DELTAS + 2  # ``c = ...`` and ``return c`` are none
    assert "runpy" not in path.read_text()


def game(asr: float, **more) -> dict:
    keys = {key: asr for key, *_ in TABLES["GAME"] if "." not in key}
    return {**keys, "initial": {"asr": 2 * asr, "orr": 3 * asr}, **more}


def test_a_table_of_the_game_by_hand():
    runs = [
        {"results": game(last, base=game(first), stage1=game(4.0))}
        for last, first in ((1.0, 30.0), (2.0, 36.0), (6.0, 39.0))
    ]
    lines = TABLES["game_table"]({"runs": runs}).splitlines()
    assert lines[2] == (
        "| ASR, % | 35.00 (30.00–39.00) | 4.00 (4.00–4.00) | 3.00 (1.00–6.00) | 30–50 | ≤ 4.6 |"
    )
    assert lines[-1].startswith("| ORR of first answers, % | 105.00 (90.00–117.00) | 12.00")


def maths(accuracy: float) -> dict:
    return {"accuracy": accuracy, "intervals": {"accuracy": [accuracy - 4, accuracy + 4]},
            "format_rate": 99.0, "reflect": 0.98, "tokens": 30.6, "unparsed": 3.0}  # fmt: skip


def test_a_table_of_maths_by_hand():
    results = {**maths(80.5), "base": maths(38.5), "rlvr_20": maths(78.8), "rlvr_10": maths(73.5)}
    header, _, row = TABLES["maths_table"]({"runs": [{"seed": 1, "results": results}]}).splitlines()
    assert header.startswith("| run | base | 10 | 20 | trained (95 % interval) | gain |")
    assert row == (
        "| multi-signal, seed 1 | 38.5 | 73.5 | 78.8 | **80.5** (76.5–84.5) | +42.0 | 99.0 | 0.98 "
        "| 31 |"
    )


def test_what_a_run_came_to_is_recorded(tmp_path):
    for seed in (1, 0):
        run = tmp_path / f"run{seed}"
        run.mkdir()
        stages = {"rlvr": {"steps": 4, "training_s": 12.345, "last": {}}}
        files = {
            "config.json": {"seed": seed}, "final_validation_results.json": {"accuracy": 50 + seed},
            "training_metrics.json": {"seed": seed, "this_launch_s": 61.23, "stages": stages},
        }  # fmt: skip
        for name, value in files.items():
            (run / name).write_text(json.dumps(value))
    found = RECORD["record"]([tmp_path / "run1", tmp_path / "run0"], "make x", "2 cores", "1234567")
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    assert found["runs"][1] == {
        "seed": 1, "last_launch_s": 61.2, "training_s": {"rlvr": 12.3}, "results": {"accuracy": 51}
    }  # fmt: skip
    assert (found["commit"], found["command"]) == ("1234567", "make x") and found["versions"]["jax"]
    with pytest.raises(ValueError, match=r"--runs: got seeds \[1, 1\]"):
        RECORD["record"]([tmp_path / "run1"] * 2, "", "", "")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        RECORD["run_record"](Path(tmp_path / "none"))


def test_the_table_of_the_first_page_is_what_the_demo_came_to():
    [run] = json.loads((REPO / "configs/results/demo.json").read_text())["runs"]
    results, shown = run["results"], (REPO / "README.md").read_text()
    names = {
        "asr": "Attack success rate (ASR), %", "orr": "Over-refusal rate (ORR), %",
        "f1": "F1 of 100−ASR and 100−ORR, %", "label_accuracy": "Feedback label accuracy, %",
        "ftr": "Feedback trigger rate (FTR), %", "dir": "Dynamic improvement (DIR)",
    }  # fmt: skip
    for key, name in names.items():
        [row] = [line for line in shown.splitlines() if line.startswith(name)]
        columns = (results["base"], results["stage1"], results)
        assert row.removeprefix(name).split() == [f"{column[key]:.2f}" for column in columns]
