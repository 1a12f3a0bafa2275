"""The update: microbatches, devices, donation, and that a second step compiles nothing."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import ALL_FACTORISATIONS, mesh_of, sharded_params, slow, tiny_config

from waltzjax.core import losses
from waltzjax.core.losses import adaptive_coefficient
from waltzjax.model import sharding
from waltzjax.run.runtime import over_mesh
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.training.step import make_logp, make_update, shardings
from waltzjax.types import Sample

CFG = tiny_config()
SUM_ATOL = 2e-6  # float32 gradients summed in another order
HALF = tiny_config(dtype=jnp.dtype("bfloat16"))
HALF_RTOL = 0.15  # bfloat16's 8 bits through two layers and back, where gradients nearly cancel
MESH_RTOL = 0.01  # the same roundings; 0.003 was measured, of kernels' gradients
# Parts of a sum over tensor are bfloat16 before they are added, from jax 0.12 on with two devices
# too (0.042; 0.018 with eight on 0.10): less than half of what bfloat16 changes at all, 0.104.
TENSOR_RTOL = 0.05
SUM_RTOL = 2e-5  # float32 metrics likewise
LOGP_ATOL = 2e-5  # nats, of log-probs near -6, on another mesh
WEIGHT_ATOL = 1e-6  # weights sum to 1 in float32
GAP_RTOL = 1e-5  # float32 arithmetic against numpy's
KL_ATOL = 1e-6  # nats; a policy against itself
LOSS = dict(clip_low=0.2, clip_high=0.2, dual_clip=None, kl_in="reward", estimator="k1")
CREDIT = dict(kl_in="reward", estimator="k1", normalise=True, tis_cap=0.0)


def samples(n=8, seed=0):
    rng = np.random.default_rng(seed)

    def ids(low, high):
        return tuple(rng.integers(1, 400, rng.integers(low, high)).tolist())

    rows = []
    for i in range(n):
        reply = ids(2, 14)
        rows.append(Sample(ids(3, 12), reply, (-6.0,) * len(reply), float(i % 3)))
    return rows


def batch(mesh, microbatches=1, weights="sequence", rows=None):
    return device_batch(
        rows or samples(), mesh, microbatches=microbatches, multiple=32, weights=weights,
        max_length=256,
    )  # fmt: skip


def learner(mesh, updates=1, next_kl_coef=None):
    return Learner(
        over_mesh(CFG, mesh), optimizer(), partial(policy_loss, **LOSS),
        partial(compute_advantages, **CREDIT), temperature=1.0, block=64, updates=updates,
        next_kl_coef=next_kl_coef,
    )  # fmt: skip


def optimizer():
    return make_optimizer(lr=1e-2, warmup_steps=0, b1=0.9, b2=0.95, weight_decay=0.0, grad_clip=1e9)


def gradient(mesh, microbatches, weights, cfg=CFG):
    """The accumulated gradient itself, read off an SGD step of size one."""
    cfg = over_mesh(cfg, mesh)
    params = sharded_params(CFG, mesh)
    sgd = optax.sgd(1.0)
    state = init_state(params, sgd, mesh)
    update = make_update(
        cfg, losses.nll, sgd, temperature=1.0, block=16, state_sharding=shardings(state)
    )
    state, metrics = update(state, batch(mesh, microbatches, weights))
    after = jax.device_get(state.params)
    return jax.tree.map(lambda a, b: np.asarray(a) - b, jax.device_get(params), after), metrics


@pytest.fixture(scope="module")
def on_one_device():
    """By weights: (gradient, metrics) of one microbatch on one device."""
    return {kind: gradient(mesh_of(1, 1, 1), 1, kind) for kind in ("sequence", "token")}


@pytest.mark.parametrize("weights", ["sequence", "token"])
@pytest.mark.parametrize("microbatches", [2, slow(4), 8])
def test_microbatches_change_nothing(microbatches, weights, on_one_device):
    one, m_one = on_one_device[weights]
    many, m_many = gradient(mesh_of(1, 1, 1), microbatches, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=SUM_ATOL), one, many)
    for name in m_one:
        np.testing.assert_allclose(m_one[name], m_many[name], rtol=SUM_RTOL)


@pytest.mark.parametrize("shape", ALL_FACTORISATIONS)
def test_eight_devices_equal_one(shape, on_one_device):
    one, _ = on_one_device["sequence"]
    eight, _ = gradient(mesh_of(*shape), 1, "sequence")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=SUM_ATOL), one, eight)


@pytest.fixture(scope="module")
def half_on_one_device():
    return gradient(mesh_of(1, 1, 1), 2, "sequence", HALF)[0]


def apart(ours, theirs):
    """The largest difference of two gradients, of each parameter's largest entry."""

    def one(a, b):
        assert a.dtype == b.dtype == np.float32
        return float(np.abs(a - b).max() / np.abs(b).max())

    return max(jax.tree.leaves(jax.tree.map(one, ours, theirs)))


