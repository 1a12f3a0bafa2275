"""What is placed by hand over a mesh, against the same sums on one device."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import ALL_FACTORISATIONS, mesh_of, tiny_config

from waltzjax.core.logprobs import token_logprobs
from waltzjax.model import sharding
from waltzjax.model.head import head_logprobs
from waltzjax.model.zero import zero_matmul
from waltzjax.plan.xla_report import collectives

LOGP_ATOL = 5e-6  # nats, of values near -4: float32 sums over the vocabulary in another order
GRADIENT_ATOL = 2e-5  # of gradients up to about 10
PRODUCT_ATOL = 4e-5  # gradients of up to about 20: sums of 24 or 32 float32 products
PRODUCT_RTOL = 1e-5  # sums of 16 float32 products
B, T, D, V = 8, 7, 16, 40


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def head_inputs():
    target_BT = np.random.default_rng(3).integers(0, V, (B, T))
    return normal(B, T, D), normal(V, D, seed=1), target_BT, normal(3, B, T, seed=2)


def weighted(head, hidden_BTD, unembed_VD, target_BT, cotangent_3BT):
    """One number whose gradient meets log-probabilities and entropies alike."""
    out = jax.tree.leaves(head(hidden_BTD, unembed_VD, target_BT))
    return sum(jnp.sum(c * x) for c, x in zip(cotangent_3BT, out, strict=False)), out


@pytest.mark.parametrize("shape", ALL_FACTORISATIONS)
@pytest.mark.parametrize(
    "tokens, truncated", [(V, False), (V + 2, False), (V, True)],
    ids=["even", "odd vocabulary", "truncated"],
)  # fmt: skip
def test_log_probs_and_their_gradients(shape, tokens, truncated, head_inputs):
    hidden, unembed, target, cotangent = head_inputs
    unembed = np.concatenate([unembed, normal(tokens - V, D, seed=5)])
    mesh = mesh_of(*shape)
    cfg = dataclasses.replace(tiny_config(), mesh=mesh)
    rows = sharding.rows_sharding(mesh)
    where = sharding.params_sharding(mesh, {"unembed": unembed})["unembed"]
    cutoff_gap = np.abs(normal(B, T, seed=6)) if truncated else None

    def plain(h, w, t):
        return token_logprobs(h, w, t, temperature=0.8, block=3, cutoff_gap_BT=cutoff_gap)

    def placed(h, w, t):
        return head_logprobs(cfg, {"unembed": w}, h, t, cutoff_gap, temperature=0.8, block=3)

    def run(head, *args):
        function = jax.value_and_grad(lambda *a: weighted(head, *a), argnums=(0, 1), has_aux=True)
        return jax.jit(function)(*args)

    (_, want), want_gradient = run(plain, hidden, unembed, target, cotangent)
    arrays = (
        jax.device_put(hidden, rows), jax.device_put(unembed, where), jax.device_put(target, rows),
    )  # fmt: skip
    (_, got), got_gradient = run(placed, *arrays, cotangent)
    assert len(got) == 2 + truncated
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=LOGP_ATOL)
    for a, b in zip(got_gradient, want_gradient, strict=True):
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, rtol=0, atol=GRADIENT_ATOL)


@pytest.mark.parametrize("shape", ALL_FACTORISATIONS)
@pytest.mark.parametrize("module", ["up", "down"])
def test_matmul_and_its_gradients(shape, module):
    mesh, path = mesh_of(*shape), f"layers/{module}/kernel"
    rows_NI, kernel_IO, cotangent_NO = (
        normal(24, 16),
        normal(16, 32, seed=1),
        normal(24, 32, seed=2),
    )

    def both(product):
        def loss(x, w):
            return jnp.sum(cotangent_NO * product(x, w))

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))

    where = sharding.params_sharding(mesh, {"layers": {module: {"kernel": kernel_IO[None]}}})
    spec = jax.tree.leaves(where)[0].spec
    kernel = jax.device_put(
        kernel_IO, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec[1:]))
    )
    rows = jax.device_put(rows_NI, sharding.rows_sharding(mesh))
    got, got_gradient = both(lambda x, w: zero_matmul(mesh, path, x, w))(rows, kernel)
    want, want_gradient = both(jnp.matmul)(rows_NI, kernel_IO)
    np.testing.assert_allclose(got, want, rtol=PRODUCT_RTOL)
    for a, b in zip(got_gradient, want_gradient, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=PRODUCT_ATOL)


@pytest.mark.parametrize("shape", [(1, 8, 1), (8, 1, 1), (2, 2, 2)])
def test_gradients_are_summed_in_the_master_weights_type(shape):
    """Rows in bfloat16, a kernel in float32: the products are exact in float32, and so is their
    sum over rows and devices; in bfloat16 it would be off in the third digit."""
    mesh = mesh_of(*shape)
    rows, cotangent = (jnp.asarray(normal(24, n, seed=n)).astype(jnp.bfloat16) for n in (16, 32))
    kernel = jnp.asarray(normal(16, 32))

    def loss(w):
        return jnp.sum(cotangent * zero_matmul(mesh, "layers/up/kernel", rows, w))

    got = jax.jit(jax.grad(loss))(kernel)
    want = np.asarray(rows, np.float64).T @ np.asarray(cotangent, np.float64)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=PRODUCT_ATOL)


def test_gradients_are_reduced_and_scattered():
    """On (2, 2, 2): over fsdp scattered, only the scattered part summed over data."""
    mesh = mesh_of(2, 2, 2)
    spec = jax.sharding.PartitionSpec("fsdp", "tensor")
    kernel = jax.device_put(normal(16, 32), jax.sharding.NamedSharding(mesh, spec))
    rows = jax.device_put(normal(24, 16), sharding.rows_sharding(mesh))

    def gradient(x, w):
        return jax.grad(lambda w: jnp.sum(jnp.sin(zero_matmul(mesh, "layers/up/kernel", x, w))))(w)

    found = collectives(jax.jit(gradient).lower(rows, kernel).compile().as_text())
    part = "f32[8,16]"  # 16/fsdp, 32/tensor
    assert any(k.startswith("reduce-scatter") and part in k for k in found), found
    summed = [k for k in found if k.startswith("all-reduce")]
    sizes = [math.prod(map(int, n.split(","))) for k in summed for n in _shapes(k)]
    assert all(size <= 8 * 16 for size in sizes), summed


def _shapes(text):
    return re.findall(r"f32\[([\d,]+)\]", text)
