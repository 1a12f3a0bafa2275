"""Hugging Face directories there and back, with transformers on torch as the reference."""

import copy
import dataclasses
import json
import re
import shutil
import tracemalloc
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from waltzjax.model import sharding, transformer
from waltzjax.model.architecture import ModelConfig, RopeScaling
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import files as hf_files
from waltzjax.model.hf import weights as hf_weights
from waltzjax.toy.base_model import train_tokenizer

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
ROPES = {
    "default": {},
    "theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
    "llama3": {"rope_parameters": LLAMA3 | {"rope_theta": 500_000.0, "factor": 32.0}},
}
# Jitted with a static config: called eagerly, the scan compiles anew at every call.
hidden_states = jax.jit(transformer.hidden_states, static_argnums=0)
init = jax.jit(transformer.init_params, static_argnums=0)
FEW = 6  # as read, as a type, stacked, and what tracing programs takes
LENGTHS = (320, 301, 47)
LOGITS_ATOL = 1e-4  # logits of order 1, against another implementation in float32
CFG = ModelConfig(
    vocab_size=300,
    width=32,
    mlp_width=48,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    max_positions=512,
    rope_theta=5000.0,
    rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64),
    norm_eps=1e-3,
    tied_embeddings=False,
    init_scale=0.15,
)


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh((1, 1, 1))


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["safe answers are useful answers"], CFG.vocab_size)


@pytest.fixture(scope="module")
def params():
    return randomised(CFG)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, params, tokenizer):
    directory = tmp_path_factory.mktemp("models") / "new" / "model"
    hf_weights.save(
        directory, CFG, params, tokenizer, generation={"temperature": 0.7, "do_sample": True}
    )
    return directory


@pytest.fixture
def copied(tmp_path, saved):
    return shutil.copytree(saved, tmp_path / "model")