def test_half_precision_is_near(on_one_device, half_on_one_device):
    """As models of full size are trained: multiplied in bfloat16, kept and summed in float32."""
    assert HALF_RTOL / 10 < apart(half_on_one_device, on_one_device["sequence"][0]) < HALF_RTOL


@pytest.mark.parametrize("shape", [slow((8, 1, 1)), (1, 8, 1), slow((1, 1, 8)), (2, 2, 2)])
def test_half_precision_is_the_same_on_any_mesh(shape, half_on_one_device):
    other, _ = gradient(mesh_of(*shape), 2, "sequence", HALF)
    assert apart(other, half_on_one_device) < (TENSOR_RTOL if shape[2] > 1 else MESH_RTOL)


def test_sequence_and_token_weights_differ(on_one_device):
    (one, _), (other, _) = on_one_device.values()
    assert any(
        np.abs(a - b).max() > 1e-3
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_padding_rows_change_nothing():
    """Five rows on a mesh of eight row groups: three empty rows are added."""
    mesh, rows = mesh_of(1, 1, 1), samples(5)
    logp = make_logp(CFG, temperature=1.0, block=64)
    alone = np.asarray(logp(sharded_params(CFG, mesh), batch(mesh, 1, rows=rows)))
    eight = mesh_of(1, 8, 1)
    logp = make_logp(over_mesh(CFG, eight), temperature=1.0, block=64)
    padded = np.asarray(logp(sharded_params(CFG, eight), batch(eight, 1, rows=rows)))
    assert padded.shape[1] == 8 and not padded[0, 5:].any()
    np.testing.assert_allclose(alone[0], padded[0, :5], atol=LOGP_ATOL)
    assert float(batch(eight, 1, rows=rows).weight_BT.sum()) == pytest.approx(1, abs=WEIGHT_ATOL)


def changed(optimizer, cfg=CFG, mesh=None, least=0.0):
    """(metrics of an update, norm of what it changed, from the parameters before and after);
    ``least``: parameters nearer to 0 begin there."""
    mesh = mesh or mesh_of(1, 1, 1)
    params = sharded_params(cfg, mesh)
    params = jax.tree.map(lambda p: jnp.where(jnp.abs(p) < least, least, p).astype(p.dtype), params)
    state = init_state(params, optimizer, mesh)
    update = make_update(
        over_mesh(cfg, mesh), losses.nll, optimizer, temperature=1.0, block=64,
        state_sharding=shardings(state),
    )  # fmt: skip
    state, metrics = update(state, batch(mesh))
    sides = zip(*(jax.tree.leaves(jax.device_get(p)) for p in (params, state.params)), strict=True)
    squares = [np.square(np.float64(a) - np.float64(b)).sum() for a, b in sides]
    return metrics, np.sqrt(sum(squares))


STORED_IN_HALF = tiny_config(dtype=HALF.dtype, param_dtype=HALF.dtype)


@pytest.mark.parametrize("cfg", [CFG, STORED_IN_HALF], ids=["float32", "bfloat16"])
def test_change_norm_is_of_parameters_as_they_are_stored(cfg):
    metrics, want = changed(optax.sgd(1e-2), cfg)
    assert metrics["change_norm"] == pytest.approx(want, rel=SUM_RTOL)
    rounded_away = abs(want / (1e-2 * float(metrics["grad_norm"])) - 1)
    assert rounded_away > 1e-3 if cfg.param_dtype == HALF.dtype else rounded_away < 1e-4


def test_change_norm_is_the_same_on_a_mesh():
    metrics, want = changed(optax.sgd(1e-2), mesh=mesh_of(2, 2, 2))
    assert metrics["change_norm"] == pytest.approx(want, rel=SUM_RTOL)


@pytest.mark.parametrize("cfg", [CFG, STORED_IN_HALF], ids=["float32", "bfloat16"])
def test_an_update_that_is_rounded_away_has_changed_nothing(cfg):
    """Though it has a gradient, and the optimiser an update: 1e-12, far below a parameter's last
    bit, and whose square is far above the least float32."""
    metrics, want = changed(optax.chain(optax.sgd(1e-2), optax.clip(1e-12)), cfg, least=1e-3)
    assert metrics["grad_norm"] > 0.1
    assert (float(metrics["change_norm"]), want) == (0, 0)


def test_state_and_batch_carry_named_shardings():
    mesh = mesh_of(1, 4, 2)
    state = init_state(sharded_params(CFG, mesh), optimizer(), mesh)
    for leaf in jax.tree.leaves(state) + jax.tree.leaves(batch(mesh)):
        assert isinstance(leaf.sharding, jax.sharding.NamedSharding)
        assert leaf.sharding.mesh.shape == mesh.shape
    mu = [x for x in jax.tree.leaves(state.opt_state) if x.shape == (2, 16, 32)]
    assert mu and all(x.addressable_shards[0].data.shape == (2, 4, 16) for x in mu)
    assert batch(mesh).token_BT.addressable_shards[0].data.shape[1] == 2


def test_rewarded_text_becomes_likelier_and_the_reference_stays():
    mesh = mesh_of(1, 1, 1)
    params = sharded_params(CFG, mesh)
    rows = samples(8)
    logp = make_logp(CFG, temperature=1.0, block=64)
    b = batch(mesh, rows=rows)
    before = np.asarray(logp(params, b)).sum(-1)[0]
    state = init_state(params, optimizer(), mesh)
    one = learner(mesh)
    for _ in range(5):
        state, metrics = one.learn(state, None, params, b)
    after = np.asarray(logp(state.params, b)).sum(-1)[0]
    change = after - before
    reward = np.array([s.advantage for s in rows])
    assert change[reward == 2].mean() > 0.5 > -0.5 > change[reward == 0].mean()
    assert float(metrics["kl"]) > 0
    np.testing.assert_array_equal(np.asarray(logp(params, b)).sum(-1)[0], before)  # not donated


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("reward", [0.1, 0.35, 1 / 3])
def test_equal_rewards_change_no_parameter(shape, reward):
    mesh = mesh_of(*shape)
    params = sharded_params(CFG, mesh)
    rows = [dataclasses.replace(row, advantage=reward) for row in samples()]
    state, metrics = learner(mesh).learn(
        init_state(params, optimizer(), mesh), None, params, batch(mesh, 2, rows=rows)
    )
    assert float(metrics["grad_norm"]) == float(metrics["change_norm"]) == 0
    for after, before in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)])
