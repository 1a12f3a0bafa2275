"""The work of a step by hand: FLOPs and bytes of each part on each device."""

import dataclasses

import pytest
from support import mesh_of

from waltzjax.config import defaults
from waltzjax.engine.requests import Request, Sampling
from waltzjax.model import flops as model_flops
from waltzjax.model.architecture import ModelConfig
from waltzjax.plan import work as plan_work
from waltzjax.run.runtime import make_engine

CFG = ModelConfig(
    vocab_size=10, width=4, mlp_width=6, layers=2, heads=2, kv_heads=1, head_dim=2,
    max_positions=64,
)  # fmt: skip
MULTIPLIED = 2 * 120 + 40  # see test_flops.py
SEEN = 32


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
    found = plan_work.step_work(settings(**more), cfg, mesh_of(*mesh), prompt_tokens)
    return {(w.role, w.phase): (w.flops, w.bytes) for w in found if w.phase != "weights"}


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


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_stage_that_draws_nothing_needs_no_room_for_a_turn(stage):
    found = plan_work.step_work(
        settings(**{"stages": (stage,), "rollout.cache_tokens": 1}), CFG, mesh_of(1, 1, 1), 5000
    )
    assert {w.phase for w in found} <= {"log-probs", "update"}


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
        assert scored == 96 * model_flops.forward_flops(flash, 16) + half - unseen


def test_adapters_are_read_with_their_base_and_trained_alone():
    found = work(**{"lora.rank": 3})["feedback", "update"][1]
    adapter = 3 * 2 * 58
    read = 2 * 2 * 4 * (MULTIPLIED + adapter)
    assert found == 3 * (read + 2 * 8 * adapter + 28 * adapter)


def test_weights_are_read_and_written_for_each_agent_or_once_for_adapters():
    half = dataclasses.replace(CFG, dtype="bfloat16")
    for shape, more, roles in (
        ((1, 2, 2), {}, ["conversation", "feedback"]),
        ((1, 2, 2), {"lora.rank": 3}, ["conversation"]),
        ((2, 1, 2), {"lora.rank": 3}, ["conversation"]),
    ):
        mesh = mesh_of(*shape)
        found = plan_work.generation_work(settings(**more), half, mesh, 5)
        weights = {w.role: w for w in found if w.phase == "weights"}
        assert list(weights) == roles
        # From float32, split over fsdp and tensor, to bfloat16, split over tensor.
        read = 4 * MULTIPLIED / (shape[1] * shape[2])
        assert weights["conversation"].bytes == read + 2 * MULTIPLIED / 2
        sent = sum(t.bytes for t in weights["conversation"].traffic)
        assert sent == pytest.approx(2 * MULTIPLIED / 2 / 2 if shape[1] == 2 else 0)


def test_collecting_draws_every_arms_answers_in_waves():
    c = settings(stages=("dpo",), **{"rollout.max_num_seqs": 8})
    c.collect.arms = c.collect.arms[:3]
    found = {w.phase: w for w in plan_work.collecting_work(c, CFG, mesh_of(1, 2, 1), 5, 20)}
    assert {*found} == {"weights", "prefill", "decode"}
    rows = 30  # of 60 answers, in each of two groups of four slots: eight waves
    seen = rows * (5 + 6 + 7 + 8)
    assert found["decode"].bytes == 8 * 4 * 4 * MULTIPLIED + seen * 32
    assert found["decode"].flops == rows * 4 * 2 * MULTIPLIED + SEEN * seen
