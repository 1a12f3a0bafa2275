"""FLOPs and bytes by hand, and against the products of the programs that are counted."""

import dataclasses
import math
from functools import partial

import jax
import pytest
from jax.interpreters import partial_eval
from support import mesh_of, tiny_config

from waltzjax.config import defaults
from waltzjax.core.losses import nll
from waltzjax.engine.requests import Request, Sampling
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import training_flops
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.model.sharding import params_sharding
from waltzjax.model.transformer import init_params
from waltzjax.plan import flops as plan_flops
from waltzjax.run.runtime import make_engine
from waltzjax.run.trainable import adapter_merge
from waltzjax.stages.reinforce import agent_optimizer
from waltzjax.training.learner import abstract, abstract_batch, abstract_state
from waltzjax.training.step import full_params, make_update, shardings
from waltzjax.types import MATRICES

CFG = ModelConfig(
    vocab_size=10, width=4, mlp_width=6, layers=2, heads=2, kv_heads=1, head_dim=2,
    max_positions=64,
)  # fmt: skip
# q, k, v, o: 16 + 8 + 8 + 16; gate, up, down: 3 x 24; two layers; the unembedding: 10 x 4.
MULTIPLIED = 2 * 120 + 40
# A token that sees s others: scores and mixtures, 2 x 2 FLOPs a channel, 2 x 2 x 2 channels.
SEEN = 32


def test_a_tokens_flops():
    forward = 2 * MULTIPLIED + SEEN * 8 / 2  # of a row of 8
    assert plan_flops.forward_flops(CFG, 8) == forward == 688
    assert training_flops(CFG, 8) == 6 * MULTIPLIED + 3 * SEEN * 4 == 2064


@pytest.mark.parametrize(
    ("remat", "anew"),
    [
        ("none", 2 * 40),  # the logits
        ("dots", 2 * 40 + SEEN * 4),  # and attention
        ("full", 688 - 2 * 2 * 24),  # a forward pass but the two layers' down
    ],
)
def test_an_update_executes_what_remat_computes_anew(remat, anew):
    assert plan_flops.update_flops(dataclasses.replace(CFG, remat=remat), 8) == 2064 + anew


def test_a_frozen_base_has_no_gradients():
    adapter = plan_flops.adapter_weights(CFG, Lora(3, 1.0, MATRICES))
    # In and out of q, k, v, o, gate, up, down.
    assert adapter == 3 * 2 * (8 + 6 + 6 + 8 + 10 + 10 + 10)
    # Forward and the gradients of activations pass through both, those of weights through one.
    trained = 4 * MULTIPLIED + 6 * adapter + 3 * SEEN * 4
    assert plan_flops.update_flops(CFG, 8, adapter) == trained + 2 * 40


def test_decode_reads_all_weights_and_what_rows_see():
    half = dataclasses.replace(CFG, dtype="bfloat16")
    for cfg, size in ((CFG, 4), (half, 2)):
        assert plan_flops.weight_bytes(cfg) == MULTIPLIED * size
        assert plan_flops.weight_bytes(cfg, adapter=7) == (MULTIPLIED + 7) * size
        assert (
            plan_flops.token_bytes(cfg) == 2 * 2 * 1 * 2 * size
        )  # k and v, layers, heads, channels
        # Two steps; at the first of them the three rows hold five tokens, then six.
        cached = 3 * (5 + 6) * 8 * size
        assert plan_flops.decode_bytes(cfg, 3, 5, 2) == 2 * MULTIPLIED * size + cached


def settings(**more):
    c = defaults.default()
    c.update_from_flattened_dict(
        {
            "stages": ("stage2",), "rollout.batch": 6, "rollout.max_new_tokens": 4,
            "rollout.pad_to_multiple_of": 8, "rollout.max_num_seqs": 4, "rollout.t_max": 2,
            "rl.microbatches": 2, "rl.updates_per_rollout": 3, **more,
        }
    )  # fmt: skip
    return c


def work(mesh=(1, 1, 1), prompt_tokens=5, cfg=CFG, **more):
    found = plan_flops.step_work(settings(**more), cfg, mesh_of(*mesh), prompt_tokens)
    return {(w.role, w.phase): (w.flops, w.bytes) for w in found}


def test_a_step_by_hand():
    prefill = (30 * (2 * 240 + SEEN * 5 / 2), 4 * 240)  # 6 rows of 5 tokens, no logits, one call
    seen = 6 * (5 + 6 + 7 + 8)
    # Four slots: four rows, then two, 4 steps each.
    decode = (24 * 2 * MULTIPLIED + SEEN * seen, 2 * 4 * 4 * MULTIPLIED + seen * 32)
    # 6 rows, padded to 16 tokens, in float32: XLA's attention scores all 16. Two models; each of
    # two microbatches reads the weights.
    scoring = (2 * 96 * (2 * MULTIPLIED + SEEN * 16), 2 * 2 * 4 * MULTIPLIED)
    # Weights forward and backward, gradients read and written; then 7 numbers for AdamW.
    moved = 2 * (2 * 4 * MULTIPLIED + 2 * 4 * MULTIPLIED) + 7 * 4 * MULTIPLIED
    update = (3 * 96 * (6 * MULTIPLIED + 3 * SEEN * 16 + 2 * 40), 3 * moved)
    expected = {}
    for role, turns in (("conversation", 3), ("feedback", 2)):
        expected |= {
            (role, "prefill"): tuple(turns * x for x in prefill),
            (role, "decode"): tuple(turns * x for x in decode),
            (role, "log-probs"): scoring,
            (role, "update"): update,
        }
    assert work() == expected


