"""Seconds and hours by hand, from work that tests/plan/test_work.py counts."""

import dataclasses

import pytest
from support import mesh_of, tiny_config

from waltzjax.config import defaults
from waltzjax.plan import work as plan_work
from waltzjax.plan.forecast import Load, predict
from waltzjax.plan.search import layout
from waltzjax.plan.tables import show_forecast
from waltzjax.plan.traffic import Traffic
from waltzjax.run.devices import Device, Link

# Reached: 1e6 FLOPs and 5e5 bytes a second; 2e5 bytes a second and 0.5 s a collective.
LINK = Link("string", 2e-4, 5e5)
SLOW = Device("slow", {"float32": 2e-6, "bfloat16": 4e-6}, 1e-3, 80.0, 0.5, 0.5, LINK, LINK)
MOVED = (Traffic("all-reduce", "fsdp", 1e5, 3),)  # half a second, and three times half a second
WORK = [
    plan_work.Work("conversation", "decode", 2e6, 3e6),
    plan_work.Work("conversation", "log-probs", 2e6, 1e6, MOVED),
    plan_work.Work("conversation", "update", 1e6, 1e5, MOVED),
]


@pytest.fixture
def work(monkeypatch):
    monkeypatch.setattr(plan_work, "step_work", lambda *_: WORK)


def forecast(device=SLOW, prompts=100, mesh=(1, 1, 1), dtype="float32", **more):
    c = defaults.default()
    c.update_from_flattened_dict({"stages": ("stage2",), "rollout.batch": 8, **more})
    return predict(c, tiny_config(dtype=dtype), mesh_of(*mesh), Load(5, prompts), device)


def test_the_longer_of_both_times_counts_and_collectives_come_on_top(work):
    made = forecast(mesh=(1, 2, 1))
    assert [(p.phase, p.device_s, p.collective_s, p.bound) for p in made.phases] == [
        ("decode", pytest.approx(6.0), 0, "bandwidth"),
        ("log-probs", pytest.approx(2.0), pytest.approx(2.0), "compute"),
        ("update", pytest.approx(1.0), pytest.approx(2.0), "collectives"),
    ]
    assert made.step_s == pytest.approx(13)
    assert made.hidden_s == pytest.approx(2 + 1)  # of the update's two seconds one hides
    assert made.step_seconds() == pytest.approx(
        {"generate": 6, "score": 2, "reference": 2, "update": 3}
    )
    assert [(p.link_bytes, p.network_bytes) for p in made.phases[1:]] == [(1e5, 0)] * 2
    # Six collectives of 2e5 bytes together.
    assert made.collective_s(Link("other", 1e-4, 1e6)) == pytest.approx(6 + 2)


def test_hours_are_those_of_all_steps_and_device_hours_of_all_devices(work):
    made = forecast(mesh=(1, 2, 2))
    assert made.steps == 100 * 5 // 8  # epochs and batch
    assert made.hours == pytest.approx(62 * 13 / 3600)
    assert made.device_hours == pytest.approx(62 * 13 / 3600 * 4)
    assert forecast(**{"train.steps.stage2": 7}).steps == 7
    assert forecast(prompts=0).steps == 15_015 * 5 // 8


def test_supervised_tuning_sees_every_chat_in_every_epoch(work):
    sft = {"stages": ("sft",), "sft.batch": 6, "sft.epochs": 3}
    assert forecast(**sft).steps == 50
    assert forecast(**sft, **{"sft.examples": 40}).steps == 20
    assert forecast(**sft, **{"sft.examples": 400}).steps == 50
    with pytest.raises(ValueError, match=r"config.sft.batch: got 6, .* = 1 \* 3 \(--prompts"):
        forecast(prompts=1, **sft)


def test_of_what_crosses_hosts_each_device_sends_its_part(work):
    # Sixteen devices of two hosts: eight ports share what a ring sends from host to host.
    c = defaults.default()
    c.update_from_flattened_dict({"stages": ("stage2",), "rollout.batch": 8})
    phase = predict(c, tiny_config(), layout((1, 16, 1)), Load(5, 100), SLOW).phases[1]
    assert phase.network_bytes == pytest.approx(1e5 / 8)
    assert phase.link_bytes == pytest.approx(1e5 * 7 / 8)


def test_the_usual_number_is_the_stages_and_is_named(work, capsys):
    for stage, steps, count in (
        ("stage2", 15_015 * 5 // 8, "15,015 prompts"),
        ("sft", 5_000 * 3 // 6, "5,000 chats"),
        ("dpo", 4_000 * 2 // 10, "4,000 pairs"),
    ):
        more = {"sft.batch": 6, "sft.epochs": 3, "dpo.batch": 10, "dpo.epochs": 2}
        made = forecast(prompts=0, stages=(stage,), **more)
        assert made.steps == steps
        show_forecast(made)
        out = " ".join(capsys.readouterr().out.split())
        assert f"{count}, the usual number (--prompts)" in out
    show_forecast(forecast(prompts=70))
    assert "70 prompts." in capsys.readouterr().out
    show_forecast(forecast(prompts=0, **{"train.steps.stage2": 7}))
    assert "15,015" not in capsys.readouterr().out
    sft = {"stages": ("sft",), "sft.batch": 6, "sft.epochs": 3}
    assert forecast(prompts=0, **sft, **{"sft.examples": 6000}).steps == 3000


def test_the_peak_is_that_of_the_compute_type(work):
    fast = dataclasses.replace(SLOW, gb_per_s=1e9)
    assert forecast(fast).phases[0].device_s == pytest.approx(2.0)
    assert forecast(fast, dtype="bfloat16").phases[0].device_s == pytest.approx(1.0)


def test_what_is_said(work, capsys):
    show_forecast(forecast(mesh=(1, 2, 2)))
    out = capsys.readouterr().out
    assert "predicted time of a step" in out and "Predicted, not measured" in out
    assert "13.0 s a step, 62 steps: 0.22 h on 4 devices, 0.90 device-hours" in out
    show_forecast(forecast(stages=("sft",)))
    assert "a row for every chat" in capsys.readouterr().out
