"""What the sampler says of its tokens is what the trainer computes for them."""

from functools import partial

import jax.numpy as jnp
import optax
import pytest
from support import mesh_of, sharded_params, slow, tiny_config

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Sampling
from waltzjax.run.runtime import over_mesh
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.types import Sample

GAP_ATOL = 1e-4  # nats, in float32
# In bfloat16 logits of up to 2 are rounded to 1/128, and so are the layers before them.
BF16_GAP_MEAN, BF16_GAP_MAX = 0.02, 0.1
CFG = tiny_config()
SETTINGS = {
    "plain": {}, "hot": {"temperature": 1.7}, "cold": {"temperature": 0.3},
    "top-k": {"top_k": 9}, "one": {"top_k": 1}, "top-p": {"top_p": 0.8},
    "min-p": {"min_p": 0.2}, "all": {"temperature": 0.6, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
}  # fmt: skip


ONE, EIGHT = (1, 1, 1), (2, 2, 2)


def learned(cfg, shape, how):
    """(metrics, learner, parameters, batch) of one step on what an engine has drawn."""
    mesh = mesh_of(*shape)
    params = sharded_params(cfg, mesh)
    engine = Engine(cfg, mesh, (399,), max_num_seqs=8, cache_tokens=2048)
    prompts = [tuple(range(1 + i, 40 - i)) for i in range(8)]
    drawn = engine.generate(params, prompts, how, list(range(8)))
    rows = [
        Sample(prompt, t.token_ids, t.logprobs, float(i % 3), t.cutoff_gap)
        for i, (prompt, t) in enumerate(zip(prompts, drawn, strict=True))
    ]
    batch = device_batch(
        rows, mesh, microbatches=1, multiple=64, weights="sequence", max_length=256,
        truncated=how.truncates,
    )  # fmt: skip
    optimizer = optax.sgd(1e-3)
    learner = Learner(
        over_mesh(cfg, mesh), optimizer,
        partial(
            policy_loss, clip_low=0.2, clip_high=0.2, dual_clip=None, kl_in="reward", estimator="k1"
        ),
        partial(
            compute_advantages, kl_in="reward", estimator="k1", normalise=True,
            tis_cap=0.0,
        ),
        temperature=how.temperature, block=64, updates=1,
    )  # fmt: skip
    _, metrics = learner.learn(init_state(params, optimizer, mesh), None, params, batch)
    assert float(metrics["tokens"]) == sum(len(t.token_ids) for t in drawn)
    return metrics, learner, params, batch


@pytest.mark.parametrize(
    "name, shape",
    [
        *((name, ONE) for name in ("plain", "top-k", "top-p", "all")),
        *(slow(name, ONE) for name in ("hot", "cold", "one", "min-p")),
        ("all", EIGHT),
    ],
)
def test_gap(name, shape):
    how = Sampling(24, **SETTINGS[name])
    metrics, *_ = learned(CFG, shape, how)
    assert float(metrics["gap_max"]) < GAP_ATOL
    # The policy is its reference, whatever is left out of the distributions it is sampled from.
    assert float(metrics["kl"]) == float(metrics["kl_k1"]) == 0


@pytest.mark.parametrize("name", ["plain", "top-p"])
def test_gap_in_bfloat16(name):
    """A rounding may put a token at the edge on its other side, which moves all others a little."""
    cfg = tiny_config(dtype=jnp.bfloat16)
    metrics, *_ = learned(cfg, ONE, Sampling(24, **SETTINGS[name]))
    assert 0 < float(metrics["gap_mean"]) < BF16_GAP_MEAN
    assert float(metrics["gap_max"]) < BF16_GAP_MAX