def test_a_second_step_compiles_nothing(shape):
    mesh = mesh_of(*shape)
    params = sharded_params(CFG, mesh)
    one = learner(mesh, updates=2)
    state = init_state(params, optimizer(), mesh)
    state, _ = one.learn(state, None, params, batch(mesh, 2))
    sizes = [
        f._cache_size() for f in (one._logp, one._update, one._compute_advantages, one._measure)
    ]
    state, _ = one.learn(state, None, params, batch(mesh, 2, rows=samples(8, seed=1)))
    assert sizes == [
        f._cache_size() for f in (one._logp, one._update, one._compute_advantages, one._measure)
    ]
    assert sizes[1] == 1


def test_gap_is_what_the_sampler_said_against_what_the_trainer_says():
    mesh = mesh_of(1, 1, 1)
    params = sharded_params(CFG, mesh)
    b = batch(mesh)
    truth = np.asarray(make_logp(CFG, temperature=1.0, block=64)(params, b))
    action = np.asarray(b.action_BT)
    _, metrics = learner(mesh).learn(init_state(params, optimizer(), mesh), None, params, b)
    gap = np.abs(truth + 6.0)[action]
    np.testing.assert_allclose(metrics["gap_max"], gap.max(), rtol=GAP_RTOL)
    np.testing.assert_allclose(metrics["gap_mean"], gap.mean(), rtol=GAP_RTOL)
    np.testing.assert_allclose(metrics["kl"], 0, atol=KL_ATOL)


