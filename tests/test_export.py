"""An adapter merged into its base says what both say together."""

import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
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


def spoil_alpha(where, value):
    path = where / "agent/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": value}))


def spoil_tensor(path, part, value=math.nan):
    arrays = load_file(path)
    name = next(name for name in arrays if part in name)
    arrays[name].flat[0] = value
    save_file(arrays, path)


def spoil_sum(where):
    """Each number is finite, but not W + scale A B."""
    spoil_alpha(where, 3e38)
    for part in ("v_proj.lora_A", "v_proj.lora_B"):
        spoil_tensor(where / "agent/adapter_model.safetensors", part, 1e3)


SPOILT = {
    "alpha NaN": (lambda where: spoil_alpha(where, math.nan), "adapter_config.json: .*lora_alpha"),
    "alpha infinite": (lambda where: spoil_alpha(where, math.inf), "_config.json: .*lora_alpha"),
    "alpha true": (
        lambda where: spoil_alpha(where, True),
        "adapter_config.json: .*lora_alpha=True",
    ),
    "adapter": (
        lambda where: spoil_tensor(where / "agent/adapter_model.safetensors", "v_proj.lora_A"),
        "adapter_model.safetensors: .*v_proj.lora_A.weight: NaN",
    ),
    "base": (
        lambda where: spoil_tensor(where / "base/model.safetensors", "mlp.up_proj"),
        "model.safetensors: .*mlp.up_proj.weight: NaN",
    ),
    "their sum": (spoil_sum, "model.safetensors: .*v_proj.weight: NaN or infinite"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_numbers_that_are_not_finite_are_named_and_nothing_is_written(agent, tmp_path, spoil, says):
    where = tmp_path / "models"
    shutil.copytree(agent[0].parent, where)
    spoil(where)
    path = where / "agent/adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": str(where / "base")}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=says):
        export(where / "agent", tmp_path / "new", "")
    assert not (tmp_path / "new").exists()