@partial(jax.jit, static_argnums=0)
def randomised(cfg, seed: int = 0):
    """Random parameters whose norm scales are not all one and whose queries are not the keys."""
    params = transformer.init_params(cfg, jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    pairs = zip(keys, leaves, strict=True)
    noise = [0.1 * jax.random.normal(k, a.shape, a.dtype) for k, a in pairs]
    return jax.tree.unflatten(tree, [a + n for a, n in zip(leaves, noise, strict=True)])


def torch_logits(model, token_BT, length_B) -> np.ndarray:
    import torch

    at = torch.arange(token_BT.shape[1])[None]
    mask = (at < torch.tensor(length_B)[:, None]).long()
    position = at.expand(len(length_B), -1)
    with torch.no_grad():
        out = model(torch.tensor(token_BT), attention_mask=mask, position_ids=position)
    return out.logits.float().numpy()


def logits(cfg, params, token_BT, length_B) -> np.ndarray:
    h_BTD = hidden_states(cfg, params, token_BT, jnp.array(length_B))
    return np.asarray(h_BTD) @ np.asarray(transformer.unembedding(params)).T


def assert_equal_logits(cfg, params, model):
    token_BT = np.random.default_rng(0).integers(0, cfg.vocab_size, (len(LENGTHS), max(LENGTHS)))
    want = torch_logits(model, token_BT, LENGTHS)
    got = logits(cfg, params, token_BT, LENGTHS)
    for row, n in enumerate(LENGTHS):
        assert np.abs(want[row, :n]).max() > 0.5
        np.testing.assert_allclose(got[row, :n], want[row, :n], rtol=0, atol=LOGITS_ATOL)


@pytest.mark.parametrize("name", ROPES)
def test_transformers_4_spelling_means_the_same(name, tmp_path):
    five = {"model_type": "llama", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48}
    five |= {"num_hidden_layers": 2, "num_attention_heads": 4, **ROPES[name]}
    four = dict(five)
    rope = dict(four.pop("rope_parameters", {}))
    four["rope_theta"] = rope.pop("rope_theta", 10_000.0)
    four["rope_scaling"] = rope or None
    configs = []
    for config in (five, four):
        (tmp_path / "config.json").write_text(json.dumps(config))
        configs.append(hf_config.read_config(tmp_path))
    assert configs[0] == configs[1]
    assert (configs[0].rope_scaling is not None) == (name == "llama3")


def test_read_config_fields(saved):
    assert hf_config.read_config(saved) == dataclasses.replace(
        CFG, dtype=np.dtype("float32"), param_dtype=np.dtype("float32"), init_scale=0.02
    )
    cfg = hf_config.read_config(saved, dtype="bfloat16", param_dtype="bfloat16", remat="dots")
    assert cfg.dtype == cfg.param_dtype == jnp.bfloat16 and cfg.remat == "dots"


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_saved_directory_in_torch(tied, tmp_path, tokenizer):
    pytest.importorskip("torch", reason="torch is the reference implementation")
    import transformers

    cfg = dataclasses.replace(CFG, tied_embeddings=tied)
    params = randomised(cfg)
    directory = tmp_path / "model"
    hf_weights.save(
        directory, cfg, params, tokenizer, generation={"temperature": 0.7, "do_sample": True}
    )
    model, notes = transformers.AutoModelForCausalLM.from_pretrained(
        directory, output_loading_info=True
    )
    assert not any(notes.values()), notes
    assert_equal_logits(cfg, params, model.eval())
    ids = (None, tokenizer.eos_token_id, tokenizer.pad_token_id)
    for settings in (model.config, model.generation_config):
        got = (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id)
        assert got == ids
    assert model.generation_config.temperature == 0.7
    again = transformers.AutoTokenizer.from_pretrained(directory)
    messages = [{"role": "user", "content": "are answers safe?"}]
    assert again.apply_chat_template(messages) == tokenizer.apply_chat_template(messages)


def test_bfloat16_stays_bfloat16(tmp_path, tokenizer, mesh):
    cfg = dataclasses.replace(CFG, param_dtype=jnp.bfloat16, dtype=jnp.bfloat16)
    params = randomised(cfg)
    hf_weights.save(tmp_path / "model", cfg, params, tokenizer, generation={})
    with safe_open(tmp_path / "model" / "model.safetensors", "numpy") as file:
        assert {file.get_slice(k).get_dtype() for k in file.keys()} == {"BF16"}  # noqa: SIM118
    read = hf_config.read_config(tmp_path / "model", dtype="bfloat16", param_dtype="bfloat16")
    again = hf_weights.load_params(tmp_path / "model", read, mesh)
    assert all(a.dtype == jnp.bfloat16 for a in jax.tree.leaves(again))
    jax.tree.map(np.testing.assert_array_equal, again, params)
    torch = pytest.importorskip("torch", reason="torch is the reference implementation")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.bfloat16
    wide = hf_config.read_config(
        tmp_path / "model"
    )  # read as float32, for numbers that can be compared
    assert_equal_logits(wide, hf_weights.load_params(tmp_path / "model", wide, mesh), model.float())


def test_large_models_are_split_into_files(tmp_path, params, tokenizer, mesh, monkeypatch):
    monkeypatch.setattr(hf_weights, "SHARD_BYTES", 30_000)
    directory = tmp_path / "model"
    hf_weights.save(directory, CFG, params, tokenizer, generation={})
    files = sorted(directory.glob("*.safetensors"))
    assert len(files) > 3 and files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((directory / hf_weights.INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(a.nbytes for a in jax.tree.leaves(params))
    held = {name: f.name for f in files for name in load_file(f)}
    assert held == index["weight_map"]
    for file in files:  # only a single tensor may be above the limit
        sizes = [a.nbytes for a in load_file(file).values()]
        assert sum(sizes) <= 30_000 or len(sizes) == 1
    again = hf_weights.load_params(directory, hf_config.read_config(directory), mesh)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    pytest.importorskip("torch", reason="torch is the reference implementation")
    from transformers import AutoModelForCausalLM

    assert_equal_logits(CFG, params, AutoModelForCausalLM.from_pretrained(directory).eval())


def test_parameters_are_born_sharded(saved, params, tmp_path, tokenizer):
    mesh = sharding.make_mesh((2, 2, 2))
    split = hf_weights.load_params(saved, hf_config.read_config(saved), mesh)
    wanted = sharding.params_sharding(mesh, params)
    for leaf, want in zip(jax.tree.leaves(split), jax.tree.leaves(wanted), strict=True):
        assert leaf.sharding == want
        assert leaf.addressable_shards[0].data.shape == want.shard_shape(leaf.shape)
    jax.tree.map(np.testing.assert_array_equal, split, params)
    hf_weights.save(tmp_path / "model", CFG, split, tokenizer, generation={})
    name = "model.safetensors"
    assert (tmp_path / "model" / name).read_bytes() == (saved / name).read_bytes()


def test_loading_by_parts_gives_the_same_arrays(saved, params, monkeypatch):
    mesh = sharding.make_mesh((1, 2, 2), jax.devices()[:4])
    cfg = hf_config.read_config(saved)
    layer = CFG.width * CFG.mlp_width * 4  # bytes of the largest tensor of a layer
    for held in (1, layer, 10**9):
        monkeypatch.setattr(hf_weights, "HOST_BYTES", held)
        again = hf_weights.load_params(saved, cfg, mesh)
        jax.tree.map(np.testing.assert_array_equal, again, params)
        where = sharding.params_sharding(mesh, params)
        assert jax.tree.all(jax.tree.map(lambda a, w: a.sharding == w, again, where))


def test_loading_holds_few_tensors(tmp_path, tokenizer, mesh, monkeypatch):
    """What Python holds at most, by its own count of allocations: the devices' are not in it."""
    cfg = dataclasses.replace(CFG, width=256, mlp_width=2048, layers=24)
    tensor = 256 * 2048 * 4
    hf_weights.save(tmp_path / "m", cfg, init(cfg, jax.random.key(0)), tokenizer, generation={})
    peaks = {}
    for held in (tensor, 10**9):
        monkeypatch.setattr(hf_weights, "HOST_BYTES", held)
        tracemalloc.start()
        jax.block_until_ready(hf_weights.load_params(tmp_path / "m", cfg, mesh))
        peaks[held] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[tensor] < FEW * tensor < cfg.layers * tensor < peaks[10**9]


def test_weights_may_be_read_by_whoever_may_read_the_rest(saved):
    """``safetensors`` alone leaves files of mode 0600."""
    modes = {path.name: path.stat().st_mode for path in saved.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def test_save_is_whole_or_not_at_all(tmp_path, params, tokenizer, monkeypatch):
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(FileExistsError, match="taken: already exists"):
        hf_weights.save(taken, CFG, params, tokenizer, generation={})

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(hf_weights, "write_tensors", full)
    with pytest.raises(OSError, match="disk full"):
        hf_weights.save(tmp_path / "half", CFG, params, tokenizer, generation={})
    assert list(tmp_path.iterdir()) == [taken] and not list(taken.iterdir())


def test_what_safetensors_cannot_write_is_an_error_of_the_file(
    tmp_path, params, tokenizer, monkeypatch
):
    def full(*args, **kwargs):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(hf_files, "save_file", full)
    with pytest.raises(OSError, match=r"model\.safetensors: I/O error: No space left"):
        hf_weights.save(tmp_path / "half", CFG, params, tokenizer, generation={})
    assert not list(tmp_path.iterdir())


def test_resolve(tmp_path, monkeypatch):
    assert hf_config.resolve(str(tmp_path)) == tmp_path
    cache = tmp_path / "cache"
    snapshot = cache / "models--some--llama" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (cache / "models--some--llama" / "refs").mkdir()
    (cache / "models--some--llama" / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert hf_config.resolve("some/llama") == snapshot
    for name in ("some/other", str(tmp_path / "absent"), ""):
        with pytest.raises(hf_config.ModelNotFound) as error:
            hf_config.resolve(name)
        for part in (f"hf download {name}", "licence", "--config=configs/stage2.py:tiny"):
            assert part in str(error.value)
    assert issubclass(hf_config.ModelNotFound, FileNotFoundError)


REFUSED = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "gemma2",
    "hidden_act": "gelu",
    "attention_bias": True,
    "mlp_bias": True,
    "attention_dropout": 0.1,
    "pretraining_tp": 2,
    "rope_interleaved": True,
    "quantization_config": {"bits": 4},
    "rope_theta": 123.0,  # contradicts rope_parameters
    "partial_rotary_factor": 0.5,
    "num_key_value_heads": 3,
    "head_dim": 7,
    "vocab_size": None,
    "is_causal": False,
    "transformers_weights": "other.safetensors",
    "per_layer_config": {"0": {"rms_norm_eps": 0.5}},
}
NONSENSE = (
    ("hidden_size", "32"), ("hidden_size", 2.5), ("num_attention_heads", 0), ("head_dim", "8"),
    ("num_key_value_heads", -1), ("rms_norm_eps", None), ("rms_norm_eps", -1.0),
    ("max_position_embeddings", None), ("max_position_embeddings", "x"), ("model_type", []),
    ("tie_word_embeddings", "x"), ("rope_theta", 0), ("rope_scaling", "llama3"),
    ("rope_parameters", [1]),
)  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [*REFUSED.items(), *NONSENSE])
def test_config_fields_that_cannot_be_honoured(field, value, copied):
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=rf"config\.json: cannot be honoured exactly: .*{field}"):
        hf_config.read_config(copied)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "yarn", "factor": 4.0}, "rope_type='yarn'"),
        ({"type": "linear", "factor": 4.0}, "rope_type='linear'"),
        (LLAMA3 | {"factor": None}, "factor=None"),
        (LLAMA3 | {"factor": "8"}, "factor='8'"),
        (LLAMA3 | {"low_freq_factor": 4.0}, "low_freq_factor"),
        (LLAMA3 | {"attention_factor": 2.0}, "attention_factor=2.0"),
    ],
    ids=["yarn", "linear", "incomplete", "text", "reversed", "unknown"],
)
@pytest.mark.parametrize("name", ["rope_parameters", "rope_scaling"])
def test_rope_rules_that_cannot_be_honoured(rope, message, name, copied):
    path = copied / "config.json"
    config = json.loads(path.read_text()) | {"rope_parameters": None, "rope_scaling": None}
    path.write_text(json.dumps(config | {name: rope}))
    with pytest.raises(ValueError, match=message):
        hf_config.read_config(copied)


