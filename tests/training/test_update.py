"""The count of updates and the draws of dropout change from one update to the next."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from support import mesh_of, sharded_params, tiny_config

from waltzjax.core import losses
from waltzjax.model.lora import Lora, attach, init_adapter
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.step import make_update, shardings
from waltzjax.types import Sample

MESH = mesh_of(1, 1, 1)


def batch(microbatches, rows=2):
    """A batch of one row, repeated."""
    row = Sample((5, 6, 7), (8, 9, 10, 11), (-6.0,) * 4, 1.0)
    return device_batch(
        [row] * rows, MESH, microbatches=microbatches, multiple=8, weights="token", max_length=64
    )


def test_dropout_is_drawn_anew_for_every_update_and_microbatch():
    cfg, form = tiny_config(lora_dropout=0.5), Lora(2, 8.0, ("q", "down"))
    adapter = jax.tree.map(lambda x: x + 0.1, init_adapter(cfg, form, jax.random.key(5)))
    state = init_state(adapter, optax.sgd(0.0), MESH)  # no update changes a weight

    def loss(logp_BT, batch):
        value, _ = losses.nll(logp_BT, batch)
        return value, {"square": value**2}

    update = make_update(
        cfg, loss, optax.sgd(0.0), temperature=1.0, block=16, state_sharding=shardings(state),
        merge=lambda base, a: attach(base, a, form.scale),
    )  # fmt: skip
    base, seen = sharded_params(cfg, MESH), []
    for number in range(3):
        assert state.step == number
        state, metrics = update(state, batch(microbatches=2), base)
        a_plus_b, squares = float(metrics["loss"]), float(metrics["square"])
        assert squares > a_plus_b**2 / 2 * (1 + 1e-5)  # a = b would make it a half
        seen.append(a_plus_b)
    assert min(abs(seen[i] - seen[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-4


@pytest.mark.parametrize("updates", [1, 3])
def test_a_rollout_is_learned_from_so_many_times(updates):
    """With SGD and plain policy gradients of ratios near 1, n updates go n times as far."""
    cfg, sgd, loss = tiny_config(), optax.sgd(1e-6), dict(kl_in="reward", estimator="k1")
    one = Learner(
        cfg, sgd, partial(policy_loss, **loss, clip_low=0.2, clip_high=0.2, dual_clip=None),
        partial(compute_advantages, **loss, normalise=False, tis_cap=0.0),
        temperature=1.0, block=64, updates=updates,
    )  # fmt: skip
    params = sharded_params(cfg, MESH)
    state, metrics = one.learn(init_state(params, sgd, MESH), None, params, batch(1))
    moved = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), state.params, params)
    assert state.step == updates
    far = float(optax.tree.norm(moved))
    assert far == pytest.approx(updates * float(metrics["change_norm"]), rel=1e-2) and far > 0
