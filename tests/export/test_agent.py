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
from tokenizer_forms import write_form
from transformers import AutoTokenizer

from waltzjax.data.chat import stop_ids
from waltzjax.export.agent import export_agent
from waltzjax.model import transformer
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import files, peft, weights
from waltzjax.model.hf.tokenizer import generation_settings
from waltzjax.model.lora import Lora, attach, init_adapter
from waltzjax.run.runtime import load_tokenizer

SETTINGS = {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.05}
FORM = Lora(4, 8.0, ("q", "v", "down"))
HIDDEN_ATOL = 2e-5  # of hidden states of order 1: two products in float32 against one


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def agent(request, tmp_path_factory):
    """(adapter's directory, base parameters, adapter, the base's type)."""
    where = tmp_path_factory.mktemp("models")
    tokenizer = tiny_chat().tokenizer
    cfg = tiny_config(vocab_size=len(tokenizer), param_dtype=jnp.dtype(request.param))
    params = transformer.init_params(cfg, jax.random.key(0))
    weights.save(where / "base", cfg, params, tokenizer, generation={})
    adapter = init_adapter(cfg, FORM, jax.random.key(1))
    noise = np.random.default_rng(2)
    for low_rank in adapter["layers"].values():
        shape = low_rank["lora_b"].shape
        low_rank["lora_b"] = jnp.asarray(noise.normal(scale=0.1, size=shape), jnp.float32)
    peft.save_adapter(
        where / "agent", adapter, FORM, str(where / "base"), dropout=0.0, tokenizer=tokenizer,
        generation={},
    )  # fmt: skip
    return where / "agent", params, adapter, request.param


def states(directory, params=None):
    cfg = hf_config.read_config(directory)
    if params is None:
        params = weights.load_params(directory, cfg, mesh_of(1, 1, 1))
    token_BT = np.random.default_rng(0).integers(0, cfg.vocab_size, (2, 9))
    return np.asarray(transformer.hidden_states(cfg, params, token_BT, jnp.array([9, 9])))


def test_it_says_what_base_and_adapter_say(agent, tmp_path):
    directory, params, adapter, kind = agent
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    want = states(directory.parent / "base", attach(wide, adapter, FORM.scale))
    assert np.abs(want - states(directory.parent / "base")).max() > 100 * HIDDEN_ATOL
    export_agent(directory, tmp_path / "whole", "float32")
    np.testing.assert_allclose(states(tmp_path / "whole"), want, rtol=0, atol=HIDDEN_ATOL)
    export_agent(directory, tmp_path / "kept", "")
    assert json.loads((tmp_path / "kept/config.json").read_text())["dtype"] == kind
    export_agent(tmp_path / "whole", tmp_path / "half", "bfloat16")
    assert files.stored_dtype(tmp_path / "half") == "bfloat16"
    half, whole = (load_file(tmp_path / d / "model.safetensors") for d in ("half", "whole"))
    for name, array in whole.items():
        np.testing.assert_array_equal(half[name], array.astype(jnp.bfloat16))


@pytest.fixture
def half(tmp_path):
    """(base's directory, an adapter's of it): float16, with settings, digits of their own."""
    base = tmp_path / "base"
    cfg = tiny_config(param_dtype=jnp.dtype("float16"))
    params = transformer.init_params(cfg, jax.random.key(0))
    weights.save(base, cfg, params, tiny_chat().tokenizer, generation={})
    write_form(base, "llama, GPT-2's class, single digits")
    (base / "config.json").write_text(json.dumps(hf_config.config_json(cfg, "float16")))
    (base / "generation_config.json").write_text(json.dumps(SETTINGS | {"eos_token_id": 7}))
    peft.save_adapter(
        tmp_path / "agent", init_adapter(cfg, FORM, jax.random.key(1)), FORM, str(base),
        dropout=0.0, tokenizer=load_tokenizer(base), generation=generation_settings(base, (7, 9)),
    )  # fmt: skip
    return base, tmp_path / "agent"


def test_an_adapter_is_served_by_itself(half):
    base, agent = half
    settings = json.loads((agent / "generation_config.json").read_text())
    assert settings == {"do_sample": True, **SETTINGS, "eos_token_id": [7, 9]}
    mine, bases = AutoTokenizer.from_pretrained(agent), load_tokenizer(base)
    assert mine("12345")["input_ids"] == bases("12345")["input_ids"]
    assert len(mine("12345")["input_ids"]) == 5
    assert mine.chat_template == bases.chat_template and mine.eos_token == bases.eos_token


def test_what_is_merged_keeps_type_settings_and_tokenizer(half, tmp_path):
    base, agent = half
    export_agent(agent, out := tmp_path / "out", "")
    assert files.stored_dtype(out) == "float16"
    assert json.loads((out / "config.json").read_text())["dtype"] == "float16"
    arrays, given = (load_file(d / "model.safetensors") for d in (out, base))
    for name, array in given.items():  # a fresh adapter changes nothing
        np.testing.assert_array_equal(arrays[name], array)
    settings = json.loads((out / "generation_config.json").read_text())
    assert SETTINGS.items() <= settings.items()
    assert settings["eos_token_id"] == list(stop_ids(load_tokenizer(base), base))
    for tokenizer in (AutoTokenizer.from_pretrained(out), load_tokenizer(out)):
        assert tokenizer("12345")["input_ids"] == load_tokenizer(base)("12345")["input_ids"]


@pytest.mark.parametrize("name", ["qwen2, DeepSeek's", "llama, byte level"])
def test_what_others_will_misread_is_noted(name, half, tmp_path, capsys):
    base, _ = half
    write_form(tmp_path / "form", name)
    (tmp_path / "form/tokenizer.json").replace(base / "tokenizer.json")
    kind = name.partition(",")[0]
    cfg = tiny_config(model_type=kind, param_dtype=jnp.dtype("float16"))
    (base / "config.json").write_text(json.dumps(hf_config.config_json(cfg, "float16")))
    if kind == "qwen2":  # which has biases
        arrays = load_file(base / "model.safetensors")
        for layer in range(cfg.layers):
            for part, heads in (("q", cfg.heads), ("k", cfg.kv_heads), ("v", cfg.kv_heads)):
                bias = f"model.layers.{layer}.self_attn.{part}_proj.bias"
                arrays[bias] = np.zeros(heads * cfg.head_dim, np.float16)
        save_file(arrays, base / "model.safetensors")
    export_agent(base, tmp_path / "out", "float32")
    noted = "PreTrainedTokenizerFast.from_pretrained" in capsys.readouterr().out
    assert noted == (kind == "qwen2")


@pytest.mark.parametrize(
    ("kinds", "right"),
    [
        (["float16"], "float16"), (["bfloat16"], "bfloat16"), (["float32"], "float32"),
        (["float16", "bfloat16"], "float32"), (["float16", "float32"], "float32"),
        (["float64"], "float32"),
    ],
)  # fmt: skip
def test_the_type_kept_is_that_of_the_files(kinds, right, tmp_path):
    arrays = {f"w{i}": np.ones(2).astype(jnp.dtype(kind)) for i, kind in enumerate(kinds)}
    derived = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    save_file(arrays | derived, tmp_path / "model.safetensors")
    assert files.stored_dtype(tmp_path) == right


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
        export_agent(where / given["agent"], where / given["output"], given["dtype"])
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
        export_agent(where / "agent", tmp_path / "new", "")
    assert not (tmp_path / "new").exists()
