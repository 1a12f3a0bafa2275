"""The kernels of attention: against sums written out, which one is taken, what cuDNN is asked."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth as truth
from support import REPO

from waltzjax.model.attention import attend, choose_kernel

LENGTHS = (9, 4, 1)
B, T, H, J, C = 3, 9, 4, 2, 8
ATOL = 2e-6  # float32, values of order 1
BF16 = 2e-2  # of the largest value: two kernels in bfloat16, outputs and gradients
WINDOWS = (0, 1, 3)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    shapes = (B, T, H, C), (B, T, J, C), (B, T, J, C)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("window", WINDOWS)
def test_against_sums_written_out(window):
    q, k, v = arrays()
    got = np.array(attend(q, k, v, jnp.array(LENGTHS), window=window, kernel="xla"))
    for b, n in enumerate(LENGTHS):
        got[b, n:] = 0  # padding is arbitrary
    np.testing.assert_allclose(got, truth.attention(q, k, v, LENGTHS, window), rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("wanted", "platform", "dtype", "channels", "kernel"),
    [
        ("auto", "gpu", "bfloat16", 128, "cudnn"),
        ("auto", "cuda", "bfloat16", 64, "cudnn"),
        ("cudnn", "gpu", "bfloat16", 8, "cudnn"),
        ("xla", "gpu", "bfloat16", 128, "xla"),
        ("auto", "gpu", "float32", 128, "xla"),
        ("auto", "gpu", "bfloat16", 136, "xla"),
        ("auto", "gpu", "bfloat16", 20, "xla"),
        ("auto", "cpu", "bfloat16", 128, "xla"),
        ("auto", "tpu", "bfloat16", 128, "xla"),
    ],
)
def test_which_kernel(wanted, platform, dtype, channels, kernel):
    assert choose_kernel(wanted, platform, dtype, channels) == kernel


@pytest.mark.parametrize(
    ("platform", "dtype", "channels", "says"),
    [
        ("cpu", "bfloat16", 128, "the devices are cpu"),
        ("gpu", "float32", 128, "config.model.dtype is float32"),
        ("gpu", "bfloat16", 256, "heads of 256 channels"),
    ],
)
def test_cudnn_where_it_cannot_work_is_an_error(platform, dtype, channels, says):
    with pytest.raises(ValueError, match=f"config.model.attention: got 'cudnn', but .*{says}"):
        choose_kernel("cudnn", platform, dtype, channels)


def of_lengths(kernel, window):
    """(output and gradients) of a loss that reads no padding."""

    def loss(q, k, v, length_B):
        out = attend(q, k, v, length_B, window=window, kernel=kernel).astype(jnp.float32)
        real = jnp.arange(q.shape[1]) < length_B[:, None]
        out = jnp.where(real[..., None, None], out, 0)
        return jnp.sum(jnp.sin(out)), out

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize("window", [0, 16])
def test_what_cudnn_is_asked_for(window, monkeypatch):
    """Lowered for CUDA without one: flash attention both ways, causal, by lengths, same window."""
    import jax._src.cudnn.fused_attention_stablehlo as kernels

    monkeypatch.setattr(kernels, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(kernels, "check_compute_capability", lambda _: True)
    shapes = (2, 128, 8, 64), (2, 128, 4, 64), (2, 128, 4, 64)
    args = [jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in shapes]
    traced = of_lengths("cudnn", window).trace(*args, jax.ShapeDtypeStruct((2,), jnp.int32))
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert set(re.findall(r"custom_call @(\S+?)\(", text)) == {
        "__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward",
    }  # fmt: skip
    settings = re.findall(r"(mask_type|sliding_window_length)\W+22\W+(?:22)?(\w+)", text)
    assert set(settings) == {
        ("mask_type", "PADDING_CAUSAL"), ("sliding_window_length", str(window)),
    }  # fmt: skip


def compare_kernels():
    """cuDNN's outputs and gradients less XLA's, over the largest value; needs an NVIDIA GPU."""
    worst = {}
    rng = np.random.default_rng(0)
    for channels, window in ((64, 0), (128, 0), (128, 100)):
        shapes = (4, 512, 8, channels), (4, 512, 2, channels), (4, 512, 2, channels)
        args = [jnp.asarray(rng.normal(size=s), jnp.bfloat16) for s in shapes]
        length_B = jnp.array([512, 300, 17, 1])
        (_, ours), of_ours = of_lengths("cudnn", window)(*args, length_B)
        (_, theirs), of_theirs = of_lengths("xla", window)(*args, length_B)
        pairs = [(ours, theirs), *zip(of_ours, of_theirs, strict=True)]
        pairs = [[np.asarray(x, np.float32) for x in pair] for pair in pairs]
        gaps = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs]
        worst[f"{channels} channels, window {window}"] = max(gaps)
    return worst


NVIDIA = Path("/dev/nvidia0").exists() and importlib.util.find_spec("jax_cuda12_plugin")


@pytest.mark.skipif(not NVIDIA, reason="needs an NVIDIA GPU and jax[cuda12]")
def test_cudnn_equals_xla():
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True,
        env=os.environ | {"JAX_PLATFORMS": "cuda", "PYTHONPATH": f"{REPO}:{REPO / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    worst = json.loads(done.stdout)
    assert max(worst.values()) < BF16, worst


if __name__ == "__main__":
    print(json.dumps(compare_kernels()))