def test_rope_scaling_replaces_rope_parameters(copied):
    """So transformers reads them: what the first does not say is not taken from the second."""
    path = copied / "config.json"
    both = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_theta": None}
    both["rope_scaling"] = {"rope_type": "default"}
    path.write_text(json.dumps(json.loads(path.read_text()) | both))
    with pytest.raises(ValueError, match=r"rope_parameters\.rope_theta: missing in rope_scaling"):
        hf_config.read_config(copied)


@pytest.mark.parametrize("layer_types", [["full_attention"], ["x", "x"], "full_attention", [[1]]])
def test_layer_types_are_one_for_each_layer(layer_types, copied):
    path = copied / "config.json"
    changes = {"model_type": "qwen2", "architectures": None, "layer_types": layer_types}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"cannot be honoured exactly: .*layer_types="):
        hf_config.read_config(copied)


@pytest.mark.parametrize("index", [{}, {"weight_map": ["a"]}, {"weight_map": {"a": 1}}, [1]])
def test_an_index_that_is_none(index, copied, mesh):
    cfg = hf_config.read_config(copied)
    (copied / "model.safetensors").unlink()
    (copied / hf_weights.INDEX).write_text(json.dumps(index))
    with pytest.raises(
        ValueError, match=r"index\.json: (weight_map has to|expected a JSON object)"
    ):
        hf_weights.load_params(copied, cfg, mesh)


