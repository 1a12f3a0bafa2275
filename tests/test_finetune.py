"""Supervised fine-tuning: packed rows say what each chat says alone, and a run of the stage."""

import json
from runpy import run_path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import FACTORISATIONS, REPO, mesh_of, sharded_params, small_data, tiny_config

from waltzjax.core.losses import nll
from waltzjax.data.packing import ChatTokens, pack, packed_batch
from waltzjax.runtime import over_mesh
from waltzjax.train import train
from waltzjax.training.learner import place_batch
from waltzjax.training.step import forward_logp

CFG = tiny_config()
ATOL = 1e-5  # nats, of log-probs near -6, and gradients up to 1: float32 in another order


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
        logp, _ = forward_logp(over_mesh(cfg, mesh), params, batch, temperature=1.0, block=64)
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
                                block=64)[0])
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
    c.embedded.batch = c.rollout.slots = 8
    c.sft.batch, c.sft.length, c.sft.epochs = 2, 128, 20
    c.sft.lr = 0.02
    c.rollout.max_new_tokens, c.eval.prompts = 6, 12
    return c


def write_chats(directory, count=24):
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


def test_a_run_learns_the_chats_and_resumes(tmp_path):
    write_chats(tmp_path / "chats")
    c = smallest(tmp_path / "chats")
    train(c, tmp_path / "run")
    records = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [r["loss/feedback"] for r in records]
    assert {r["stage"] for r in records} == {"sft"} and losses[-1] < losses[0] / 2
    assert "loss/conversation" not in records[0]
    weights = {
        role: (tmp_path / "run" / role / "model.safetensors").read_bytes()
        for role in ("base", "conversation", "feedback")
    }
    assert weights["conversation"] == weights["base"] != weights["feedback"]
    again = train(c, tmp_path / "run")  # a finished run is read back
    assert again["sft" if "sft" in again else "base"] is not None


def test_chats_that_are_missing_or_too_long_are_said_before_anything(tmp_path):
    c = smallest(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"feedback-train\.jsonl"):
        train(c, tmp_path / "run")
    write_chats(tmp_path / "chats")
    c = smallest(tmp_path / "chats")
    c.sft.length = 8
    with pytest.raises(ValueError, match=r"chats/feedback-train.jsonl: config.sft.length: got 8"):
        train(c, tmp_path / "other")
