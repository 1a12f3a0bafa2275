"""Supervised fine-tuning: packed rows say what each chat says alone, and runs of the stage."""

import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from runpy import run_path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import workdirs
from config_reads import config_reads, keys_of_others
from safetensors.numpy import load_file
from support import FACTORISATIONS, REPO, mesh_of, sharded_params, small_data, tiny_config
from workdirs import on_base, records

from waltzjax.config.key import readers_in
from waltzjax.core.losses import nll
from waltzjax.data.packing import ChatTokens, pack, packed_batch
from waltzjax.dataset.dataset import read_prompts
from waltzjax.metrics.events import read_events
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import over_mesh
from waltzjax.stages import supervised
from waltzjax.support.errors import DatasetError
from waltzjax.support.signals import Stopped
from waltzjax.train import train
from waltzjax.training.learner import place_batch
from waltzjax.training.step import forward_logp
from waltzjax.types import Prompt
from waltzjax.waltz import sft_data
from waltzjax.waltz.chat_set import NAMES
from waltzjax.waltz.chat_set import write_chats as write_set

CFG = tiny_config()
ATOL = 1e-5  # nats, of log-probs near -6, and gradients up to 1: float32 in another order
LEARNT = 0.5  # nats, of 6.5: an adapter's in six updates
CHATS, EPOCHS = 48, 6
STEPS = 3 * EPOCHS  # eight chats a row, two rows an update


def chats(count=9):
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        ids = tuple(rng.integers(1, 400, rng.integers(4, 20)).tolist())
        drawn.append(ChatTokens(ids, (False, False, *(rng.random(len(ids) - 2) < 0.7).tolist())))
    return drawn


def loss_and_gradient(rows, length, shape=(1, 1, 1), **changes):
    mesh, cfg = mesh_of(*shape), tiny_config(**changes)
    batch = place_batch(packed_batch(rows, length=length, min_rows=8), mesh, 1)
    batch = jax.tree.map(lambda x: x[0], batch)

    def loss(params):
        logp, *_ = forward_logp(over_mesh(cfg, mesh), params, batch, temperature=1.0, block=64)
        return nll(logp, batch)[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(sharded_params(cfg, mesh))
    return float(value), jax.device_get(gradient)


@pytest.mark.parametrize(
    "shape, changes",
    [((1, 1, 1), {}), ((1, 1, 1), {"window": 5}), *((s, {}) for s in FACTORISATIONS[:3])],
)
def test_packed_is_what_each_chat_is_alone(shape, changes):
    """Loss and gradients: texts in a row see nothing of one another."""
    alone = loss_and_gradient([(c,) for c in chats()], 24, **changes)
    packed = loss_and_gradient(pack(chats(), 48), 48, shape, **changes)
    assert len(pack(chats(), 48)) < len(chats())
    assert packed[0] == pytest.approx(alone[0], abs=ATOL)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=ATOL), packed[1], alone[1]
    )


def test_a_token_changes_nothing_in_another_text():
    rows = pack(chats(), 48)
    row = next(r for r in rows if len(r) > 1)
    other = ChatTokens(tuple(1 + t % 399 for t in row[0].token_ids), row[0].trained)
    before, after = (packed_batch([r], length=48) for r in (row, (other, *row[1:])))
    params = sharded_params(CFG, mesh_of(1, 1, 1))
    logp = [
        np.asarray(forward_logp(CFG, params, jax.tree.map(jnp.asarray, b), temperature=1.0,
                                block=64).logp_BT)
        for b in (before, after)
    ]  # fmt: skip
    end = len(row[0].token_ids)
    assert np.abs(logp[0][0, :end] - logp[1][0, :end]).max() > ATOL
    rest = slice(end + 1, before.length_B[0])  # the first token follows the other text
    np.testing.assert_array_equal(logp[0][0, rest], logp[1][0, rest])