def test_ids_beyond_the_vocabulary_are_not_written(tmp_path, params, tokenizer):
    """transformers refuses to load a model whose padding token it has no row for."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
    while tokenizer.pad_token_id < CFG.vocab_size:
        tokenizer.add_special_tokens({"pad_token": f"<|padding {tokenizer.pad_token_id}|>"})
    hf_weights.save(tmp_path / "m", CFG, params, tokenizer, generation={})
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert "pad_token_id" not in config and config["eos_token_id"] < CFG.vocab_size


def test_incomplete_directories(copied, mesh):
    weights, config = copied / "model.safetensors", copied / "config.json"
    whole, cfg = weights.read_bytes(), hf_config.read_config(copied)
    for size in (len(whole) - 1, 100, 0):
        weights.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors: truncated"):
            hf_weights.load_params(copied, cfg, mesh)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights.*model\.safetensors"):
        hf_weights.load_params(copied, cfg, mesh)
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (copied / hf_weights.INDEX).write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match=r"missing: \['model-00002-of-00002"):
        hf_weights.load_params(copied, cfg, mesh)
    config.write_text('{"model_type": ')
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        hf_config.read_config(copied)
    config.unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        hf_config.read_config(copied)


def test_tensors_that_do_not_fit_are_all_listed(copied, mesh, monkeypatch):
    path = copied / "model.safetensors"
    arrays = load_file(path)
    q = "model.layers.1.self_attn.q_proj.weight"
    arrays["model.extra.weight"] = arrays.pop("model.norm.weight")
    arrays["lm_head.weight"] = arrays["lm_head.weight"][:-1]
    arrays["model.layers.2.input_layernorm.weight"] = np.ones(32, np.float32)
    arrays[q] = arrays[q].astype(np.int8)
    save_file(arrays, path)
    monkeypatch.setattr(jax, "make_array_from_callback", None)  # nothing may reach a device
    with pytest.raises(ValueError) as error:
        hf_weights.load_params(copied, hf_config.read_config(copied), mesh)
    lines = [line.strip() for line in str(error.value).splitlines()[1:]]
    assert lines == [
        "lm_head.weight: F32 (299, 32), expected floating (300, 32)",
        "model.extra.weight: left over",
        f"{q}: I8 (32, 32), expected floating (32, 32)",
        "model.layers.2.input_layernorm.weight: left over",
        "model.norm.weight: missing",
    ]


def test_harmless_tensors_are_ignored(copied, mesh):
    path = copied / "model.safetensors"
    arrays = load_file(path)
    arrays["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    save_file(arrays, path)
    cfg = hf_config.read_config(copied)
    hf_weights.load_params(copied, cfg, mesh)
    tied = dataclasses.replace(cfg, tied_embeddings=True)
    with pytest.raises(ValueError, match=r"lm_head\.weight: differs from the embedding"):
        hf_weights.load_params(copied, tied, mesh)
    save_file({**arrays, "lm_head.weight": arrays["model.embed_tokens.weight"]}, path)
    assert "unembed" not in hf_weights.load_params(copied, tied, mesh)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("model.embed_tokens.weight", np.nan, np.float32),
        ("lm_head.weight", np.inf, np.float32),
        ("model.norm.weight", np.nan, np.float32),
        ("model.layers.1.self_attn.o_proj.weight", -np.inf, jnp.bfloat16),
        ("model.layers.0.mlp.up_proj.weight", np.nan, np.float16),
        ("model.layers.0.input_layernorm.weight", 1e39, np.float64),  # more than float32 can hold
    ],
)
def test_weights_that_are_not_finite_are_named(copied, mesh, name, value, kind):
    path = copied / "model.safetensors"
    arrays = load_file(path)
    arrays[name] = arrays[name].astype(kind)
    arrays[name].flat[-1] = value
    save_file(arrays, path)
    with pytest.raises(ValueError, match=rf"{re.escape(f'{path}: {name}')}: NaN or infinite"):
        hf_weights.load_params(copied, hf_config.read_config(copied), mesh)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_parameters_that_are_not_finite_are_not_written(tmp_path, params, tokenizer, value):
    bad = {**params, "final_norm": {"scale": params["final_norm"]["scale"].at[3].set(value)}}
    with pytest.raises(ValueError, match=r"model\.norm\.weight: NaN or infinite numbers"):
        hf_weights.save(tmp_path / "m", CFG, bad, tokenizer, generation={})
    assert not list(tmp_path.iterdir())
