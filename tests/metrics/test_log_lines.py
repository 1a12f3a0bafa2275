"""Lines that trainers print, and what is read of each."""

import math
from datetime import datetime

import pytest

from waltzjax.metrics.log_lines import LogLines

NOON = datetime(2026, 11, 30, 12, 0, 5).timestamp()


LINES = [
    ("step=120 loss=0.53 kl=0.02", {"step": 120, "loss": 0.53, "kl": 0.02}),
    ("Step 7/90 | loss: 0.5 | ASR: 12.5% | DIR: -.4",
     {"step": 7, "loss": 0.5, "asr": 12.5, "dir": -0.4}),
    ("[train] Iteration 3 of 10, Loss = 1e-3, lr: 5e-7", {"step": 3, "loss": 0.001, "lr": 5e-7}),
    ('{"step": 5, "stage": "rl", "loss": 2, "note": "x"}', {"stage": "rl", "step": 5, "loss": 2}),
    ('{"global_step": 5, "train/loss": 2.5, "asr": 0.12}', {"step": 5, "loss": 2.5, "asr": 12.0}),
    ("{'loss': 0.51, 'grad_norm': '1.2', 'epoch': 0.1}",
     {"step": 1, "loss": 0.51, "grad_norm": 1.2, "epoch": 0.1}),
    ("2026-11-30 12:00:05,123 INFO run: global_step: 9, train_loss: 2.",
     {"step": 9, "loss": 2.0, "wall_time": NOON}),
    (" 12%|x | 12/99 [00:01<00:10]\r 13%|x | 13/99 [00:02<00:10, 2it/s]{'loss': 0.4}",
     {"step": 13, "loss": 0.4}),
    ("update 4: approx_kl: 0.31 gpu_util: 93 %",
     {"step": 4, "kl": 0.31, "device/utilization": 0.93}),
    ("step 8 orr: 0.2", {"step": 8, "orr": 20.0}),
    ("Epoch 3 done in 12:30:45", None),
    ("loading weights", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "record"), LINES)
def test_a_line(line, record):
    assert LogLines().parse(line.encode()) == (record and {"stage": "", **record})


def test_figures_of_a_log_go_by_the_last_step_and_a_bar_by_its_count():
    lines = LogLines()
    bar = " 40%|####      | 400/1000 [01:00<01:30, 6it/s]"
    assert lines.parse(bar.encode()) is None and lines.total == 1000
    assert lines.parse(b"{'loss': 0.5}")["step"] == 400
    lines.parse(b"step 410: loss: 0.4")
    lines.parse(b"  5%|#         | 5/100 [00:01<00:10]")  # an evaluation's
    assert lines.parse(b"eval kl: 0.1")["step"] == 410


def test_lines_without_a_step_are_numbered():
    lines = LogLines()
    assert [lines.parse(b"loss: 1.0")["step"] for _ in range(3)] == [1, 2, 3]


def test_rates_are_shares_until_one_is_above_one():
    lines = LogLines()
    given = [0.4, 0.02, 38.0, 0.8]
    asr = [lines.parse(f"step 1 asr: {x}".encode())["asr"] for x in given]
    assert asr == pytest.approx([40.0, 2.0, 38.0, 0.8])


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("0000-00-00 00:00:00 step 7 loss: 0.5", 7),
        ("2026-11-31 12:00:00 step 7 loss: 0.5", 7),
        ('{"step": NaN, "loss": 0.5}', 1),
        ('{"step": 1e999, "loss": 0.5}', 1),
    ],
)
def test_a_date_or_step_that_is_none_is_passed_over(line, step):
    assert LogLines().parse(line.encode()) == {"stage": "", "step": step, "loss": 0.5}


def test_what_is_not_finite_stays():
    assert math.isnan(LogLines().parse(b"step 3 loss: nan")["loss"])
    assert LogLines().parse(b"step 3 loss: inf")["loss"] == math.inf