def test_the_coefficient_follows_the_kl_and_penalises():
    """From the second step on there is a KL to the first policy; the target is far below it."""
    mesh = mesh_of(1, 1, 1)
    params = sharded_params(CFG, mesh)
    b = batch(mesh)
    one = learner(mesh, next_kl_coef=partial(adaptive_coefficient, target=1e-6, gain=0.5))
    state, first = one.learn(init_state(params, optimizer(), mesh, 0.2), None, params, b)
    _, second = one.learn(state, None, params, b)
    # No KL at first: 20 % below the target. Then far above it.
    assert [float(first["beta"]), float(second["beta"])] == pytest.approx([0.2, 0.18])
    assert float(second["kl"]) > 1e-6
    ends = []
    for beta in (0.0, 5.0):
        state, _ = one.learn(init_state(params, optimizer(), mesh, 0.2), None, params, b)
        held, _ = learner(mesh).learn(state._replace(beta=jnp.float32(beta)), None, params, b)
        ends.append(np.asarray(held.params["embed"]))
    assert held.beta == 5 and not np.array_equal(*ends)


def test_a_row_longer_than_the_model_is_refused():
    with pytest.raises(ValueError, match="positions end at 256"):
        batch(mesh_of(1, 1, 1), rows=[Sample((1,) * 200, (2,) * 100, (0.0,) * 100, 0.0)])


def test_uneven_axes_stay_whole():
    mesh = mesh_of(1, 8, 1)
    cfg = tiny_config(width=20, vocab_size=404)
    where = sharding.params_sharding(mesh, sharded_params(cfg, mesh_of(1, 1, 1)))
    assert where["embed"].spec == jax.sharding.PartitionSpec("tensor", None)


def lora_setup(mesh, cfg=CFG):
    from waltzjax.model.lora import Lora, attach, init_adapter

    form = Lora(2, 8.0, ("q", "down"))
    adapter = init_adapter(cfg, form, jax.random.key(5))
    adapter = jax.device_put(adapter, sharding.params_sharding(mesh, adapter))
    return adapter, lambda base, a: attach(base, a, form.scale)


def adapter_step(mesh, cfg=CFG, *, microbatches=1, seed=0):
    """One unit step of SGD on an adapter: (what changed, metrics)."""
    base = sharded_params(cfg, mesh)
    adapter, merge = lora_setup(mesh, cfg)
    kept = jax.device_get(base)
    sgd = optax.sgd(1.0)
    state = init_state(adapter, sgd, mesh)
    update = make_update(
        over_mesh(cfg, mesh), losses.nll, sgd, temperature=1.0, block=16,
        state_sharding=shardings(state), merge=merge, seed=seed,
    )  # fmt: skip
    state, metrics = update(state, batch(mesh, microbatches), base)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(base), kept)  # frozen, not donated
    before, after = jax.device_get(adapter), jax.device_get(state.params)
    return jax.tree.map(lambda a, b: np.asarray(a) - b, before, after), metrics


