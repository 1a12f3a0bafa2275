"""Every family against its class in transformers, on torch, at 2,500 positions."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import mesh_of, slow

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Sampling
from waltzjax.model import attention, sharding, transformer
from waltzjax.model.architecture import ModelConfig, RopeScaling
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import weights
from waltzjax.toy.base_model import train_tokenizer

torch = pytest.importorskip("torch", reason="torch is the reference implementation")

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 512, "rope_theta": 5000.0}
WINDOW = {"sliding_window": 100}
MODELS = {
    "llama": ("llama", {"num_key_value_heads": 1, "head_dim": 16, "rope_parameters": LLAMA3}),
    "llama-tied": (
        "llama",
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-2},
    ),
    "llama-multihead": (
        "llama",
        {"head_dim": 16, "rope_parameters": LLAMA3 | {"factor": 32.0, "rope_theta": 500_000.0}},
    ),
    "mistral": ("mistral", {"num_key_value_heads": 2, **WINDOW}),
    "mistral-no-window": ("mistral", {"num_key_value_heads": 2, "sliding_window": None}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen2-window": (
        "qwen2",
        {"num_key_value_heads": 2, "use_sliding_window": True, "max_window_layers": 0, **WINDOW},
    ),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "head_dim": 16}),
}
SMALL = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "max_position_embeddings": 4096, "initializer_range": 0.15}
LENGTHS = (2500, 2311, 47)
ATOL = 1e-4  # logits of order 1, float32, against another implementation
NEW = 64
LAST_BITS = 3  # of up to 64 frequencies that may round another way
hidden_states = jax.jit(transformer.hidden_states, static_argnums=0)


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """A random model that transformers built and saved: the torch model and its directory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model_type, fields = MODELS[request.param]
    config = AutoConfig.for_model(model_type, **SMALL, **fields)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or "bias" in name:
                weight.uniform_(0.5, 1.5)
    directory = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(directory)
    return model, directory


def loaded(directory):
    cfg = hf_config.read_config(directory)
    return cfg, weights.load_params(directory, cfg, sharding.make_mesh((1, 1, 1)))


def torch_logits(model, token_BT) -> np.ndarray:
    at = torch.arange(token_BT.shape[1])[None]
    mask_BT = (at < torch.tensor(LENGTHS)[:, None]).long()
    with torch.no_grad():
        out = model(torch.tensor(token_BT), attention_mask=mask_BT, position_ids=at.expand(3, -1))
    return out.logits.numpy()


def assert_equal_logits(cfg, params, model):
    token_BT = np.random.default_rng(0).integers(0, cfg.vocab_size, (3, max(LENGTHS)))
    h_BTD = np.asarray(hidden_states(cfg, params, token_BT, jnp.array(LENGTHS)))
    got = h_BTD @ np.asarray(transformer.unembedding(params)).T
    want = torch_logits(model, token_BT)
    for row, n in enumerate(LENGTHS):
        assert np.abs(want[row, :n]).max() > 0.5
        np.testing.assert_allclose(got[row, :n], want[row, :n], rtol=0, atol=ATOL)


def test_logits(model):
    torch_model, directory = model
    assert_equal_logits(*loaded(directory), torch_model)


def test_export_is_the_same_class_with_the_same_logits(model, tmp_path):
    from transformers import AutoModelForCausalLM

    torch_model, directory = model
    cfg, params = loaded(directory)
    tokenizer = train_tokenizer(["a short text"], cfg.vocab_size)
    weights.save(tmp_path / "out", cfg, params, tokenizer, generation={})
    again, notes = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert type(again) is type(torch_model) and not any(notes.values()), notes
    token_BT = np.random.default_rng(1).integers(0, 300, (3, max(LENGTHS)))
    want = torch_logits(torch_model, token_BT)
    np.testing.assert_array_equal(torch_logits(again.eval(), token_BT), want)
    assert hf_config.read_config(tmp_path / "out") == cfg


