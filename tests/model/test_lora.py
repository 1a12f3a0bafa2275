"""Adapters: what they add, what they leave alone, and PEFT directories there and back."""

import dataclasses
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import tiny_runtime

from waltzjax.config.defaults import default
from waltzjax.model import sharding, transformer
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import peft, weights
from waltzjax.model.lora import Lora, attach, init_adapter, merge
from waltzjax.run.runtime import over_mesh
from waltzjax.run.trainable import make_trainable
from waltzjax.toy.base_model import train_tokenizer
from waltzjax.types import MATRICES

CFG = ModelConfig(
    vocab_size=300, width=32, mlp_width=48, layers=3, heads=4, kv_heads=2, head_dim=8,
    max_positions=256, init_scale=0.15, model_type="qwen2",
)  # fmt: skip
LORA = Lora(rank=4, alpha=12.0, targets=MATRICES)
TOKENIZER = train_tokenizer(["a short text"], CFG.vocab_size)
LENGTHS = (60, 41, 7)
MERGED_ATOL = 2e-5  # hidden states of order 1, float32: W x + s B A x against (W + s B A) x
PEFT_ATOL = 1e-4  # logits of order 1, against another implementation in float32
HAND_ATOL = 1e-6  # kernels of order 1, float32 against double
CHAIN_RTOL = 2e-4  # of the largest entry: two float32 backward passes through three layers
KEPT = 0.5
hidden_states = jax.jit(transformer.hidden_states, static_argnums=0)


@pytest.fixture(scope="module")
def base():
    return jax.jit(transformer.init_params, static_argnums=0)(CFG, jax.random.key(0))


@pytest.fixture(scope="module")
def adapter():
    return trained(CFG, LORA)


def trained(cfg, lora):
    """An adapter whose B is not zero any more."""
    fresh = init_adapter(cfg, lora, jax.random.key(1))
    leaves, tree = jax.tree.flatten(fresh)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noise = [0.1 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, [a + n for a, n in zip(leaves, noise, strict=True)])


def tokens(vocab=300):
    return np.random.default_rng(0).integers(0, vocab, (len(LENGTHS), max(LENGTHS)))


def hidden(params, cfg=CFG, **kwargs):
    h_BTD = hidden_states(cfg, params, tokens(), jnp.array(LENGTHS), **kwargs)
    return np.concatenate([np.asarray(h_BTD)[row, :n] for row, n in enumerate(LENGTHS)])


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does(base, adapter):
    fresh = init_adapter(CFG, LORA, jax.random.key(1))
    np.testing.assert_array_equal(hidden(attach(base, fresh, LORA.scale)), hidden(base))
    assert np.abs(hidden(attach(base, adapter, LORA.scale)) - hidden(base)).max() > 0.1


def test_the_base_is_shared_and_left_alone(base, adapter):
    both = attach(base, adapter, LORA.scale)
    assert both["embed"] is base["embed"]
    for name in MATRICES:
        assert both["layers"][name]["kernel"] is base["layers"][name]["kernel"]
        assert set(base["layers"][name]) <= {"kernel", "bias"}


@pytest.mark.parametrize("targets", [("q", "v"), ("o", "down"), MATRICES], ids="-".join)
def test_attached_equals_merged(base, targets):
    lora = Lora(rank=2, alpha=3.0, targets=targets)
    low_rank = trained(CFG, lora)
    assert set(low_rank["layers"]) == set(targets)
    got = hidden(attach(base, low_rank, lora.scale))
    np.testing.assert_allclose(got, hidden(merge(base, low_rank, lora.scale)), atol=MERGED_ATOL)


def test_merging_by_hand(base, adapter):
    merged = merge(base, adapter, LORA.scale)["layers"]
    for name in MATRICES:
        parts = {k: np.asarray(v, np.float64) for k, v in adapter["layers"][name].items()}
        kernel = np.asarray(base["layers"][name]["kernel"], np.float64)
        want = [w + 3.0 * a @ b for w, a, b in zip(kernel, *parts.values(), strict=True)]
        np.testing.assert_allclose(merged[name]["kernel"], want, rtol=0, atol=HAND_ATOL)


