"""The digest of weights tells models apart, and knows one again on any mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import FACTORISATIONS, mesh_of, sharded_params, tiny_config

from waltzjax.model.digest import weights_digest

CFG = tiny_config()


@pytest.fixture(scope="module")
def params():
    return sharded_params(CFG, mesh_of(1, 1, 1))


def test_the_mesh_does_not_matter(params):
    wanted = weights_digest(params)
    for shape in FACTORISATIONS[::3]:
        assert weights_digest(sharded_params(CFG, mesh_of(*shape))) == wanted
    assert weights_digest(jax.tree.map(lambda x: x + 0, params)) == wanted


def with_embed(change):
    return lambda params: {**params, "embed": change(params["embed"])}


def kernel(change):
    def changed(params):
        layers = dict(params["layers"])
        layers["up"] = {"kernel": change(layers["up"]["kernel"])}
        return {**params, "layers": layers}

    return changed


OTHERS = {
    "the last bit of one number": with_embed(
        lambda x: x.at[399, 15].set(np.nextafter(np.float32(x[399, 15]), np.float32(9)))
    ),
    "a sign": with_embed(lambda x: x.at[0, 0].multiply(-1)),
    "two numbers swapped": with_embed(lambda x: x.at[3, 2].set(x[2, 3]).at[2, 3].set(x[3, 2])),
    "two rows swapped": with_embed(lambda x: x.at[:2].set(x[1::-1])),
    "one up, one down": with_embed(lambda x: x.at[5, 5].add(0.5).at[6, 6].add(-0.5)),
    "layers swapped": kernel(lambda x: x[::-1]),
    "all zero": kernel(jnp.zeros_like),
    "another type": with_embed(lambda x: x.astype(jnp.bfloat16)),
    "another shape": with_embed(lambda x: x[:-1]),
    "another name": lambda params: {
        "head" if key == "embed" else key: value for key, value in params.items()
    },
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_any_other_number_place_name_or_type_does(params, change, kind):
    mine = jax.tree.map(lambda x: x.astype(kind), params)
    if kind == "bfloat16":
        mine = {**mine, "embed": params["embed"]}
    assert weights_digest(change(mine)) != weights_digest(mine)
