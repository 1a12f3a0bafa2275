"""One whole update on an engine's own draws, against transformers' model in float64: temperature,
truncated sampling, a KL in the reward or in the loss."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from safetensors.numpy import load_file
from support import mesh_of, sharded_params, slow, tiny_config
from transformers import AutoModelForCausalLM
from transformers.generation import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Sampling
from waltzjax.model import sharding
from waltzjax.model.hf import weights
from waltzjax.run.runtime import over_mesh
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.toy.base_model import train_tokenizer
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.types import Sample

CFG = tiny_config(vocab_size=300)
BETA, CAP, CLIP = 0.3, 2.0, 0.2
RTOL = 2e-4  # of a parameter's largest gradient: float32 against float64
METRIC_RTOL = 1e-4  # likewise, of figures
ONE, EIGHT = (1, 1, 1), (2, 2, 2)
BUDGET, SPAN = 128, 64
# temperature, top_k, top_p, min_p; where the KL is, and by which estimator
CASES = {
    "rlvr's": (dict(temperature=0.6), "loss", "k3"),
    "waltz's": (dict(temperature=0.6), "reward", "k1"),
    "top-p": (dict(temperature=0.6, top_p=0.9), "reward", "k1"),
    "top-p, in the loss": (dict(temperature=0.6, top_p=0.9), "loss", "k3"),
    "top-k": (dict(temperature=1.3, top_k=7), "loss", "k2"),
    "all": (dict(temperature=0.7, top_k=40, top_p=0.9, min_p=0.02), "loss", "k3"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The policy and its reference: in float32 as we hold them, in float64 as transformers does."""
    parent, tokenizer = tmp_path_factory.mktemp("models"), train_tokenizer(["a b"], CFG.vocab_size)
    rng, policy = np.random.default_rng(0), sharded_params(CFG, mesh_of(*ONE))
    near = jax.tree.map(lambda p: p + np.float32(0.07 * rng.normal(size=p.shape)), policy)
    params = {"p": policy, "r": near}
    for name, tree in params.items():
        weights.save(parent / name, CFG, tree, tokenizer, generation={})
    theirs = {n: AutoModelForCausalLM.from_pretrained(parent / n).double() for n in params}
    return params, theirs, partial(weights.save, cfg=CFG, tokenizer=tokenizer, generation={})


@pytest.fixture(scope="module")
def engine():
    return Engine(CFG, mesh_of(*ONE), (299,), max_num_seqs=8, cache_tokens=2048)


def draw(engine, params, how):
    """Eight texts, paid by their number."""
    prompts = [tuple(range(1 + i, 20 - i)) for i in range(8)]
    drawn = engine.generate(params, prompts, how, list(range(8)))
    return [
        Sample(prompt, t.token_ids, t.logprobs, float(i % 3), t.cutoff_gap)
        for i, (prompt, t) in enumerate(zip(prompts, drawn, strict=True))
    ]


def learnt(params, reference, samples, how, kl_in, estimator, *, shape=ONE, budget=0):
    """(metrics, gradient) of one update, the gradient read off a unit step."""
    mesh = mesh_of(*shape)
    cfg = over_mesh(tiny_config(vocab_size=300, longest_text=SPAN if budget else 0), mesh)
    batch = device_batch(
        samples, mesh, microbatches=1, multiple=16, weights="sequence", max_length=256,
        truncated=how.truncates, token_budget=budget, longest_text=SPAN,
    )  # fmt: skip
    kl, sgd = dict(kl_in=kl_in, estimator=estimator), optax.sgd(1.0)
    learner = Learner(
        cfg, sgd, partial(policy_loss, **kl, clip_low=CLIP, clip_high=CLIP, dual_clip=None),
        partial(compute_advantages, **kl, normalise=True, tis_cap=CAP),
        temperature=how.temperature, block=64, updates=1,
    )  # fmt: skip
    mine, theirs = (
        jax.device_put(p, sharding.params_sharding(mesh, p)) for p in (params, reference)
    )
    state = init_state(mine, sgd, mesh, BETA)
    before = jax.device_get(state.params)
    state, metrics = learner.learn(state, None, theirs, batch)
    after = jax.device_get(state.params)
    return jax.device_get(metrics), jax.tree.map(lambda a, b: jnp.asarray(a - b), before, after)