def test_gradients_reach_the_adapter_as_through_the_merged_kernel(base, adapter):
    """dL/dA = s dL/dW B^T and dL/dB = s A^T dL/dW, by the chain rule."""

    def loss(params):
        h_BTD = transformer.hidden_states(CFG, params, tokens(), jnp.array(LENGTHS))
        return jnp.sum(jnp.sin(h_BTD[:, : min(LENGTHS)]))

    of_adapter = jax.jit(jax.grad(lambda a: loss(attach(base, a, LORA.scale))))(adapter)
    of_kernel = jax.jit(jax.grad(loss))(merge(base, adapter, LORA.scale))
    for name in MATRICES:
        a, b = (np.asarray(adapter["layers"][name][part]) for part in ("lora_a", "lora_b"))
        g = np.asarray(of_kernel["layers"][name]["kernel"])
        want = {
            "lora_a": LORA.scale * g @ b.swapaxes(1, 2),
            "lora_b": LORA.scale * a.swapaxes(1, 2) @ g,
        }
        for part, value in want.items():
            got = np.asarray(of_adapter["layers"][name][part])
            np.testing.assert_allclose(
                got, value, rtol=0, atol=CHAIN_RTOL * np.abs(value).max(), err_msg=name
            )


def test_dropout_drops_inputs_of_the_adapter_alone(base, adapter):
    cfg = dataclasses.replace(CFG, lora_dropout=KEPT)
    both, key = attach(base, adapter, LORA.scale), jax.random.key(3)
    without = hidden(both)
    np.testing.assert_array_equal(hidden(both, cfg), without)  # no key: no dropout
    np.testing.assert_array_equal(hidden(base, cfg, dropout_key=key), hidden(base))
    once, again = hidden(both, cfg, dropout_key=key), hidden(both, cfg, dropout_key=key)
    np.testing.assert_array_equal(once, again)
    other = hidden(both, cfg, dropout_key=jax.random.key(4))
    assert np.abs(once - without).max() > 0.01 < np.abs(once - other).max()


def test_eight_devices_equal_one(base, adapter):
    mesh = sharding.make_mesh((2, 2, 2))
    both = attach(base, adapter, LORA.scale)
    split = jax.device_put(both, sharding.params_sharding(mesh, both))
    q, down = split["layers"]["q"], split["layers"]["down"]
    shapes = {n: q[n].addressable_shards[0].data.shape for n in ("lora_a", "lora_b")}
    assert shapes == {"lora_a": (3, 16, 4), "lora_b": (3, 4, 16)}
    shapes = {n: down[n].addressable_shards[0].data.shape for n in ("lora_a", "lora_b")}
    assert shapes == {"lora_a": (3, 24, 4), "lora_b": (3, 4, 16)}
    rows = sharding.rows_sharding(mesh)
    four = np.concatenate([tokens(), tokens()[:1]]), np.array([*LENGTHS, LENGTHS[0]])
    got = hidden_states(over_mesh(CFG, mesh), split, *jax.device_put(four, rows))
    want = hidden_states(CFG, both, *four)
    for row, n in enumerate(four[1]):
        np.testing.assert_allclose(got[row, :n], want[row, :n], atol=MERGED_ATOL)


# ---- PEFT directories --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory, base):
    directory = tmp_path_factory.mktemp("base") / "base"
    weights.save(directory, CFG, base, TOKENIZER, generation={})
    return directory


def save(directory, adapter, lora, base, dropout=0.0):
    peft.save_adapter(
        directory, adapter, lora, str(base), dropout=dropout, tokenizer=TOKENIZER, generation={}
    )


@pytest.fixture
def saved(tmp_path, adapter, exported):
    save(tmp_path / "adapter", adapter, LORA, exported, dropout=0.05)
    return tmp_path / "adapter"


