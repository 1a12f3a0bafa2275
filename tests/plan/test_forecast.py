"""Seconds, hours and dollars by hand, from work that tests/test_cost.py counts."""

import dataclasses
import math

import pytest
from support import mesh_of, tiny_config

from waltzjax.config import defaults
from waltzjax.plan import flops
from waltzjax.plan.forecast import H100, Device, predict
from waltzjax.plan.tables import show_forecast

# Reached: 1e6 FLOPs and 5e5 bytes a second.
SLOW = Device(peak_tflops=2e-6, bandwidth_gbs=1e-3, mfu=0.5, bandwidth_share=0.5, price=3.0)
WORK = [
    flops.Work("conversation", "decode", 2e6, 3e6),
    flops.Work("conversation", "update", 4e6, 1e6),
]


@pytest.fixture
def work(monkeypatch):
    monkeypatch.setattr(flops, "step_work", lambda *_: WORK)


def forecast(device=SLOW, prompts=100, mesh=(1, 1, 1), dtype="float32", **more):
    c = defaults.default()
    c.update_from_flattened_dict({"stages": ("stage2",), "rollout.batch": 8, **more})
    return predict(c, tiny_config(dtype=dtype), mesh_of(*mesh), 5, device, prompts)


def test_the_longer_of_both_times_counts(work):
    made = forecast()
    assert [(p.phase, p.seconds, p.bound) for p in made.phases] == [
        ("decode", pytest.approx(6.0), "bandwidth"),
        ("update", pytest.approx(4.0), "compute"),
    ]
    assert made.step_s == pytest.approx(10)


def test_all_devices_are_paid_for_all_steps(work):
    made = forecast(mesh=(1, 2, 2))
    assert made.steps == 100 * 5 // 8  # epochs and batch
    assert made.hours == pytest.approx(62 * 10 / 3600)
    assert made.dollars == pytest.approx(62 * 10 / 3600 * 4 * 3)
    assert forecast(**{"train.steps.stage2": 7}).steps == 7


def test_supervised_tuning_sees_every_chat_in_every_epoch(work):
    sft = {"stages": ("sft",), "sft.batch": 6, "sft.epochs": 3}
    assert forecast(**sft).steps == 50
    assert forecast(**sft, **{"sft.examples": 40}).steps == 20
    assert forecast(**sft, **{"sft.examples": 400}).steps == 50
    with pytest.raises(ValueError, match=r"config.sft.batch: got 6, .* = 1 \* 3 \(--prompts"):
        forecast(prompts=1, **sft)


def test_the_peak_is_that_of_the_compute_type(work):
    fast = dataclasses.replace(H100, bandwidth_gbs=1e9)
    for dtype, tflops in (("bfloat16", 989.4), ("float32", 66.9)):
        made = forecast(fast, dtype=dtype)
        assert made.device == dataclasses.replace(fast, peak_tflops=tflops)
        assert made.phases[1].seconds == pytest.approx(4e6 / (tflops * 1e12 * 0.4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mfu", 1.5), ("mfu", 0.0), ("bandwidth_share", 2.0), ("peak_tflops", 0.0),
        ("bandwidth_gbs", math.nan), ("price", math.inf), ("price", -1.0),
    ],
)  # fmt: skip
def test_a_device_that_cannot_be(name, value):
    with pytest.raises(ValueError, match=rf"^--{name}: got .*, allowed is > 0 and <= "):
        Device(**{name: value})


def test_what_is_said(work, capsys):
    show_forecast(forecast(mesh=(1, 2, 2)))
    out = capsys.readouterr().out
    assert "predicted time of a step" in out and "Predicted, not measured" in out
    assert "10.0 s a step, 62 steps: 0.2 h on 4 devices, $2 at $3.00 a device-hour" in out
    assert "52 h and $832" in out
    show_forecast(forecast(stages=("sft",)))
    out = capsys.readouterr().out
    assert "a row for every chat" in out and "$832" not in out
