"""Records of steps: what a resumed stage keeps of them, and what a kill leaves."""

import json
import math
import time

import pytest

from waltzjax.metrics.records import read_metrics
from waltzjax.metrics.run_info import RunInfo
from waltzjax.metrics.writer import MetricWriter


def opened(workdir, stage, resume_step=0):
    return MetricWriter(RunInfo(workdir, stage, resume_step, "", workdir), [], print)


def write(workdir, stage, resume_step, steps):
    writer = opened(workdir, stage, resume_step)
    for step in steps:
        writer.write_scalars(step, {"loss": step / 4})
    writer.close()


def steps(workdir):
    return [(r["stage"], r["step"]) for r in read_metrics(workdir / "metrics.jsonl")]


def test_a_step_that_is_run_again_is_recorded_once(tmp_path):
    write(tmp_path, "stage1", 0, [1, 2])
    write(tmp_path, "stage2", 0, [1, 2, 3])
    write(tmp_path, "stage2", 1, [2, 3])  # the checkpoint is of step 1
    assert steps(tmp_path) == [
        ("stage1", 1), ("stage1", 2), ("stage2", 1), ("stage2", 2), ("stage2", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("left", ['{"stage": "rlvr", "st', '{"stage": "rlvr", "step": 3}'])
def test_a_last_line_without_its_end_is_left_out(tmp_path, left):
    write(tmp_path, "rlvr", 0, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(left)
    assert steps(tmp_path) == [("rlvr", 1), ("rlvr", 2)]
    write(tmp_path, "rlvr", 2, [3])
    assert steps(tmp_path) == [("rlvr", 1), ("rlvr", 2), ("rlvr", 3)]


def test_what_was_not_counted_is_left_out(tmp_path):
    writer = opened(tmp_path, "rlvr")
    before = time.time()
    writer.write_scalars(1, {"orr": math.nan, "ratio": math.inf, "asr": 0.0})
    writer.close()
    record = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert before <= record.pop("wall_time") <= time.time()
    assert record == {"stage": "rlvr", "step": 1, "asr": 0.0}


def test_nothing_was_recorded_yet(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