def torch_hidden_logits(model):
    torch = pytest.importorskip("torch")
    at = torch.arange(max(LENGTHS))[None]
    mask = (at < torch.tensor(LENGTHS)[:, None]).long()
    with torch.no_grad():
        out = model(torch.tensor(tokens()), attention_mask=mask, position_ids=at.expand(3, -1))
    return np.concatenate([out.logits[row, :n].numpy() for row, n in enumerate(LENGTHS)])


@pytest.mark.parametrize(
    "lora", [LORA, Lora(8, 4.0, ("q", "v")), Lora(2, 2.0, ("gate", "o"))], ids=str
)
def test_peft_computes_the_same_from_our_adapter(lora, base, exported, tmp_path):
    pytest.importorskip("peft", reason="PEFT is the reference implementation")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    low_rank = trained(CFG, lora)
    save(tmp_path / "adapter", low_rank, lora, exported)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(exported), tmp_path / "adapter"
    ).eval()
    want = torch_hidden_logits(model)
    got = hidden(attach(base, low_rank, lora.scale)) @ np.asarray(base["embed"]).T
    np.testing.assert_allclose(got, want, atol=PEFT_ATOL)
    plain = hidden(base) @ np.asarray(base["embed"]).T
    assert np.abs(plain - want).max() > 100 * PEFT_ATOL  # the adapter was there at all


@pytest.mark.parametrize("rslora", [False, True])
def test_we_compute_the_same_from_an_adapter_of_pefts(rslora, base, exported, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("peft", reason="PEFT is the reference implementation")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(
        r=3, lora_alpha=5, target_modules=["q_proj", "down_proj"], use_rslora=rslora,
        task_type="CAUSAL_LM", init_lora_weights=False,
    )  # fmt: skip
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(exported), config).eval()
    model.save_pretrained(tmp_path / "theirs")
    low_rank, lora = peft.load_adapter(tmp_path / "theirs", CFG, sharding.make_mesh((1, 1, 1)))
    assert lora.targets == ("q", "down") and lora.rank == 3
    got = hidden(attach(base, low_rank, lora.scale)) @ np.asarray(base["embed"]).T
    np.testing.assert_allclose(got, torch_hidden_logits(model), atol=PEFT_ATOL)


def test_there_and_back(saved, adapter, exported):
    assert peft.is_adapter(saved) and not peft.is_adapter(exported)
    assert peft.read_lora(saved) == LORA and peft.base_directory(saved) == exported
    again, lora = peft.load_adapter(saved, CFG, sharding.make_mesh((2, 2, 2)))
    assert lora == LORA
    jax.tree.map(np.testing.assert_array_equal, again, adapter)
    assert again["layers"]["q"]["lora_a"].addressable_shards[0].data.shape == (3, 16, 4)


def test_weights_may_be_read_by_whoever_may_read_the_rest(saved):
    assert (saved / peft.WEIGHTS).stat().st_mode == (saved / peft.CONFIG).stat().st_mode


def test_targets_in_any_order_are_read_back(tmp_path):
    """As a run does that goes on after a stage."""
    c = default()
    c.lora.rank, c.lora.targets = 2, ("v", "up", "q")
    trainable = make_trainable(c, tiny_runtime(), tmp_path)
    fresh = trainable.start(None, 0)
    trainable.save(tmp_path / "agent", fresh)
    jax.tree.map(np.testing.assert_array_equal, trainable.load(tmp_path / "agent"), fresh)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peft_type", "LOHA"), ("use_dora", True), ("bias", "all"), ("r", 0), ("lora_alpha", None),
        ("modules_to_save", ["lm_head"]), ("rank_pattern", {"q_proj": 2}),
        ("target_modules", ["embed_tokens"]), ("target_modules", ".*q_proj"),
        ("layers_to_transform", [0]), ("layers_to_transform", 0), ("fan_in_fan_out", True),
        ("init_lora_weights", "pissa"), ("init_lora_weights", "olora"), ("use_qalora", True),
        ("kasa_config", {"beta": 1}), ("task_type", "SEQ_CLS"), ("peft_type", None),
        ("target_modules", [["q_proj"]]), ("target_modules", []),
        ("lora_alpha", math.nan), ("lora_alpha", math.inf), ("lora_alpha", -math.inf),
        ("lora_alpha", True), ("lora_alpha", 1e39), ("lora_alpha", 10**400), ("lora_alpha", "8"),
        ("lora_alpha", [8]), ("r", True), ("r", math.nan), ("use_rslora", "false"),
        ("use_rslora", "true"), ("use_rslora", 1), ("use_rslora", 0.0), ("use_rslora", [True]),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_honoured_are_named(field, value, saved):
    path = saved / peft.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=f"cannot be honoured exactly: .*{field}[= ]"):
        peft.read_lora(saved)