def test_devices_share_the_work():
    one, four = work(), work(mesh=(1, 2, 2))
    role = "feedback"
    # Three rows in each of two groups, whose two devices share them: waves of two rows and of one.
    seen = 3 * (5 + 6 + 7 + 8)
    assert four[role, "prefill"] == (one[role, "prefill"][0] / 4, one[role, "prefill"][1] / 2)
    assert four[role, "decode"] == (
        one[role, "decode"][0] / 4,
        2 * (2 * 4 * 4 * MULTIPLIED + seen * 32) / 2,
    )
    # Eight rows: microbatches are padded to four.
    assert four[role, "log-probs"] == tuple(
        x * n for x, n in zip(one[role, "log-probs"], (8 / 6 / 4, 1 / 2), strict=True)
    )
    moved = 2 * (2 * 2 * MULTIPLIED + 2 * MULTIPLIED) + 7 * MULTIPLIED
    assert four[role, "update"] == (one[role, "update"][0] * 8 / 6 / 4, 3 * moved)
    data = work(mesh=(2, 1, 1))[role, "update"]  # each of both holds all that is trained
    assert data[1] == one[role, "update"][1]


def test_a_small_cache_makes_waves():
    whole_, small = work(), work(**{"rollout.cache_tokens": 2 * 32 + 8})  # two rows of a page
    role = "conversation"
    assert small[role, "decode"][1] - whole_[role, "decode"][1] == 3 * 4 * 4 * MULTIPLIED
    assert small[role, "decode"][0] == whole_[role, "decode"][0]


def test_a_row_takes_whole_pages():
    # Rows of 29 + 4 tokens take two of 32: three pages are for one row, four for two.
    one, two = (
        work(prompt_tokens=29, **{"rollout.cache_tokens": pages * 32})["feedback", "decode"]
        for pages in (3, 4)
    )
    assert one[1] - two[1] == 2 * (6 - 3) * 4 * 4 * MULTIPLIED  # turns, waves, steps


def test_a_prompt_is_as_long_as_the_engine_allows():
    longer = dataclasses.replace(CFG, max_positions=131_072)
    for cfg, more in (
        (CFG, {}),  # 64 positions
        (longer, {"rollout.cache_tokens": 8 * 64 + 255}),  # two whole pages a group
    ):
        work(mesh=(1, 8, 1), prompt_tokens=60, cfg=cfg, **more)
        engine = make_engine(settings(**more), cfg, mesh_of(1, 8, 1), (0,), None)
        engine.checked(Request(0, "m", (1,) * 60, Sampling(4), 0), ("m",))
        with pytest.raises(ValueError, match="got 61, allowed is 1 to 60 "):
            engine.checked(Request(0, "m", (1,) * 61, Sampling(4), 0), ("m",))
        with pytest.raises(ValueError, match=r"^--prompt_tokens: got 61, allowed are 1 to 60: "):
            work(mesh=(1, 8, 1), prompt_tokens=61, cfg=cfg, **more)
    eight = {"rollout.cache_tokens": 8192, "rollout.max_new_tokens": 512}
    with pytest.raises(
        ValueError, match=r"1 to 512: 1024 .*131072 positions.*config.rollout.cache_tokens is 1024;"
    ):
        work(mesh=(1, 8, 1), prompt_tokens=1024, cfg=longer, **eight)
    with pytest.raises(ValueError, match=r"got 1, allowed is none: 64 less .*_new_tokens = 64;"):
        work(prompt_tokens=1, **{"rollout.max_new_tokens": 64})
    with pytest.raises(ValueError, match=r"got 0, allowed are 1 to 60: "):
        work(prompt_tokens=0)


def test_prefill_reads_the_layers_at_each_call():
    # 6 x 100 tokens; 16 pages of 32 at a time.
    longer = dataclasses.replace(CFG, max_positions=128)
    found = work(prompt_tokens=100, cfg=longer, **{"rollout.max_num_seqs": 16})
    assert found["feedback", "prefill"][1] == 2 * 2 * 960


def test_a_larger_vocabulary_is_trained_twice_where_it_is_not_tied():
    untied = work(cfg=dataclasses.replace(CFG, tied_embeddings=False, remat="full"))
    tied = work(cfg=dataclasses.replace(CFG, remat="full"))
    moved = [w["feedback", "update"][1] for w in (tied, untied, work())]
    assert moved[1] - moved[0] == 3 * 40 * (2 * 8 + 28)
    assert moved[0] - moved[2] == 3 * 2 * 4 * MULTIPLIED  # and the weights once more


