"""Partition rules, mesh errors, and equal numbers on eight emulated devices."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from waltzjax.model import sharding, transformer
from waltzjax.model.architecture import ModelConfig

CFG = ModelConfig(
    vocab_size=96,
    width=32,
    mlp_width=48,
    layers=2,
    heads=8,
    kv_heads=4,
    head_dim=8,
    max_positions=64,
    tied_embeddings=False,
    init_scale=0.15,
)
hidden_states = jax.jit(transformer.hidden_states, static_argnums=0)
init_params = jax.jit(transformer.init_params, static_argnums=0)
# Of every parameter the shape that one device must hold.
SHARDS = {
    (2, 2, 2): {
        "embed": (48, 16),
        "unembed": (48, 16),
        "final_norm/scale": (32,),
        "layers/attn_norm/scale": (2, 32),
        "layers/mlp_norm/scale": (2, 32),
        "layers/q/kernel": (2, 16, 32),
        "layers/k/kernel": (2, 16, 16),
        "layers/v/kernel": (2, 16, 16),
        "layers/o/kernel": (2, 32, 16),
        "layers/gate/kernel": (2, 16, 24),
        "layers/up/kernel": (2, 16, 24),
        "layers/down/kernel": (2, 24, 16),
    },
    (1, 8, 1): {
        "embed": (96, 4),
        "unembed": (96, 4),
        "final_norm/scale": (32,),
        "layers/attn_norm/scale": (2, 32),
        "layers/mlp_norm/scale": (2, 32),
        "layers/q/kernel": (2, 4, 64),
        "layers/k/kernel": (2, 4, 32),
        "layers/v/kernel": (2, 4, 32),
        "layers/o/kernel": (2, 64, 4),
        "layers/gate/kernel": (2, 4, 48),
        "layers/up/kernel": (2, 4, 48),
        "layers/down/kernel": (2, 48, 4),
    },
}

ROUNDING = 1e-5  # of hidden states of order 1, summed in another order by the mesh


def abstract(cfg=CFG):
    return jax.eval_shape(lambda: transformer.init_params(cfg, jax.random.key(0)))


def by_name(tree) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {sharding.path_name(path): leaf for path, leaf in leaves}


@pytest.mark.parametrize("shape", SHARDS)
def test_numbers_and_shards_on_eight_devices(shape):
    mesh = sharding.make_mesh(shape)
    params = init_params(CFG, jax.random.key(0))
    token_BT = jax.random.randint(jax.random.key(1), (8, 20), 0, CFG.vocab_size)
    length_B = jnp.array([20, 1, 7, 20, 13, 19, 2, 20])
    want = hidden_states(CFG, params, token_BT, length_B)

    split = jax.device_put(params, sharding.params_sharding(mesh, params))
    for name, leaf in by_name(split).items():
        held = {s.data.shape for s in leaf.addressable_shards}
        assert held == {SHARDS[shape][name]}, name
        assert len(leaf.addressable_shards) == 8
    rows = sharding.rows_sharding(mesh)
    got = hidden_states(CFG, split, *jax.device_put((token_BT, length_B), rows))
    assert len(got.sharding.device_set) == 8
    real_BT = jnp.arange(20) < length_B[:, None]
    np.testing.assert_allclose(np.asarray(got)[real_BT], want[real_BT], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_covered_once(tied):
    names = by_name(abstract(dataclasses.replace(CFG, tied_embeddings=tied)))
    assert len(names) == 11 + (not tied)
    for name, leaf in names.items():
        assert len(sharding.spec_for(name)) <= leaf.ndim
        assert sum(bool(re.search(pattern, name)) for pattern, _ in sharding.RULES) == 1


def test_an_unknown_parameter_is_named():
    params = abstract() | {"value_head": {"kernel": jax.ShapeDtypeStruct((32, 1), jnp.float32)}}
    with pytest.raises(ValueError, match="value_head/kernel"):
        sharding.params_sharding(sharding.make_mesh((1, 1, 1)), params)


def test_an_axis_that_does_not_divide_stays_whole():
    cfg = dataclasses.replace(CFG, vocab_size=97)  # a prime: no tensor axis divides it
    specs = by_name(sharding.params_sharding(sharding.make_mesh((1, 2, 4)), abstract(cfg)))
    assert specs["embed"].spec == P(None, "fsdp")
    assert specs["layers/q/kernel"].spec == P(None, "fsdp", "tensor")


def test_mesh_sizes():
    assert dict(sharding.make_mesh((1, -1, 2)).shape) == {"data": 1, "fsdp": 4, "tensor": 2}
    assert sharding.make_mesh((-1, 1, 1), jax.devices()[:1]).size == 1
    assert sharding.row_groups(sharding.make_mesh((2, 2, 2))) == 4
    with pytest.raises(ValueError, match=r"config\.mesh.*needs 16 devices, 8 cpu at hand"):
        sharding.make_mesh((2, 4, 2))
    with pytest.raises(ValueError, match="needs 16 devices, 8 cpu at hand"):
        sharding.make_mesh((-1, 16, 1))


@pytest.mark.parametrize("shape", [(8,), (2, 2), (1, 0, 8), (-1, -1, 1), (1, -2, 1), (1, 1, 1, 1)])
def test_mesh_shapes_that_mean_nothing(shape):
    with pytest.raises(ValueError, match=r"config\.mesh: got .* expected three positive sizes"):
        sharding.make_mesh(shape)


def test_rows_lie_over_data_and_fsdp():
    mesh = sharding.make_mesh((2, 2, 2))
    array = jax.device_put(jnp.zeros((3, 8, 5)), sharding.rows_sharding(mesh, leading=1))
    assert {s.data.shape for s in array.addressable_shards} == {(3, 2, 5)}
    array = jax.device_put(jnp.zeros((8, 5)), sharding.rows_sharding(mesh))
    assert {s.data.shape for s in array.addressable_shards} == {(2, 5)}
    array = jax.device_put(jnp.zeros((8, 5)), sharding.replicated(mesh))
    assert {s.data.shape for s in array.addressable_shards} == {(8, 5)}
