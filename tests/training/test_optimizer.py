"""The optimiser's schedule, worked by hand, and the types of its state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from waltzjax.training.optimizer import make_optimizer

RTOL = 1e-5  # float32
BASE = dict(b1=0.0, b2=0.0, weight_decay=0.0, grad_clip=1e9)


def rates(steps: int, **settings) -> list[float]:
    """Learning rates of the first updates: with b1 = b2 = 0 a step is lr * sign(gradient)."""
    optimizer = make_optimizer(**BASE, **settings)
    params = jnp.zeros(())
    state = optimizer.init(params)
    out = []
    for _ in range(steps):
        update, state = optimizer.update(jnp.ones(()), state, params)
        out.append(-float(update))
    return out


def test_warm_up_then_constant():
    got = rates(6, lr=0.8, warmup_steps=3)
    np.testing.assert_allclose(got, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=RTOL)


def test_linear_decay_reaches_a_twentieth_at_the_last_update():
    got = rates(7, lr=1.0, warmup_steps=2, decay_steps=7)
    # Two of warm-up, then 1 down to 0.05 in the four intervals between the last five.
    want = [1 / 3, 2 / 3, 1.0, 0.7625, 0.525, 0.2875, 0.05]
    np.testing.assert_allclose(got, want, rtol=RTOL)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_state_keeps_its_types(dtype):
    optimizer = make_optimizer(lr=0.1, warmup_steps=0, **(BASE | {"b1": 0.9, "b2": 0.9}))
    params = {"w": jnp.ones(3, dtype)}
    before = optimizer.init(params)
    _, after = optimizer.update({"w": jnp.ones(3)}, before, params)
    types = [jax.tree.map(lambda x: x.dtype, state) for state in (before, after)]
    assert types[0] == types[1]


@pytest.mark.parametrize("gradient", [1e-6, 1e-4, 1.0])
def test_eps_holds_back_gradients_below_it(gradient):
    """Adam's first step is lr * g / (|g| + eps): half of lr at g = eps, next to none below."""
    optimizer = make_optimizer(lr=0.5, warmup_steps=0, eps=1e-4, **BASE)
    params = jnp.zeros(())
    update, _ = optimizer.update(jnp.float32(-gradient), optimizer.init(params), params)
    assert float(update) == pytest.approx(0.5 * gradient / (gradient + 1e-4), rel=RTOL)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_are_those_of_torch(decay):
    """Clipped gradients, their two moments, decay: over steps one of which explodes."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(8, 5))
    gradients[3] *= 1e3
    ours, theirs = jnp.asarray(start, jnp.float32), torch.tensor(start, requires_grad=True)
    optimizer = make_optimizer(
        lr=0.05, warmup_steps=0, b1=0.8, b2=0.95, weight_decay=decay, grad_clip=1.5
    )
    adamw = torch.optim.AdamW([theirs], lr=0.05, betas=(0.8, 0.95), eps=1e-8, weight_decay=decay)
    state = optimizer.init(ours)
    for gradient in gradients:
        update, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours += update
        theirs.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([theirs], 1.5)
        adamw.step()
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=RTOL, atol=RTOL)