def smallest(directory):
    c = run_path(str(REPO / "configs/sft.py"))["get_config"]("tiny")
    c.data.directory, c.sft.data = small_data(), str(directory)
    c.embedded.width, c.embedded.mlp_width, c.embedded.layers = 16, 32, 1
    c.embedded.card_steps = c.embedded.demo_steps = 2
    c.embedded.batch = c.rollout.max_num_seqs = 8
    c.sft.batch, c.sft.length, c.sft.epochs = 2, 128, EPOCHS
    c.optim.lr.conversation = c.optim.lr.feedback = 0.02
    c.rollout.max_new_tokens, c.eval.prompts = 6, 12
    return c


def write_chats(directory, count=CHATS):
    directory.mkdir()
    for split, n in (("train", count), ("validation", 4)):
        lines = [
            json.dumps({"messages": [
                {"role": "user", "content": f"Is {i} fine?"},
                {"role": "assistant", "content": "It is."},
            ]}) + "\n"
            for i in range(n)
        ]  # fmt: skip
        (directory / f"feedback-{split}.jsonl").write_text("".join(lines))
    return directory


READ: set[str] = set()  # keys of the config that the finished run has read


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run, its config and its results."""
    parent = tmp_path_factory.mktemp("runs")
    c = smallest(write_chats(parent / "chats"))
    with config_reads() as read:
        results = train(c, parent / "whole")
    READ.update(read)
    return parent / "whole", c, results


def test_the_parts_of_a_step_add_up_to_it(finished):
    workdirs.check_times(finished[0], "update")


def test_a_run_learns_the_chats(finished):
    workdir, c, results = finished
    losses = [r["loss/feedback"] for r in records(workdir)]
    assert {r["stage"] for r in records(workdir)} == {"sft"} and losses[-1] < losses[0] / 2
    assert "loss/conversation" not in records(workdir)[0]
    assert results["sft_nll"] < results["base"]["sft_nll"] / 2  # the agent's, on unseen chats
    weights = {
        role: (workdir / role / "model.safetensors").read_bytes()
        for role in ("base", "conversation", "feedback")
    }
    assert weights["conversation"] == weights["base"] != weights["feedback"]
    before = (workdir / "metrics.jsonl").read_bytes()
    (workdir / "evaluations/sft.json").unlink()
    assert train(c, workdir) == results  # read back, and measured anew
    assert (workdir / "metrics.jsonl").read_bytes() == before


class Killed(BaseException):
    pass


def test_killed_then_stopped_then_restarted_equals_uninterrupted(
    finished, tmp_path, monkeypatch, capsys
):
    whole, c, results = finished
    workdir, real, updates = tmp_path / "run", supervised.place_rows, 0
    shutil.copytree(whole / "base", workdir / "base")
    (workdir / "evaluations").mkdir()
    shutil.copy(whole / "evaluations/base.json", workdir / "evaluations")
    shutil.copy(whole / "config.json", workdir)

    def place_rows(*args):
        nonlocal updates
        updates += 1
        if updates == 5:
            raise Killed
        if updates == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(supervised, "place_rows", place_rows)
    with pytest.raises(Killed):
        train(c, workdir)
    with pytest.raises(Stopped, match="after step 5"):
        train(c, workdir)
    assert not (workdir / "feedback").exists()
    assert train(c, workdir) == results
    said = capsys.readouterr().out
    assert "sft: resumed after step 3" in said and "sft: resumed after step 5" in said
    assert updates == 5 + 2 + STEPS - 5
    name = "feedback/model.safetensors"
    assert (workdir / name).read_bytes() == (whole / name).read_bytes()
    assert records(workdir) == records(whole)
    events = read_events(workdir / "events.jsonl")
    told = [(e["kind"], e["step"]) for e in events if e["kind"] not in ("checkpoint", "evaluation")]
    assert told == [
        ("launch", 0), ("stop", 4), ("launch", 0), ("resume", 3), ("stop", 5),
        ("launch", 0), ("resume", 5), ("end", STEPS),
    ]  # fmt: skip
    why = [e["text"] for e in events if e["kind"] == "stop"]
    assert why[0].startswith("Killed") and "stopped by SIGTERM" in why[1]


def test_examples_are_that_many_of_the_training_chats(tmp_path):
    c = smallest(write_chats(tmp_path / "chats"))
    everything = sft_data.sft_chats(c)["train"]
    assert len(everything) == CHATS
    drawn = []
    for c.seed in range(2):
        c.sft.examples = 3
        chosen = [everything.index(chat) for chat in sft_data.sft_chats(c)["train"]]
        assert len(chosen) == 3 and chosen == sorted({*chosen})
        drawn.append(chosen)
    assert drawn[0] != drawn[1] and drawn[0] != [*range(3)]  # at random
    assert len(sft_data.sft_chats(c)["validation"]) == 4
    c.sft.examples = CHATS + 1
    assert sft_data.sft_chats(c)["train"] == everything


def test_a_set_that_is_not_its_manifests_is_refused_before_anything(tmp_path):
    reply = '{"unsafe": false, "overrefuse": false, "reasoning": "", "feedback": ""}'
    said = {"conversation": "It is.", "feedback": reply}
    files = {
        name: [[{"role": "user", "content": f"{name}?"},
                {"role": "assistant", "content": said[name.split("-")[0]]}]]
        for name in NAMES
    }  # fmt: skip
    write_set(tmp_path / "set", files)
    c = smallest(tmp_path / "set")
    assert sft_data.sft_chats(c)["train"] == files["feedback-train.jsonl"]
    path = tmp_path / "set/feedback-train.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(
        DatasetError, match=r"feedback-train\.jsonl: sha256 is .* the manifest says"
    ):
        train(c, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_chats_of_another_world_are_refused(tmp_path):
    reply = '{"unsafe": false, "overrefuse": false, "reasoning": "", "feedback": ""}'
    files = {
        name: [[{"role": "user", "content": name}, {"role": "assistant", "content": reply}]]
        for name in NAMES
    }
    write_set(tmp_path / "set", files, {"data_seed": 1, "coded": 0.3})
    c = smallest(tmp_path / "set")
    assert sft_data.sft_chats(c)["train"]  # of prompts that are not the embedded world's
    c.data.directory = "embedded"
    wanted = r"set has chats of .*'data_seed': 1, .*--embedded --data_seed=0 --coded=0\.0$"
    with pytest.raises(ValueError, match=wanted):
        sft_data.sft_chats(c)
    c.embedded.data_seed, c.embedded.coded = 1, 0.3
    assert sft_data.sft_chats(c)["train"]


HELD_OUT = [Prompt(0, "Fix my van?", False, "edge_case"), Prompt(1, "Sell it!", True, "edge_case")]


def said(*texts):
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


SEEN = {
    "conversation": (
        [said("Fix my van", "So."), said("Hm?", "So.", " fix MY\u00a0van? ", "So."),
         said("Fix my van? Sell it!", "So."), said("Why?", "Fix my van?"), said("Sell it!", "So."),
         said("Fix my van?\nAnswer: So.", "So.")],
        2, "Fix my van?",
    ),
    "feedback": (
        [said("Fix my van?", "{}"), said("Please: Fix my van?\nAnswer: So.", "{}"),
         said("Why?\nAnswer: Fix my van?", "{}"), said("sell  it!\nAnswer: No.", "{}"),
         said("Fix my van?\nAnswer: ", "{}")],
        2, "Sell it!",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("role", "seen"), SEEN.items(), ids=SEEN)
def test_training_chats_may_not_show_a_held_out_prompt(role, seen):
    chats, count, first = seen
    c = smallest("some/chats")
    c.sft.role = role
    with pytest.raises(DatasetError) as caught:
        sft_data.check_unseen(c, chats, HELD_OUT)
    assert str(caught.value).startswith(
        f"config.sft.data: {count} of the {len(chats)} chats of some/chats/{role}-train.jsonl ask "
        f"held-out prompts, the first {first!r}"
    )
    assert "python -m waltzjax.evaluate --split=train" in str(caught.value)
    sft_data.check_unseen(c, chats, [Prompt(2, "Mend it.", True, "edge_case")])


def test_another_system_prompt_is_said(capsys):
    c = smallest("some/chats")
    own = {"role": "system", "content": "You review the answer."}
    chats = [[own, *said("A", "B")], said("A", "B"), [{**own, "content": "Hm."}, *said("A", "B")]]
    sft_data.check_unseen(c, chats, HELD_OUT)
    assert (
        "2 of the 3 chats of some/chats/feedback-train.jsonl have another system prompt than "
        "config.prompts.feedback" in " ".join(capsys.readouterr().out.split())
    )
    sft_data.check_unseen(c, chats[:1], HELD_OUT)
    assert not capsys.readouterr().out


def test_a_run_on_held_out_prompts_is_refused_before_training(finished, tmp_path):
    c = smallest(write_chats(tmp_path / "chats"))
    c = on_base(c, finished[0] / "base")
    (held_out, *_) = read_prompts(Path(small_data()) / "validation.jsonl")
    path = tmp_path / "chats/feedback-train.jsonl"
    shown = json.dumps({"messages": said(f"{held_out.text}\nAnswer: So.", "It is.")})
    path.write_text(path.read_text() + shown + "\n")
    with pytest.raises(DatasetError, match=f"1 of the {CHATS + 1} chats of .* ask held-out prompt"):
        train(c, tmp_path / "run")
    assert not (tmp_path / "run/evaluations").exists()


def test_an_adapter_learns_some_of_the_chats(finished, tmp_path):
    whole, c, of_whole = finished
    c = c.copy_and_resolve_references()
    c = on_base(c, whole / "base")
    c.lora.rank, c.lora.alpha = 2, 2.0
    c.sft.examples, c.optim.lr.conversation, c.optim.lr.feedback = 16, 0.1, 0.1
    results = train(c, tmp_path / "run")
    losses = [r["loss/feedback"] for r in records(tmp_path / "run")]
    assert len(losses) == EPOCHS  # sixteen chats are one update
    assert losses[-1] < losses[0] - LEARNT
    # The new adapter changed nothing, the trained one does.
    assert results["base"]["sft_nll"] == pytest.approx(of_whole["base"]["sft_nll"], abs=ATOL)
    assert results["sft_nll"] < results["base"]["sft_nll"] - LEARNT
    moved = {}
    for role in ("conversation", "feedback"):
        files = {f.name: f for f in (tmp_path / "run" / role).iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= set(files)
        adapter = load_file(files["adapter_model.safetensors"])
        moved[role] = [x.any() for name, x in adapter.items() if "lora_B" in name]  # 0 at first
    assert all(moved["feedback"]) and not any(moved["conversation"])
    (tmp_path / "run/evaluations/sft.json").unlink()
    assert train(c, tmp_path / "run") == results  # read back, and measured anew


def test_chats_that_are_missing_or_too_long_are_said_before_anything(finished, tmp_path):
    c = smallest(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"config.sft.data: .*feedback-train\.jsonl"):
        train(c, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # no base was built
    c = smallest(write_chats(tmp_path / "chats"))
    c = on_base(c, finished[0] / "base")
    c.sft.length = 8
    with pytest.raises(ValueError, match=r"chats/feedback-train.jsonl: config.sft.length: got 8"):
        train(c, tmp_path / "other")
    left = {path.name for path in (tmp_path / "other").iterdir()}
    assert not left & {"evaluations", "metrics.jsonl", "checkpoints", "feedback"}


def test_no_key_is_read_that_is_said_to_be_of_others(finished):
    assert len(READ) > 30
    assert READ & keys_of_others(readers_in(finished[1], STAGES)) == set()
