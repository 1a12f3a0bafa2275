"""A packed update against the padded one: every figure and every parameter, advantages included."""

from functools import cache, partial

import jax
import numpy as np
import pytest
from support import mesh_of, sharded_params, slow, tiny_config

from waltzjax.run.runtime import over_mesh
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.types import Sample

SPAN, BUDGET, LIMIT = 26, 64, 14
RTOL = 5e-5  # float32 figures summed in another order, through two layers
ATOL = 5e-6  # the same of those near zero, and of parameters and moments of order 1
CREDIT = dict(kl_in="reward", estimator="k1", normalise=True, tis_cap=2.0)
LOSS = dict(clip_low=0.2, clip_high=0.2, dual_clip=3.0, estimator="k3")


def samples(n=13, seed=0, truncated=False):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        context, reply = (
            tuple(rng.integers(1, 400, rng.integers(2, k)).tolist()) for k in (12, 14)
        )
        drawn_at = tuple((-6 + rng.normal(size=len(reply))).tolist())
        cutoff_gap = tuple(rng.random(len(reply)).tolist()) if truncated else ()
        rows.append(Sample(context, reply, drawn_at, float(i % 3), cutoff_gap))
    return rows


def learnt(shape, *, budget, kl_in="reward", weights="sequence", truncated=False, **changes):
    """(metrics, parameters, moments) after two updates on one batch, from a policy that is no
    longer its reference."""
    mesh = mesh_of(*shape)
    cfg = tiny_config(**changes, longest_text=SPAN if budget else 0, query_block=8)
    optimizer = make_optimizer(
        lr=1e-2, warmup_steps=0, b1=0.9, b2=0.95, weight_decay=0.0, grad_clip=1e9, eps=1e-4
    )
    drawn = samples(truncated=truncated)
    batch = device_batch(
        drawn, mesh, microbatches=2, multiple=8, weights=weights, max_length=256,
        truncated=truncated, token_budget=budget, longest_text=SPAN, max_new_tokens=LIMIT,
    )  # fmt: skip
    if budget:
        assert batch.token_BT.shape[1:] == (shape[0] * shape[1], BUDGET)
        assert batch.token_BT.shape[0] * batch.token_BT.shape[1] < len(drawn)
    learner = Learner(
        over_mesh(cfg, mesh), optimizer, partial(policy_loss, **LOSS, kl_in=kl_in),
        partial(compute_advantages, **(CREDIT | {"kl_in": kl_in})), temperature=0.7, block=64,
        updates=2,
    )  # fmt: skip
    state = init_state(sharded_params(cfg, mesh), optimizer, mesh, beta=0.3)
    reference = sharded_params(cfg, mesh, seed=1)
    state, metrics = learner.learn(state, None, reference, batch)
    return jax.device_get((metrics, state.params, state.opt_state))


ONE = (1, 1, 1)
CASES = {
    "sequence": {},
    "token, KL in the loss": dict(weights="token", kl_in="loss"),
    "constant, remat": dict(weights="constant", remat="full"),
    "truncated": dict(truncated=True),
    "window": dict(window=7, remat="dots"),
}


@cache
def padded(case):
    return learnt(ONE, budget=0, **CASES[case])


@pytest.mark.parametrize(
    ("shape", "case"),
    [
        *((ONE, name) for name in ("token, KL in the loss", "truncated")),
        *(slow(ONE, name) for name in ("sequence", "constant, remat", "window")),
        ((2, 2, 2), "sequence"),
        slow((2, 2, 2), "truncated"),
    ],
)
def test_packed_is_padded(shape, case):
    metrics, params, moments = padded(case)
    ours, *rest = learnt(shape, budget=BUDGET, **CASES[case])
    assert ours.keys() == metrics.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(ours[name], value, rtol=RTOL, atol=ATOL, err_msg=name)
    assert abs(metrics["kl"]) > 0.1 and metrics["grad_norm"] > 0.01
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL), rest, [params, moments]
    )


def test_other_texts_in_other_places_compile_nothing():
    mesh, cfg = mesh_of(2, 2, 1), tiny_config(longest_text=SPAN)
    optimizer = make_optimizer(
        lr=1e-3, warmup_steps=0, b1=0.9, b2=0.95, weight_decay=0.0, grad_clip=1.0
    )
    learner = Learner(
        over_mesh(cfg, mesh), optimizer, partial(policy_loss, **LOSS, kl_in="reward"),
        partial(compute_advantages, **CREDIT), temperature=1.0, block=64, updates=1,
    )  # fmt: skip
    params = sharded_params(cfg, mesh)
    state, sizes, starts = init_state(params, optimizer, mesh), [], []
    for drawn in (samples(20), samples(20)[::-1][:-1]):
        batch = device_batch(
            drawn, mesh, microbatches=1, multiple=8, weights="token", max_length=256,
            token_budget=BUDGET, longest_text=SPAN,
        )  # fmt: skip
        starts.append(np.asarray(batch.start_BT))
        state, _ = jax.block_until_ready(learner.learn(state, None, params, batch))
        jitted = (learner._logp, learner._update, learner._compute_advantages, learner._measure)
        sizes.append([f._cache_size() for f in jitted])
    assert sizes[0] == sizes[1] and sizes[0][1] == 1 and (starts[0] != starts[1]).any()
