"""FLOPs of texts by hand, and the devices' peaks; a token's are in tests/plan/test_flops.py."""

import pytest

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import peak_flops, texts_flops

CFG = ModelConfig(
    vocab_size=10, width=4, mlp_width=6, layers=2, heads=2, kv_heads=1, head_dim=2,
    max_positions=64,
)  # fmt: skip
MULTIPLIED = 280  # q, k, v, o, gate, up, down of two layers, and the unembedding


def test_texts_are_worked_out_one_by_one():
    """Each token sees half its text: 2 x 280 for the weights, 32 for each token it sees."""
    assert texts_flops(CFG, [8]) == 8 * (2 * MULTIPLIED + 32 * 4)
    assert texts_flops(CFG, [8, 2]) == texts_flops(CFG, [8]) + 2 * (2 * MULTIPLIED + 32)
    assert texts_flops(CFG, []) == 0


@pytest.mark.parametrize(
    ("kind", "tflops"),
    [
        ("NVIDIA H100 PCIe", 756), ("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312), ("TPU v5 lite", 197), ("TPU v5p", 459),
    ],
)  # fmt: skip
def test_a_devices_peak(kind, tflops):
    assert peak_flops(kind) == tflops * 1e12


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA GeForce RTX 4090", ""])
def test_a_device_that_is_not_known_has_none(kind):
    assert peak_flops(kind) is None
