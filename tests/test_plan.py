"""The plan of a run: bytes by hand, and what its programs move between devices."""

import json
from runpy import run_path

import forked
import pytest
from support import REPO, mesh_of

from waltzjax.plan import make_plan

SHAPE = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 8,
    "max_position_embeddings": 256, "tie_word_embeddings": False,
}  # fmt: skip
# q, k, v, o; gate, up, down; two norms; then both embeddings and the last norm.
LAYER = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64
PARAMETERS = 3 * LAYER + 2 * 512 * 64 + 64
ADAPTER = 3 * 2 * (4 * (64 + 64) + 3 * (64 + 128))  # of rank 2 beside every matrix
NORMS = (3 * 2 + 1) * 64  # whole on every device


def config(**more):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    c.update_from_flattened_dict(
        {"rollout.batch": 16, "rollout.max_new_tokens": 16, "rollout.length_multiple": 16, **more}
    )
    return c


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    where = tmp_path_factory.mktemp("model")
    (where / "config.json").write_text(json.dumps(SHAPE))
    return where


@pytest.fixture(scope="module")
def full(directory):
    return make_plan(config(**{"model.feedback": "given"}), directory, mesh_of(1, 8, 1), 48)


def counters_of(plan):
    agent = {k: v for k, v in plan.resident.items() if k.startswith("feedback agent:")}
    return agent["feedback agent: its optimiser"] - 2 * agent["feedback agent: what is trained"]


def test_bytes_by_hand(full):
    part = 4 * ((PARAMETERS - NORMS) // 8 + NORMS)  # float32
    counters = counters_of(full)
    assert counters == 8  # optax counts its updates, twice
    assert full.resident == {
        "base and reference": part,
        "feedback agent's start and reference": part,
        "conversation agent: what is trained": part,
        "conversation agent: its optimiser": 2 * part + counters,
        "feedback agent: what is trained": part,
        "feedback agent: its optimiser": 2 * part + counters,
    }
    half = 2 * (PARAMETERS - NORMS) + 4 * NORMS  # on every device, bfloat16 but for the norms
    cached = 65536 // 8  # tokens: config.rollout.cache_tokens
    assert full.generating == {
        "both agents' weights as generation reads them": 2 * half,
        "keys and values": cached * 2 * 8 * 8 * 3 * 2,  # k and v, heads, channels, layers, bytes
    }
    drawn = max(full.programs[p].temporary_bytes for p in ("decode", "prefill"))
    agent, step = 3 * part + counters, 8  # its number, and the KL coefficient
    kept = {"log-probs": part, "update": agent + step}
    beside = [sum(full.generating.values()) + drawn]
    for name, bytes_ in kept.items():
        p = full.programs[name]
        beside.append(p.argument_bytes - bytes_ + p.output_bytes + p.temporary_bytes)
    assert full.peak_bytes == sum(full.resident.values()) + max(beside)
    assert full.checkpoint_bytes == 2 * (12 * PARAMETERS + 4 * 4)  # three counters an agent, beta


def test_no_stacked_parameter_is_gathered_and_every_gradient_is_scattered(full):
    found = full.programs["update"].collectives
    gathered = [k for k in found if k.startswith("all-gather")]
    assert gathered and not [k for k in gathered if "[3," in k]
    for part in ("512,8", "64,8", "8,64", "8,128", "128,8"):  # unembed, o, q k v, gate up, down
        assert any(k.startswith("reduce-scatter") and f"[{part}]" in k for k in found), part
    reduced = [k for k in found if k.startswith("all-reduce")]
    for whole in ("512,64", "64,64", "64,128", "128,64"):
        assert not [k for k in reduced if f"[{whole}]" in k], whole


def test_adapters_hold_one_base(directory, full):
    lora = make_plan(
        config(**{"lora.rank": 2, "model.param_dtype": "bfloat16"}), directory, mesh_of(1, 8, 1), 48
    )
    base = 2 * ((PARAMETERS - NORMS) // 8 + NORMS)
    assert lora.resident["base and reference"] == base
    first, moments = (
        lora.resident[f"feedback agent{what}"] for what in ("'s first adapter", ": its optimiser")
    )
    assert first == (moments - counters_of(full)) // 2 > 0
    assert 3 * sum(lora.resident.values()) < sum(full.resident.values())
    weights = lora.generating["both agents' weights as generation reads them"]
    assert weights == 2 * (PARAMETERS + 2 * ADAPTER)  # a base and two adapters, all in bfloat16
    shapes = [k for k in lora.programs["update"].collectives if k.startswith("reduce-scatter")]
    assert not [k for k in shapes if "[8,128]" in k or "[128,8]" in k]  # the base has no gradient


def test_the_command(directory):
    done = forked.run(
        "-m", "waltzjax.plan", "--config=configs/stage1.py", "--devices=2",
        f"--model={directory}", "--prompt_tokens=48", "--json", "--config.rollout.batch=8",
        "--config.rollout.max_new_tokens=16", "--config.rollout.length_multiple=16",
        "--prompts=16", "--mfu=0.5", "--price=3", limit_s=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said["programs"]) == {"log-probs", "update", "decode", "prefill"}
    assert "feedback agent: what is trained" in said["resident"]
    assert "conversation agent: what is trained" not in said["resident"]  # frozen in stage 1
    assert f"peak {said['peak_bytes'] / 2**30:.1f} GiB a device" in done.stdout
    time = said["forecast"]
    assert time["step_s"] == pytest.approx(sum(p["seconds"] for p in time["phases"]))
    assert time["steps"] == 16 * 5 // 8 and time["device"]["mfu"] == 0.5
    assert time["dollars"] == pytest.approx(2 * 3 * 10 * time["step_s"] / 3600)
    assert f"on {time['devices']} devices, $" in done.stdout


def test_the_plan_of_supervised_tuning_is_one_agents(directory, full):
    c = run_path(str(REPO / "configs/sft.py"))["get_config"]("")
    c.rollout.max_new_tokens, c.sft.batch, c.sft.length = 16, 32, 64
    plan = make_plan(c, directory, mesh_of(1, 8, 1), 48)
    agent = {k: v for k, v in full.resident.items() if k.startswith("feedback agent:")}
    assert plan.resident == agent | {"base and reference": full.resident["base and reference"]}
    assert "log-probs" not in plan.programs
    c.sft.length = 128
    longer = make_plan(c, directory, mesh_of(1, 8, 1), 48)
    # Twice the tokens: more than twice with the scores of attention, which grow by the square.
    temporary = [p.programs["update"].temporary_bytes for p in (plan, longer)]
    assert temporary[1] > 1.5 * temporary[0]
    assert longer.programs["update"].argument_bytes > plan.programs["update"].argument_bytes