def test_an_adapter_learns_beside_its_frozen_base(on_one_device):
    """B starts at zero, so that of the two factors only B has a gradient: scale A^T dL/dW."""
    mesh = mesh_of(1, 1, 1)
    change, _ = adapter_step(mesh)
    full, _ = on_one_device["sequence"]
    adapter, _ = lora_setup(mesh)
    for name in ("q", "down"):
        a_LIR = np.asarray(adapter["layers"][name]["lora_a"])
        want = 4.0 * a_LIR.swapaxes(1, 2) @ full["layers"][name]["kernel"]
        got = change["layers"][name]
        np.testing.assert_allclose(got["lora_b"], want, atol=SUM_ATOL)
        assert np.abs(want).max() > 100 * SUM_ATOL and not got["lora_a"].any()


@pytest.mark.parametrize(
    ("shape", "microbatches"), [((1, 8, 1), 1), ((2, 2, 2), 1), ((1, 1, 1), 4)]
)
def test_adapters_on_any_mesh_in_any_microbatches(shape, microbatches):
    one, m_one = adapter_step(mesh_of(1, 1, 1))
    other, m_other = adapter_step(mesh_of(*shape), microbatches=microbatches)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=SUM_ATOL), one, other)
    np.testing.assert_allclose(m_one["loss"], m_other["loss"], rtol=SUM_RTOL)


@pytest.mark.parametrize("dropout", [0.0, 0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("updates", [1, 3])
def test_reinforcement_updates_the_policy_that_was_scored(dropout, updates):
    """Without the dropout of adapters: at the first update every ratio is 1 and the KL 0."""
    cfg, mesh = tiny_config(lora_dropout=dropout), mesh_of(1, 1, 1)
    base = sharded_params(CFG, mesh)
    adapter, merge = lora_setup(mesh, cfg)
    adapter = jax.tree.map(lambda x: x + 0.1, adapter)  # B is not zero: dropout would be seen

    def loss(logp_BT, batch):
        ratio = jnp.where(batch.action_BT, jnp.exp(logp_BT - batch.old_logp_BT), 1)
        total, metrics = policy_loss(logp_BT, batch, **LOSS)
        return total, {**metrics, "off": jnp.abs(ratio - 1).max()}

    sgd = optax.sgd(0.0)  # later updates are of the same policy
    one = Learner(
        cfg, sgd, loss, partial(compute_advantages, **CREDIT), temperature=0.6, block=64,
        updates=updates, merge=merge,
    )  # fmt: skip
    _, metrics = one.learn(init_state(adapter, sgd, mesh), base, merge(base, adapter), batch(mesh))
    assert metrics["off"] < 1e-5 and metrics["clip_fraction"] == 0
    assert metrics["kl"] == metrics["kl_k1"] == 0 < metrics["grad_norm"]


def test_dropout_of_adapters_follows_the_seed():
    cfg, mesh = tiny_config(lora_dropout=0.5), mesh_of(1, 1, 1)
    b = {
        seed: adapter_step(cfg=cfg, mesh=mesh, seed=seed)[0]["layers"]["q"]["lora_b"]
        for seed in (0, 1)
    }
    again = adapter_step(cfg=cfg, mesh=mesh, seed=0)[0]["layers"]["q"]["lora_b"]
    np.testing.assert_array_equal(b[0], again)
    plain = adapter_step(mesh)[0]["layers"]["q"]["lora_b"]
    assert np.abs(b[0] - b[1]).max() > 100 * SUM_ATOL < np.abs(b[0] - plain).max()
