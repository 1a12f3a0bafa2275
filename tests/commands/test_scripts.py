"""The benchmarks of scripts/: what they print, checked by hand at sizes that take seconds."""

import dataclasses
import json
import math
import runpy
import subprocess
import sys

import numpy as np
import pytest
from support import REPO

from waltzjax.types import Prompt

SHAPE = {
    "model_type": "qwen2", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "tie_word_embeddings": True,
}  # fmt: skip
# Query and output, key and value, the three of the MLP; then the unembedding.
MULTIPLIED = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) + 512 * 64
# Scores and mixtures over half of the row, forward and twice backward: 2 x 2 x 3 / 2 a channel.
ATTENTION = 6 * 2 * 64 * 64
ROUNDED = 0.02  # of what is printed
LOSS_ATOL = 1e-5  # of advantages of order 1: printed to six decimals, summed in another order


def bench(script, *arguments):
    command = [sys.executable, str(REPO / "scripts" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    return f"--model={tmp_path}"


@pytest.mark.slow
def test_utilisation_counts_what_the_model_needs(model):
    status, out, err = bench(
        "bench_update.py", model, "--layers=2", "--tokens=64", "--rows=8", "--microbatches=3",
        "--dtype=float32", "--remat=dots", "--steps=1", "--peak_tflops=0.5",
    )  # fmt: skip
    assert status == 0, err
    got = json.loads(out.splitlines()[-1])
    of_update = 3 * 8 * 64 * (6 * MULTIPLIED + ATTENTION) / 1e12
    assert got["devices"] == 8  # emulated, as in all tests
    assert 8 * got["tflops_per_device"] * got["update_s"] == pytest.approx(of_update, rel=ROUNDED)
    assert got["mfu"] * 0.5 == pytest.approx(got["tflops_per_device"], rel=ROUNDED)
    assert got["tokens_per_s"] * got["update_s"] == pytest.approx(3 * 8 * 64, rel=ROUNDED)
    assert 6 < got["loss"] < 7  # ln 512 = 6.24: random weights know nothing


@pytest.mark.parametrize("wrong", ["--layers=4", "--tokens=65", "--mesh=1x1", "--rows=0"])
def test_utilisation_of_what_cannot_be_is_one_line(model, wrong):
    status, out, err = bench("bench_update.py", model, "--tokens=64", "--rows=8", wrong)
    assert status in (1, 2) and not out
    assert wrong.split("=")[0] in err and "Traceback" not in err


def test_blocked_log_probs_hold_few_logits():
    status, out, err = bench(
        "bench_logprobs.py", "--tokens=512", "--width=16", "--vocabulary=8000", "--block=128",
        "--pairs=1",
    )  # fmt: skip
    assert status == 0, err
    got = json.loads(out)
    assert got["memory_ratio"] < 1 / 16 < 1 < got["memory_ratio_whole"]
    assert got["time_ratio"] > 0


def test_decode_counts_what_it_must_read(model):
    status, out, err = bench(
        "bench_decode.py", model, "--layers=2", "--slots=2", "--prompt=8", "--new=32",
        "--dtype=float32", "--bandwidth=0.25",
    )  # fmt: skip
    assert status == 0, err
    got = json.loads(out.splitlines()[-1])
    # The first 16 tokens are not timed; the others see 24 to 39 tokens, of two rows each.
    cached = 2 * 31.5 * (2 * 2 * 2 * 16 * 4)
    assert got["gb_per_step"] == pytest.approx((4 * MULTIPLIED + cached) / 1e9)
    assert got["gb_per_s"] * got["step_ms"] == pytest.approx(1e3 * got["gb_per_step"])
    assert got["tokens_per_s"] * got["step_ms"] == pytest.approx(2e3)
    assert got["roofline"] == pytest.approx(got["gb_per_s"] / 0.25)


@pytest.mark.parametrize("wrong", ["--layers=4", "--slots=0", "--new=60", "--bandwidth=-1"])
def test_decode_of_what_cannot_be_is_one_line(model, wrong):
    status, out, err = bench("bench_decode.py", model, "--prompt=8", "--new=32", wrong)
    assert status in (1, 2) and not out
    assert wrong.split("=")[0] in err and "Traceback" not in err


@pytest.mark.slow
def test_packing_compares_the_same_work():
    status, out, err = bench(
        "bench_packing.py", "--mix=waltz", "--longest=330", "--budget=990", "--texts=9",
        "--layers=1", "--width=32", "--rounds=2", "--json",
    )  # fmt: skip
    assert status == 0, err
    got = json.loads(out)
    padded, packed = got["padded"], got["packed"]
    assert padded["shape"][1] <= 3 and math.prod(padded["shape"][1:]) <= 990
    assert packed["shape"][1:] == [1, 990] and math.prod(padded["shape"][:2]) >= 9
    for of in (padded, packed):
        assert of["padding"] == pytest.approx(1 - got["tokens"] / math.prod(of["shape"]), abs=1e-4)
        assert of["range"][0] <= of["tokens_per_s"] <= of["range"][1]
    assert packed["padding"] < padded["padding"]
    assert packed["loss"] == pytest.approx(padded["loss"], abs=LOSS_ATOL)
    assert got["ratio_range"][0] <= got["ratio"] <= got["ratio_range"][1]


@pytest.mark.slow
def test_contestants_generate_the_same_work(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=1, head_dim=16,
            max_position_embeddings=1024, tie_word_embeddings=True,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    status, out, err = bench(
        "bench_rollout.py", f"--model={tmp_path}", "--requests=6", "--slots=4", "--batches=3",
        "--cache_tokens=2048", "--rounds=1", "--json",
    )  # fmt: skip
    assert status == 0, err
    got = json.loads(out)
    assert got["compilations_after_warmup"] == 0
    assert got["ratio_hf"] == pytest.approx(got["ours_tokens_per_s"] / got["hf_tokens_per_s"])
    assert 0 < got["occupancy"] <= 1
    ours, theirs = (got["peak_mib"][name] for name in ("ours", "transformers"))
    assert ours != theirs  # each its own, not that of the process that started them


@pytest.mark.slow
def test_word_pairs_solve_the_plain_world_and_not_one_that_is_coded():
    status, out, err = bench("check_world.py", "--coded=0,0.5")
    assert status == 0, err
    plain, coded = json.loads(out.splitlines()[-1])
    assert plain["validation"] > 0.99 > 0.8 > coded["validation"] > 0.6


def test_word_pairs_learn_a_pair_and_no_parity():
    script = runpy.run_path(str(REPO / "scripts/check_world.py"), run_name="check_world")
    prompts = {
        (a, b): Prompt(0, f"{a} van and {b} shed", False, "", "")
        for a in ("my", "his") for b in ("our", "her")
    }  # fmt: skip

    def learned(harmful):
        asked = [dataclasses.replace(p, harmful=harmful(*owners)) for owners, p in prompts.items()]
        rows = [script["bigrams"](p.text) for p in asked]
        model = script["fit"](rows * 50, np.array([float(p.harmful) for p in asked] * 50), 0)
        return script["accuracy"](*model, asked)

    assert learned(lambda a, b: a == "his") == 1
    assert learned(lambda a, b: (a == "his") != (b == "her")) <= 0.75


@pytest.mark.slow
def test_bench_metrics_pairs_steps():
    status, out, err = bench(
        "bench_metrics.py", "--config=configs/stage2.py:tiny", "--pairs=3",
        "--config.embedded.width=16", "--config.embedded.mlp_width=32",
        "--config.embedded.layers=1", "--config.rollout.batch=8",
        "--config.rollout.max_new_tokens=6", "--config.rollout.max_num_seqs=8",
    )  # fmt: skip
    assert status == 0, err
    assert "ratio, median of 3 pairs: " in out and "own time a step: " in out
    assert "writers jsonl, tensorboard" in out
