"""Throughput of a step: its work by hand, and nothing where nothing is known."""

import types

import jax
import pytest

from waltzjax.engine.session import Stats
from waltzjax.model.architecture import ModelConfig
from waltzjax.stages.step_work import peak_tflops, rates, rollout_work, text_work
from waltzjax.types import Sample

CFG = ModelConfig(
    vocab_size=10, width=4, mlp_width=6, layers=2, heads=2, kv_heads=1, head_dim=2,
    max_positions=64,
)  # fmt: skip
LAYERS, HEAD, SEES = 240, 40, 32  # weights that are multiplied; FLOPs of a token seen


def forward(n):
    return n * (2 * (LAYERS + HEAD) + SEES * n / 2)


@pytest.mark.parametrize(("adapter", "passes"), [(False, 3), (True, 2)])
def test_the_work_of_learning_from_texts(adapter, passes):
    got = text_work(CFG, [4, 6], adapter=adapter, updates=2, forwards=1)
    assert got["perf/tokens"] == 10
    once = forward(4) + forward(6)
    assert got["perf/tflop"] == pytest.approx((2 * passes + 1) * once / 1e12)


def test_the_work_of_a_step_of_reinforcement():
    """Two texts of 5 + 3 tokens learned from; 20 tokens of prompts cached, 9 drawn."""
    rows = {"policy": [Sample((1,) * 5, (1,) * 3, (0.0,) * 3, 1.0)] * 2}
    drawn = Stats(*[0] * 9)._replace(tokens=9, cached_tokens=20)
    got = rollout_work(CFG, rows, drawn, adapter=False, updates=1)
    generated = 2 * (29 * LAYERS + 9 * HEAD)
    assert got["perf/tokens"] == 16
    assert got["perf/tflop"] == pytest.approx(((3 + 2) * 2 * forward(8) + generated) / 1e12)


def test_rates_are_of_all_devices(monkeypatch):
    two = [types.SimpleNamespace(device_kind="NVIDIA A100-SXM4-80GB")] * 2
    work = {"perf/tokens": 300.0, "perf/tflop": 624.0}
    monkeypatch.setattr(jax, "devices", lambda: two)
    assert rates(work, 4.0) == {"perf/tokens_per_s": 75.0, "perf/mfu": pytest.approx(0.25)}
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(device_kind="cpu")])
    assert rates(work, 4.0) == {"perf/tokens_per_s": 75.0}
    assert rates({}, 4.0) == {}


@pytest.mark.parametrize(
    ("kind", "tflops"),
    [
        ("NVIDIA H100 PCIe", 756), ("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312), ("cpu", None), ("NVIDIA GeForce RTX 4090", None),
    ],
)  # fmt: skip
def test_a_devices_peak(kind, tflops):
    assert peak_tflops(kind) == tflops