def log_probs(model, sample, how):
    """Of a sample's tokens: of the distribution they were drawn from, and over the vocabulary."""
    ids = torch.tensor([sample.prompt_ids + sample.token_ids])
    first = len(sample.prompt_ids)
    scaled_TV = model(ids).logits[0, first - 1 : -1] / how.temperature
    cut = LogitsProcessorList([TemperatureLogitsWarper(1.0)])
    if how.top_k:
        cut.append(TopKLogitsWarper(how.top_k))
    if how.top_p < 1:
        cut.append(TopPLogitsWarper(how.top_p))
    if how.min_p:
        cut.append(MinPLogitsWarper(how.min_p))
    chosen_T1 = ids[0, first:, None]
    return tuple(
        torch.log_softmax(x_TV, -1).gather(1, chosen_T1)[:, 0]
        for x_TV in (cut(ids, scaled_TV), scaled_TV)
    )


def divergence(kind, logp, ref):
    r = ref - logp
    return {"k1": -r, "k2": r**2 / 2, "k3": (r.exp() - r - 1).clamp(max=10)}[kind]


def wanted(policy, reference, samples, how, kl_in, estimator):
    """(loss, KL by k1, KL by k3) of REINFORCE++ in float64; gradients are left in ``policy``."""
    policy.zero_grad()
    each = [log_probs(policy, s, how) for s in samples]
    with torch.no_grad():
        refs = [log_probs(reference, s, how)[1] for s in samples]
    returns = []
    for sample, (_, full), ref in zip(samples, each, refs, strict=True):
        kl = divergence(estimator, full.detach(), ref) * (kl_in == "reward")
        returns.append(sample.advantage - BETA * kl.flip(0).cumsum(0).flip(0))
    mean, std = torch.cat(returns).mean(), torch.cat(returns).std(correction=0)
    loss = torch.zeros(())
    for sample, (logp, full), ref, ret in zip(samples, each, refs, returns, strict=True):
        correction = (logp.detach() - torch.tensor(sample.sampler_logprobs)).exp().clamp(max=CAP)
        # The ratio is 1, its gradient the log-probability's: nothing is clipped.
        objective = correction * (ret - mean) / std * (logp - logp.detach()).exp()
        penalty = BETA * divergence(estimator, full, ref) * (kl_in == "loss")
        loss = loss + (penalty - objective).mean() / len(samples)
    loss.backward()
    full, ref = torch.cat([f.detach() for _, f in each]), torch.cat(refs)
    return loss.item(), *(divergence(k, full, ref).mean().item() for k in ("k1", "k3"))


@pytest.mark.parametrize(
    ("case", "shape", "budget"),
    [
        *((name, ONE, 0) for name in ("rlvr's", "waltz's", "top-p, in the loss", "all")),
        *(slow(name, ONE, 0) for name in ("top-p", "top-k")),
        ("top-p, in the loss", EIGHT, 0),
        ("top-p, in the loss", ONE, BUDGET),
    ],
)
def test_an_update_equals_the_reference_s(case, shape, budget, models, engine, tmp_path):
    settings, kl_in, estimator = CASES[case]
    how = Sampling(24, **settings)
    params, theirs, save = models
    samples = draw(engine, params["p"], how)
    metrics, gradient = learnt(
        params["p"], params["r"], samples, how, kl_in, estimator, shape=shape, budget=budget
    )
    loss, k1, k3 = wanted(theirs["p"], theirs["r"], samples, how, kl_in, estimator)
    assert metrics["clip_fraction"] == 0 and metrics["gap_max"] < 1e-4
    assert metrics["loss"] == pytest.approx(loss, abs=1e-5)
    assert (metrics["kl_k1"], metrics["kl"]) == pytest.approx((k1, k3), rel=METRIC_RTOL)
    assert k3 > 0.02
    save(tmp_path / "gradient", params=gradient)
    got = load_file(tmp_path / "gradient/model.safetensors")
    want = {n: p.grad.numpy() for n, p in theirs["p"].named_parameters()}
    assert got.keys() == want.keys()
    for name, value in want.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(got[name] / scale, value / scale, atol=RTOL, err_msg=name)
        assert scale > 1e-3