def test_targets_may_be_full_paths(saved):
    """As PEFT saves "all-linear"."""
    path = saved / peft.CONFIG
    config = json.loads(path.read_text())
    full = [f"model.layers.{i}.mlp.{m}" for i in range(3) for m in config["target_modules"]]
    path.write_text(json.dumps(config | {"target_modules": full}))
    assert peft.read_lora(saved) == LORA


def test_the_base_at_its_revision(saved, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *a, **k: asked.append((a, k)) or "somewhere"
    )
    path = saved / peft.CONFIG
    named = {"base_model_name_or_path": "some/llama", "revision": "v2"}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    peft.base_directory(saved)
    assert asked == [(("some/llama",), {"revision": "v2", "local_files_only": True})]


def test_tensors_that_do_not_fit_are_all_listed(saved):
    path = saved / peft.WEIGHTS
    arrays, head = load_file(path), "base_model.model.model.layers.1.self_attn"
    arrays["extra"] = arrays.pop(f"{head}.q_proj.lora_A.weight")
    whole = arrays[f"{head}.q_proj.lora_B.weight"]
    arrays[f"{head}.q_proj.lora_B.weight"] = whole.astype(np.int8)
    arrays[f"{head}.v_proj.lora_B.weight"] = np.zeros((5, 4), np.float32)
    save_file(arrays, path)
    with pytest.raises(ValueError) as error:
        peft.load_adapter(saved, CFG, sharding.make_mesh((1, 1, 1)))
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"{head}.q_proj.lora_A.weight: missing",
        f"{head}.q_proj.lora_B.weight: int8 (32, 4), expected floating (32, 4)",
        f"{head}.v_proj.lora_B.weight: float32 (5, 4), expected floating (16, 4)",
        "extra: left over",
    ]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated"):
        peft.load_adapter(saved, CFG, sharding.make_mesh((1, 1, 1)))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="incomplete"):
        peft.load_adapter(saved, CFG, sharding.make_mesh((1, 1, 1)))


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("self_attn.q_proj.lora_A", np.nan, np.float32),
        ("self_attn.v_proj.lora_B", np.inf, np.float32),
        ("mlp.down_proj.lora_B", -np.inf, np.float16),
        ("mlp.up_proj.lora_A", np.nan, np.float64),
        ("mlp.gate_proj.lora_A", 1e39, np.float64),  # which float32 cannot hold
    ],
)
def test_weights_that_are_not_finite_are_named(saved, name, value, kind):
    path, name = saved / peft.WEIGHTS, f"base_model.model.model.layers.1.{name}.weight"
    arrays = load_file(path)
    arrays[name] = arrays[name].astype(kind)
    arrays[name][2, 1] = value
    save_file(arrays, path)
    with pytest.raises(ValueError, match=rf"{re.escape(f'{path}: {name}')}: NaN or infinite"):
        peft.load_adapter(saved, CFG, sharding.make_mesh((1, 1, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_adapter_that_is_not_finite_is_not_written(tmp_path, adapter, value):
    parts = {**adapter["layers"]["k"]}
    parts["lora_b"] = jnp.asarray(parts["lora_b"]).at[2, 0, 1].set(value)
    bad = {"layers": {**adapter["layers"], "k": parts}}
    with pytest.raises(ValueError, match=r"layers\.2\.self_attn\.k_proj\.lora_B\.weight: NaN or"):
        save(tmp_path / "adapter", bad, LORA, "base")
    assert not list(tmp_path.iterdir())
