"""The parity check passes a right model with activations of thousands, and no wrong one."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import REPO, mesh_of, tiny_chat, tiny_config

from scripts import check_parity
from waltzjax.model import transformer
from waltzjax.model.hf import config, weights

pytest.importorskip("torch", reason="torch is the reference implementation")

ABSOLUTE = 1e-4  # of the logits of small models, all that float32 costs
LAYER = "model.layers.1."
OPENING = 40  # tokens before what is continued


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """A model with two channels of thousands between its layers, as real ones have."""
    directory = tmp_path_factory.mktemp("parity") / "right"
    cfg = tiny_config(rope_theta=500.0, tied_embeddings=False)
    params = transformer.init_params(cfg, jax.random.key(0))
    weights.save(directory, cfg, params, tiny_chat().tokenizer, generation={})

    def enlarge(arrays):
        down = arrays["model.layers.0.mlp.down_proj.weight"]
        down[3] *= 3e4
        down[9] *= -1e4
        arrays["lm_head.weight"] *= 30

    edit_weights(directory, enlarge)
    return directory


def edit_weights(directory, change):
    arrays = load_file(directory / "model.safetensors")
    change(arrays)
    save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})


def edit_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def loaded(directory):
    cfg, mesh = config.read_config(directory), mesh_of(1, 1, 1)
    return cfg, weights.load_params(directory, cfg, mesh), mesh


@pytest.fixture(scope="module")
def rows(right):
    """One row, which this library's engine has continued."""
    cfg, params, mesh = loaded(right)
    opening = np.random.default_rng(0).integers(0, cfg.vocab_size, OPENING).tolist()
    return [opening + check_parity.continuation(cfg, params, mesh, opening)]


def figures_of(directory, truth, rows):
    """The figures of this library's model of ``directory``, PyTorch's being that of ``truth``."""
    cfg, params, mesh = loaded(directory)
    ours = [check_parity.hidden_states(cfg, params, mesh, row) for row in rows]
    return check_parity.compare(truth, rows, ours, np.asarray(transformer.unembedding(params)))


def near(found):
    """Without the continuation, in which any other model differs too."""
    rms = found["rms_diff"] <= found["allowed_rms"]
    return rms and found["max_abs_diff"] <= found["allowed_max"]


def test_a_right_model_of_large_activations_passes(right, rows):
    found = figures_of(right, right, rows)
    assert found["torch_max_abs_diff"] > ABSOLUTE  # PyTorch itself would fail
    assert found["largest_logit"] > 5
    assert check_parity.agrees(found)


def scaled(name, factor):
    return lambda directory: edit_weights(directory, lambda a: a[name].__imul__(factor))


def one_weight(directory):
    def change(arrays):
        arrays[LAYER + "self_attn.o_proj.weight"][2, 5] += 0.05

    edit_weights(directory, change)


def kv_heads_swapped(directory):
    def change(arrays):
        name = LAYER + "self_attn.v_proj.weight"
        arrays[name] = np.roll(arrays[name], len(arrays[name]) // 2, axis=0)

    edit_weights(directory, change)


WRONG = {
    "rope theta": lambda d: edit_config(
        d, rope_theta=510.0, rope_parameters={"rope_type": "default", "rope_theta": 510.0}
    ),
    "one weight": one_weight,
    "heads of values": kv_heads_swapped,
    "a norm's epsilon": lambda d: edit_config(d, rms_norm_eps=1e-2),
    "a norm's scale": scaled(LAYER + "post_attention_layernorm.weight", 1.01),
    "queries not scaled": scaled(LAYER + "self_attn.q_proj.weight", 1.1),
    "an embedding": scaled("model.embed_tokens.weight", 1.01),
    "the unembedding": scaled("lm_head.weight", 1.01),
    "logits beyond float32": scaled("model.norm.weight", np.float32(1e38)),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_a_wrong_model_fails(spoil, right, rows, tmp_path):
    spoil(wrong := shutil.copytree(right, tmp_path / "wrong"))
    found = figures_of(wrong, right, rows)
    assert not near(found)
    assert not check_parity.agrees(found)


@pytest.mark.parametrize("place", [OPENING, OPENING + 31, OPENING + check_parity.NEW_TOKENS - 1])
def test_a_wrong_continuation_fails(place, right, rows):
    [row] = rows
    other = [*row[:place], (row[place] + 1) % 400, *row[place + 1 :]]
    found = figures_of(right, right, [other])
    assert near(found)
    assert not check_parity.agrees(found)


@pytest.mark.slow
def test_the_command_says_what_it_allows(right):
    def run(*arguments):
        command = [sys.executable, str(REPO / "scripts/check_parity.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPO)

    done = run(str(right), "--positions=100", "--mesh=1x1x2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert near(found) and found["allowed_max"] < 0.001 * found["largest_logit"]
    assert "2 times the root mean square distance" in " ".join(run("--help").stdout.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("--positions=64", "--positions: got 64, allowed is > 64"),
        ("--positions=9999", "--positions: got 9999, allowed is <= "),
        ("--seed=-1", "--seed: got -1, allowed is >= 0"),
        ("--mesh=1x1", "--mesh: got '1x1', expected three sizes"),
        (None, "config.json: no such file"),
    ],
)
def test_what_cannot_be_compared_is_no_failure_of_the_model(change, says, tmp_path, right):
    """Exit status 2, not the 1 of a model that is wrong."""
    script = [sys.executable, str(REPO / "scripts/check_parity.py")]
    arguments = [str(right), change] if change else [str(tmp_path)]
    done = subprocess.run([*script, *arguments], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
