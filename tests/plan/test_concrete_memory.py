"""Predicted memory of learning against the same step of real arrays, as XLA compiles it for them:
what the run's own code makes of weights, adapters, optimisers and a batch of full rows."""

import json
from functools import partial
from runpy import run_path

import jax
import numpy as np
import pytest
from support import REPO, mesh_of, slow

from waltzjax.core.losses import nll
from waltzjax.data.packing import ChatTokens
from waltzjax.evaluation.likelihood import place_rows
from waltzjax.model.lora import init_adapter
from waltzjax.model.sharding import params_sharding
from waltzjax.model.transformer import init_params
from waltzjax.plan.compile import learning_peak
from waltzjax.plan.generator import generator_config
from waltzjax.preference.batch import PairTokens
from waltzjax.preference.dpo import dpo_loss, place_pairs
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import over_mesh
from waltzjax.run.trainable import adapter_form, adapter_merge
from waltzjax.stages.data_stage import data_update
from waltzjax.stages.reinforce import agent_learner, agent_optimizer
from waltzjax.stages.stage import PREFER, SUPERVISE
from waltzjax.training.learner import device_batch, init_state
from waltzjax.training.step import full_params
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, Sample

SHAPE = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 4,
    "max_position_embeddings": 256, "tie_word_embeddings": False,
}  # fmt: skip
PROMPT, NEW = 48, 16
SIZES = {
    "rollout.batch": 16, "rollout.max_new_tokens": NEW, "rollout.pad_to_multiple_of": 16,
    "rollout.cache_tokens": 4096, "lora.rank": 0,
}  # fmt: skip
CASES = {
    "stage2": ("stage2", {"rl.microbatches": 2}),
    "stage1": ("stage1", {"rl.microbatches": 2, "model.remat": "dots"}),
    "stage2-lora": ("stage2", {"lora.rank": 4, "model.param_dtype": "bfloat16"}),
    "sft": ("sft", {"sft.batch": 16, "sft.length": 64}),
    "rlvr": (
        "rlvr_naive",
        {"rollout.batch": 8, "rollout.group": 2, "rl.token_budget": 128,
         "problems.max_tokens": PROMPT},
    ),
    "dpo": ("regime_w_dpo", {"lora.rank": 4, "dpo.batch": 16, "dpo.max_tokens": PROMPT + NEW}),
}  # fmt: skip


def bytes_of_first_device(tree):
    first = jax.devices()[0]
    shards = (s for leaf in jax.tree.leaves(tree) for s in leaf.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == first)


def made(init, mesh):
    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.jit(init, out_shardings=params_sharding(mesh, shapes))(jax.random.key(0))


def full_rows(count):
    """Texts as long as the plan counts them."""
    rng = np.random.default_rng(0)

    def ids(n):
        return tuple(map(int, rng.integers(5, 512, n)))

    return [(ids(PROMPT), ids(NEW)) for _ in range(count)]


def measured_peak(config, directory, mesh):
    """Bytes of the first device while it learns."""
    cfg = over_mesh(generator_config(config, directory), mesh)
    stage = STAGES[config.stages[-1]]
    roles = stage.roles(config)
    base = made(partial(init_params, cfg), mesh)
    merge, start, frozen, alive = full_params, base, None, [base]
    if config.lora.rank:
        form = adapter_form(config)
        start = made(partial(init_adapter, cfg, form), mesh)
        merge, frozen = adapter_merge(form), base
        everyone = (POLICY,) if roles == (POLICY,) else (CONVERSATION, FEEDBACK)
        alive += [start] * len(everyone)
    optimizer = agent_optimizer(config, 1e-5, updates=1)
    states = [init_state(start, optimizer, mesh) for _ in roles]
    state, rows = states[0], full_rows(16)
    samples = [Sample(p, a, (-6.0,) * NEW, float(i % 3)) for i, (p, a) in enumerate(rows)]
    if stage.kind == SUPERVISE:
        chats = [(ChatTokens(p + a, (0,) * PROMPT + (1,) * NEW),) for p, a in rows]
        batch = place_rows(config, mesh, chats)
        update = data_update(config, cfg, nll, optimizer, merge, state)
    elif stage.kind == PREFER:
        pairs = [PairTokens(p, a, a[::-1]) for p, a in rows]
        batch = place_pairs(config, mesh, pairs)
        update = data_update(config, cfg, dpo_loss(config), optimizer, merge, state)
    else:
        learner = agent_learner(config, cfg, stage.recipe(config), merge, optimizer)
        batch = device_batch(
            samples,
            mesh,
            microbatches=config.rl.microbatches,
            multiple=config.rollout.pad_to_multiple_of,
            weights="sequence",
            max_length=cfg.max_positions,
            max_new_tokens=NEW,
            token_budget=config.rl.token_budget,
            longest_text=cfg.longest_text,
        )
        learner._build(state)
        batch = learner._score(merge(frozen, state.params), base, batch)
        batch = learner._compute_advantages(batch, state.beta)
        update = learner._update
    memory = update.lower(state, batch, frozen).compile().memory_analysis()
    made_anew = memory.output_size_in_bytes - memory.alias_size_in_bytes
    counters = [(s.step, s.beta) for s in states]
    resident = bytes_of_first_device([alive, states]) - bytes_of_first_device(counters)
    return resident + bytes_of_first_device(batch) + made_anew + memory.temp_size_in_bytes


@pytest.mark.parametrize(
    "case", ["stage2", "dpo", *map(slow, ["stage1", "stage2-lora", "sft", "rlvr"])]
)
@pytest.mark.parametrize("shape", [(1, 4, 2), slow((1, 1, 1)), slow((2, 2, 2))])
def test_the_plan_is_within_five_per_cent_of_real_arrays(case, shape, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    name, settings = CASES[case]
    config = run_path(str(REPO / f"configs/{name}.py"))["get_config"]("")
    config.update_from_flattened_dict(SIZES | settings)
    mesh = mesh_of(*shape)
    predicted, _ = learning_peak(config, tmp_path, mesh, PROMPT)
    assert predicted == pytest.approx(measured_peak(config, tmp_path, mesh), rel=0.05)
