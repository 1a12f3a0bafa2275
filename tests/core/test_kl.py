"""KL estimates and the adaptive coefficient against the float64 reference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases
from reference import numpy_truth as truth

from waltzjax.core.losses import adaptive_coefficient, kl_estimate

SEEDS = (0, 1, 2)
RTOL = 2e-6  # a handful of float32 operations on each element
ATOL = 1e-6  # e^d - d - 1 loses all but float32's absolute error near d = 0

REFERENCE_KL = {"k1": truth.kl_k1, "k2": truth.kl_k2, "k3": truth.kl_k3}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", sorted(REFERENCE_KL))
def test_kl_estimate_matches_the_reference(kind, seed):
    rng = np.random.default_rng(seed)
    logp_BT, ref_BT = cases.log_probs(rng, (5, 11)), cases.log_probs(rng, (5, 11))
    got_BT = jax.jit(kl_estimate, static_argnums=2)(logp_BT, ref_BT, kind)
    want_BT = REFERENCE_KL[kind](logp_BT, ref_BT)
    np.testing.assert_allclose(got_BT, want_BT, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("kind", sorted(REFERENCE_KL))
def test_kl_estimate_at_extreme_log_ratios(kind):
    logp_BT = np.array([[0.0, -100.0, -25.0, -0.5, -3.0]], dtype=np.float32)
    ref_BT = np.array([[-100.0, 0.0, -0.5, -25.0, -0.5]], dtype=np.float32)
    got_BT = kl_estimate(jnp.asarray(logp_BT), jnp.asarray(ref_BT), kind)
    np.testing.assert_allclose(got_BT, REFERENCE_KL[kind](logp_BT, ref_BT), rtol=RTOL, atol=ATOL)


def test_kl_estimate_by_hand():
    # log pi = -1, log ref = -1.5: r = -0.5
    logp_BT, ref_BT = jnp.array([[-1.0]]), jnp.array([[-1.5]])
    assert float(kl_estimate(logp_BT, ref_BT, "k1")[0, 0]) == 0.5
    assert float(kl_estimate(logp_BT, ref_BT, "k2")[0, 0]) == 0.125
    # e^-0.5 + 0.5 - 1 = 0.1065307
    assert float(kl_estimate(logp_BT, ref_BT, "k3")[0, 0]) == pytest.approx(0.1065307, abs=ATOL)
    # r = -100 is clamped to -20 and the result, 19, to 10
    far_BT = jnp.array([[-101.0]])
    assert float(kl_estimate(logp_BT, far_BT, "k3")[0, 0]) == 10.0


@pytest.mark.parametrize("kind, slope", [("k1", 1.0), ("k2", 0.5), ("k3", 1 - math.exp(-0.5))])
def test_kl_estimate_gradient(kind, slope):
    # d/dlogp at r = -0.5: k1 gives 1, k2 gives -r, k3 gives 1 - e^r
    ref_BT = jnp.array([[-1.5]])
    grad_BT = jax.grad(lambda p: kl_estimate(p, ref_BT, kind).sum())(jnp.array([[-1.0]]))
    assert float(grad_BT[0, 0]) == pytest.approx(slope, abs=ATOL)


def test_k3_has_no_gradient_past_its_clamps():
    # e^100 overflows float32, and 0 * inf would make the gradient nan
    logp_BT = jnp.array([[-101.0, -1.0, -20.0]])
    ref_BT = jnp.array([[-1.0, -101.0, -1.0]])
    grad_BT = jax.grad(lambda p: kl_estimate(p, ref_BT, "k3").sum())(logp_BT)
    np.testing.assert_array_equal(grad_BT, np.zeros((1, 3)))


def test_kl_estimate_refuses_an_unknown_kind():
    with pytest.raises((ValueError, KeyError), match="k9"):
        kl_estimate(jnp.zeros((1, 1)), jnp.zeros((1, 1)), "k9")


@pytest.mark.parametrize("kl", [0.0, 0.01, 0.09, 0.1, 0.105, 0.3])
def test_adaptive_coefficient_matches_the_reference(kl):
    got = adaptive_coefficient(jnp.float32(0.05), jnp.float32(kl), target=0.1, gain=0.5)
    want = truth.adaptive_coefficient(0.05, kl, target=0.1, gain=0.5)
    assert float(got) == pytest.approx(want, rel=RTOL)


def test_adaptive_coefficient_by_hand():
    # 50 % above the target counts as 20 %: 0.2 (1 + 0.1 * 0.2)
    high = adaptive_coefficient(jnp.float32(0.2), jnp.float32(0.15), target=0.1, gain=0.1)
    low = adaptive_coefficient(jnp.float32(0.2), jnp.float32(0.09), target=0.1, gain=0.1)
    assert float(high) == pytest.approx(0.204, rel=RTOL)
    assert float(low) == pytest.approx(0.198, rel=RTOL)