@pytest.mark.parametrize(
    "model",
    [
        name if name in ("llama-multihead", "qwen2-window", "qwen3") else slow(name)
        for name in MODELS
    ],
    indirect=True,
)
def test_greedy_continuation(model):
    torch_model, directory = model
    cfg, params = loaded(directory)
    length_B, longest = np.array([150, 101, 9]), 150
    token_BT = np.random.default_rng(2).integers(0, 300, (3, longest))
    want = []
    for row, n in enumerate(length_B):  # torch runs the whole row anew for every token
        ids = torch.tensor(token_BT[row : row + 1, :n])
        for _ in range(NEW):
            with torch.no_grad():
                ids = torch.cat([ids, torch_model(ids).logits[:, -1:].argmax(-1)], dim=1)
        want.append(ids[0, n:].tolist())

    engine = Engine(cfg, mesh_of(1, 1, 1), (), max_num_seqs=2, cache_tokens=1024)
    prompts = [token_BT[row, :n].tolist() for row, n in enumerate(length_B)]
    got = engine.generate(params, prompts, Sampling(NEW, temperature=0.0), [0] * 3)
    assert [list(g.token_ids) for g in got] == want


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_type": "gemma2"}, "model_type='gemma2'"),
        ({"model_type": "qwen2", "architectures": ["Qwen2VL"]}, "architectures"),
        ({"model_type": "qwen2", "use_mrope": True}, "use_mrope"),
        ({"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"]},
         "layer_types"),
        ({"model_type": "qwen3", "layer_types": ["linear_attention"] * 2}, "linear_attention"),
        ({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1},
         "max_window_layers"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window=0"),
        ({"model_type": "qwen3", "attention_bias": True}, "attention_bias"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_named(fields, named, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL | fields))
    with pytest.raises(ValueError, match=f"cannot be honoured exactly: .*{named}"):
        hf_config.read_config(tmp_path)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
def test_fields_left_out_take_the_defaults_of_transformers(model_type, tmp_path):
    from transformers import AutoConfig

    bare = {"model_type": model_type, "vocab_size": 64, "hidden_size": 4096}
    bare |= {"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 32}
    (tmp_path / "config.json").write_text(json.dumps(bare))
    cfg, theirs = hf_config.read_config(tmp_path), AutoConfig.from_pretrained(tmp_path)
    assert cfg.kv_heads == theirs.num_key_value_heads
    assert cfg.head_dim == (getattr(theirs, "head_dim", None) or 4096 // 32)
    assert cfg.norm_eps == theirs.rms_norm_eps
    assert cfg.max_positions == theirs.max_position_embeddings
    assert cfg.window == (getattr(theirs, "sliding_window", None) or 0)
    assert cfg.rope_theta == theirs.rope_parameters["rope_theta"]
    assert cfg.tied_embeddings == theirs.tie_word_embeddings


@pytest.mark.parametrize("theta, channels", [(5e5, 128), (1e6, 128), (1e6, 64), (1e4, 128)])
@pytest.mark.parametrize("scaled", [False, True])
def test_frequencies_round_as_in_torch(theta, channels, scaled):
    """One last bit is 1.5e-4 radians at position 2,500, and the logits show it."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    rule = LLAMA3 if scaled else {"rope_type": "default"}
    config = LlamaConfig(head_dim=channels, rope_parameters=rule | {"rope_theta": theta})
    want = LlamaRotaryEmbedding(config).inv_freq.numpy()
    scaling = RopeScaling(8.0, 1.0, 4.0, 512) if scaled else None
    cfg = ModelConfig(1, 1, 1, 1, 1, 1, channels, 1, rope_theta=theta, rope_scaling=scaling)
    got = attention.rope_frequencies(cfg)
    np.testing.assert_array_max_ulp(got, want, maxulp=2)
    assert (got != want).sum() <= LAST_BITS
