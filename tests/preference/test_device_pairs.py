"""Pairs on the devices: never split, and the same numbers however they are divided."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from support import ALL_FACTORISATIONS, mesh_of, sharded_params, tiny_config

from waltzjax.core.preference_losses import preference_loss
from waltzjax.model.transformer import hidden_states
from waltzjax.preference.batch import PairTokens, device_pairs, make_answer_logp
from waltzjax.run.runtime import over_mesh
from waltzjax.training.learner import init_state, place_batch
from waltzjax.training.step import make_update, shardings

CFG = tiny_config()
LOGP_ATOL = 5e-5  # nats, of sums of up to 9 log-probs near -6
GRAD_ATOL = 5e-6  # gradients of order 0.1, float32 sums in another order
RTOL = 2e-5  # losses and metrics likewise
METRIC_ATOL = 1e-6  # margins of order 0.01 are differences of log-probs near -40


def pairs(count, seed=0):
    """Whose prompts begin with their number, from 1."""
    rng = np.random.default_rng(seed)

    def ids(low, high):
        return tuple(rng.integers(1, 400, rng.integers(low, high)).tolist())

    return [
        PairTokens((n, *ids(1, 9)), ids(1, 10), ids(1, 10), *-rng.uniform(20, 60, 2))
        for n in range(1, count + 1)
    ]


def batch(mesh, microbatches=1, count=8):
    return device_pairs(pairs(count), mesh, microbatches=microbatches, multiple=8, max_length=32)


@pytest.mark.parametrize("microbatches", [1, 2, 4])
@pytest.mark.parametrize("shape", ALL_FACTORISATIONS)
@pytest.mark.parametrize("count", [5, 8])
def test_no_device_or_microbatch_has_half_a_pair(count, shape, microbatches):
    placed = batch(mesh_of(*shape), microbatches, count)
    seen = []
    for shard in placed.token_BT.addressable_shards:
        if shard.replica_id:
            continue
        for rows in np.asarray(shard.data):
            first = rows[:, 0]
            assert len(first) % 2 == 0
            np.testing.assert_array_equal(first[::2], first[1::2])  # a pair has one prompt
            seen += first[::2].tolist()
    assert sorted(seen) == [0] * (len(seen) - count) + list(range(1, count + 1))
    assert float(placed.pair_B.sum()) == pytest.approx(2, abs=1e-6)
    assert float(placed.weight_BT.sum()) == pytest.approx(1, abs=1e-6)


def step(mesh, microbatches):
    """(gradient, metrics) of five pairs, which padding fills up to as many as divide. The gradient
    is the accumulated one, read off an SGD step of size one."""
    cfg, sgd = over_mesh(CFG, mesh), optax.sgd(1.0)
    params = sharded_params(CFG, mesh)
    state = init_state(params, sgd, mesh)
    loss = partial(preference_loss, kind="sigmoid", beta=0.1, sft_weight=0.5)
    update = make_update(
        cfg, loss, sgd, temperature=1.0, block=64, state_sharding=shardings(state)
    )  # fmt: skip
    state, metrics = update(state, batch(mesh, microbatches, 5))
    after = jax.device_get(state.params)
    return jax.tree.map(lambda a, b: np.asarray(a) - b, jax.device_get(params), after), metrics


@pytest.fixture(scope="module")
def on_one_device():
    return step(mesh_of(1, 1, 1), 1)


@pytest.mark.parametrize(
    ("shape", "microbatches"),
    [((1, 1, 1), 2), ((1, 1, 1), 4), ((2, 2, 2), 1), ((2, 2, 2), 2), ((2, 2, 2), 4)],
)
def test_devices_and_microbatches_change_nothing(shape, microbatches, on_one_device):
    one, metrics = on_one_device
    other, found = step(mesh_of(*shape), microbatches)
    assert max(np.abs(g).max() for g in jax.tree.leaves(one)) > 0.05
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=GRAD_ATOL), one, other)
    assert found.keys() == metrics.keys() >= {"rewards/margins", "rewards/accuracies", "sft_nll"}
    for name in metrics:
        np.testing.assert_allclose(
            found[name], metrics[name], rtol=RTOL, atol=METRIC_ATOL, err_msg=name
        )


def test_half_a_pair_in_a_microbatch_is_refused():
    """Whoever splits rows without looking at pairs is told, before anything is computed."""
    mesh = mesh_of(1, 1, 1)
    three = device_pairs(pairs(3), mesh, microbatches=1, multiple=8, max_length=32)
    halves = place_batch(jax.tree.map(lambda x: np.asarray(x)[0], three), mesh, 2)
    state = init_state(sharded_params(CFG, mesh), optax.sgd(1.0), mesh)
    update = make_update(
        CFG, partial(preference_loss, kind="sigmoid", beta=0.1), optax.sgd(1.0), temperature=1.0,
        block=64, state_sharding=shardings(state),
    )  # fmt: skip
    with pytest.raises(ValueError, match="got 3 rows, allowed is an even number"):
        update(state, halves)


@pytest.mark.parametrize(("shape", "microbatches"), [((1, 1, 1), 2), ((2, 2, 2), 1)])
def test_answers_log_probabilities_are_those_of_a_softmax(shape, microbatches):
    mesh = mesh_of(*shape)
    some = pairs(5)
    params = sharded_params(CFG, mesh)
    logp = make_answer_logp(over_mesh(CFG, mesh), block=64)
    got_B = np.asarray(logp(params, batch(mesh, microbatches, 5))).ravel()
    own = jax.device_get(params)
    hidden = jax.jit(partial(hidden_states, CFG))
    want = []
    for pair in some:
        for answer in (pair.chosen_ids, pair.rejected_ids):
            ids, first = np.array(pair.prompt_ids + answer), len(pair.prompt_ids)
            row_T = np.pad(ids, (0, 32 - len(ids)))
            h_TD = np.asarray(hidden(own, row_T[None], np.array([len(ids)])))[0]
            z_TV = np.float64(h_TD) @ np.float64(own["embed"]).T
            z_TV -= np.log(np.exp(z_TV).sum(1, keepdims=True))
            want.append(sum(z_TV[t - 1, ids[t]] for t in range(first, len(ids))))
    np.testing.assert_allclose(got_B[:10], want, rtol=0, atol=LOGP_ATOL)
    assert not got_B[10:].any()