@pytest.mark.parametrize(
    ("stage", "turns", "trained"),
    [
        ("stage1", {"conversation": 3, "feedback": 2}, {"feedback"}),
        ("single", {"conversation": 1}, {"conversation"}),
    ],
)
def test_who_speaks_and_who_learns(stage, turns, trained):
    found, both = work(stages=(stage,)), work()
    for role, count in turns.items():
        each = both[role, "decode"][0] / (3 if role == "conversation" else 2)
        assert found[role, "decode"][0] == count * each
    assert {role for role, phase in found if phase == "decode"} == set(turns)
    for phase in ("update", "log-probs"):
        assert {role for role, name in found if name == phase} == trained


def test_supervised_tuning_is_one_update():
    rows = {"sft.batch": 6, "sft.length": 16, "sft.microbatches": 2, "sft.role": "conversation"}
    flops, read = (x / 3 for x in work()["conversation", "update"])
    found = work(stages=("sft",), **rows)
    # 96 tokens are scored anew against the 16 of a row, which is half of their attention.
    assert found == {("conversation", "update"): (flops + 96 * SEEN * 16 / 2, read)}


@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_packed_rows_have_the_scores_that_flash_attention_leaves_out(remat):
    flash = dataclasses.replace(CFG, head_dim=8, dtype="bfloat16", remat=remat)
    rows = {"sft.batch": 6, "sft.length": 16, "sft.microbatches": 2, "sft.role": "conversation"}
    packed = work(cfg=flash, stages=("sft",), **rows)["conversation", "update"][0]
    half = 96 * 4 * SEEN * 8  # 96 tokens see 8 of 16 on average; heads are four times CFG's
    passes = 3 if remat == "none" else 4  # forward, twice that backward, and anew
    for attention, unseen in (("auto", half), ("cudnn", half), ("xla", 0)):
        found = work(cfg=flash, **{"model.attention": attention})
        anew = 96 * 4 * SEEN * 16 / 2  # packed rows alone are scored once more, whatever is kept
        assert packed - found["conversation", "update"][0] / 3 == passes * unseen + anew
        scored = found["conversation", "log-probs"][0] / 2
        assert scored == 96 * plan_flops.forward_flops(flash, 16) + half - unseen


def test_adapters_are_read_with_their_base_and_trained_alone():
    found = work(**{"lora.rank": 3})["feedback", "update"][1]
    adapter = 3 * 2 * 58
    read = 2 * 2 * 4 * (MULTIPLIED + adapter)
    assert found == 3 * (read + 2 * 8 * adapter + 28 * adapter)


# An independent count: the products of the update's program that any result needs.


def product_flops(jaxpr) -> int:
    total = 0
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            summed = [e.invars[0].aval.shape[i] for i in e.params["dimension_numbers"][0][0]]
            total += 2 * math.prod(e.outvars[0].aval.shape) * math.prod(summed)
        times = e.params["length"] if e.primitive.name == "scan" else 1
        for value in e.params.values():
            for part in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(part, "jaxpr", part)
                total += times * product_flops(inner) if hasattr(inner, "eqns") else 0
    return total


@pytest.mark.parametrize(
    ("rank", "remat", "packed"),
    [(0, "dots", True), (0, "full", False), (2, "none", False), (2, "full", True)],
)
def test_the_update_has_these_products(rank, remat, packed):
    rows, tokens, mesh = 2, 64, mesh_of(1, 1, 1)
    cfg = tiny_config(layers=3, remat=remat)
    optimizer = agent_optimizer(defaults.default(), 1e-5, updates=1)

    def placed(init):
        shapes = jax.eval_shape(lambda: init(jax.random.key(0)))
        return abstract(shapes, params_sharding(mesh, shapes))

    base = placed(partial(init_params, cfg))
    trained, merge, adapter = base, full_params, 0
    if rank:
        form = Lora(rank, 1.0, MATRICES)
        trained, merge = placed(partial(init_adapter, cfg, form)), adapter_merge(form)
        adapter = plan_flops.adapter_weights(cfg, form)
    state = abstract_state(trained, optimizer, mesh)
    update = make_update(
        cfg,
        nll,
        optimizer,
        temperature=1.0,
        block=100,
        state_sharding=shardings(state),
        merge=merge,
    )
    batch = abstract_batch(mesh, 1, rows, tokens, packed=packed)
    made = jax.make_jaxpr(update)(state, batch, base if rank else None).jaxpr
    needed, _ = partial_eval.dce_jaxpr(made, [True] * len(made.outvars))
    last = 4 * 2 * cfg.vocab_size * cfg.width / tokens  # a row's last token has no logits
    executed = plan_flops.update_flops(cfg, tokens, adapter, square=True, packed=packed)
    expected = rows * tokens * (executed - last)
    assert product_flops(needed) == pytest.approx(expected, rel=0.01)
