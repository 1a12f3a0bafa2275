"""An adapter merged into its base says what both say together."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from support import mesh_of, tiny_chat, tiny_config

from waltzjax.export import export
from waltzjax.model import hf, hf_config, hf_files, peft, transformer
from waltzjax.model.lora import Lora, attach, init_adapter

FORM = Lora(4, 8.0, ("q", "v", "down"))
HIDDEN_ATOL = 2e-5  # of hidden states of order 1: two products in float32 against one


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def agent(request, tmp_path_factory):
    """(adapter's directory, base parameters, adapter, the base's type)."""
    where = tmp_path_factory.mktemp("models")
    tokenizer = tiny_chat().tokenizer
    cfg = tiny_config(vocab_size=len(tokenizer), param_dtype=jnp.dtype(request.param))
    params = transformer.init_params(cfg, jax.random.key(0))
    hf.save(where / "base", cfg, params, tokenizer, generation={})
    adapter = init_adapter(cfg, FORM, jax.random.key(1))
    noise = np.random.default_rng(2)
    for low_rank in adapter["layers"].values():
        shape = low_rank["lora_b"].shape
        low_rank["lora_b"] = jnp.asarray(noise.normal(scale=0.1, size=shape), jnp.float32)
    peft.save_adapter(where / "agent", adapter, FORM, str(where / "base"), dropout=0.0)
    return where / "agent", params, adapter, request.param


def states(directory, params=None):
    cfg = hf_config.read_config(directory)
    if params is None:
        params = hf.load_params(directory, cfg, mesh_of(1, 1, 1))
    token_BT = np.random.default_rng(0).integers(0, cfg.vocab_size, (2, 9))
    return np.asarray(transformer.hidden_states(cfg, params, token_BT, jnp.array([9, 9])))


def test_it_says_what_base_and_adapter_say(agent, tmp_path):
    directory, params, adapter, kind = agent
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    want = states(directory.parent / "base", attach(wide, adapter, FORM.scale))
    assert np.abs(want - states(directory.parent / "base")).max() > 100 * HIDDEN_ATOL
    export(directory, tmp_path / "whole", "float32")
    np.testing.assert_allclose(states(tmp_path / "whole"), want, rtol=0, atol=HIDDEN_ATOL)
    export(directory, tmp_path / "kept", "")
    assert json.loads((tmp_path / "kept/config.json").read_text())["dtype"] == kind
    export(tmp_path / "whole", tmp_path / "half", "bfloat16")
    assert hf_files.stored_dtype(tmp_path / "half") == "bfloat16"
    half, whole = (load_file(tmp_path / d / "model.safetensors") for d in ("half", "whole"))
    for name, array in whole.items():
        np.testing.assert_array_equal(half[name], array.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"agent": "base"}, "--agent: .* is a whole model .* give --dtype"),
        ({"output": "base"}, "--output: .* there already"),
    ],
)
def test_mistakes_write_nothing(agent, change, says, tmp_path):
    where = agent[0].parent
    given = {"agent": "agent", "output": "new", "dtype": ""} | change
    with pytest.raises((ValueError, FileExistsError), match=says):
        export(where / given["agent"], where / given["output"], given["dtype"])
    assert not (where / "new").exists()
