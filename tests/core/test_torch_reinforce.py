"""A whole REINFORCE++ step against PyTorch: advantages, loss, gradient, from equations alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from reference import cases

from waltzjax.data.batching import pad_rows
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.types import Sample

ATOL = 1e-5  # advantages and losses of order 1, gradients below it
BETA, CLIP, REWARD_CLIP = 0.05, (0.2, 0.28), 2.0
SETTINGS = {
    "paper": dict(),
    "token mean": dict(weights="token"),
    "k3 in the loss": dict(kl_in="loss", estimator="k3"),
    "k2 in the reward": dict(estimator="k2"),
    "dual clip": dict(dual_clip=3.0),
    "importance weights": dict(tis_cap=1.2),
}


def rows(rng, count=11):
    """Ragged: contexts of 1 to 6 tokens, actions of 1 to 17, advantages of any size."""
    drawn = []
    for _ in range(count):
        context, action = (tuple(rng.integers(1, 99, rng.integers(1, n))) for n in (7, 18))
        drawn.append(Sample(context, action, tuple(-rng.random(len(action))), 2.5 * rng.normal()))
    return drawn


def torch_step(samples, logp, old, ref, sampler, *, weights, kl_in, estimator, dual_clip, tis_cap):
    """(advantages, loss) of lists of ragged tensors: equations of arXiv 2501.03262 (4; then the
    normalisation over the batch), 1707.06347 (7), 1912.09729 (5), 1802.01561 (1) and Schulman's
    note on KL."""

    def divergence(log_p, log_q):
        r = log_q - log_p
        return {"k1": -r, "k2": 0.5 * r**2, "k3": torch.expm1(r) - r}[estimator]

    returns = []
    for s, o, q in zip(samples, old, ref, strict=True):
        penalty = divergence(o, q) if kl_in == "reward" else torch.zeros_like(o)
        to_come = torch.stack([penalty[i:].sum() for i in range(len(penalty))])
        returns.append(torch.tensor(s.advantage) - BETA * to_come)
    every = torch.cat(returns)
    deviation = every.var(correction=0).clamp(min=1e-8).sqrt()
    advantages = [(r - every.mean()) / deviation for r in returns]

    loss, tokens = torch.zeros(()), sum(map(len, logp))
    for p, o, q, d, a in zip(logp, old, ref, sampler, advantages, strict=True):
        ratio = (p - o).exp()
        objective = torch.min(ratio * a, ratio.clamp(1 - CLIP[0], 1 + CLIP[1]) * a)
        if dual_clip:
            objective = torch.where(a < 0, torch.max(objective, dual_clip * a), objective)
        if tis_cap:
            objective = (o - d).exp().clamp(max=tis_cap) * objective
        each = -objective + (BETA * divergence(p, q) if kl_in == "loss" else 0)
        share = 1 / tokens if weights == "token" else 1 / (len(p) * len(logp))
        loss = loss + share * each.sum()
    return advantages, loss


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", SETTINGS)
def test_advantages_loss_and_gradient(name, seed):
    how = dict(weights="sequence", kl_in="reward", estimator="k1", dual_clip=None, tis_cap=0.0)
    how |= SETTINGS[name]
    rng = np.random.default_rng(seed)
    samples = rows(rng)
    batch = pad_rows(samples, multiple=8, weights=how["weights"], min_rows=4)
    mask = batch.action_BT
    old = cases.log_probs(rng, mask.shape)
    near = {key: old + 0.3 * rng.standard_normal(mask.shape).astype(np.float32)
            for key in ("logp", "ref", "sampler")}  # fmt: skip
    padded = {key: cases.with_garbage(rng, x, mask) for key, x in {**near, "old": old}.items()}
    batch = batch._replace(
        old_logp_BT=padded["old"], ref_logp_BT=padded["ref"], sampler_logp_BT=padded["sampler"],
        beta_B=np.full(len(mask), BETA, np.float32),
    )  # fmt: skip
    batch = jax.tree.map(jnp.asarray, batch)
    kl = dict(kl_in=how["kl_in"], estimator=how["estimator"])
    credited = compute_advantages(batch, **kl, normalise=True, tis_cap=how["tis_cap"])
    loss_of = partial(
        policy_loss, **kl, clip_low=CLIP[0], clip_high=CLIP[1], dual_clip=how["dual_clip"]
    )
    (loss, _), gradient = jax.value_and_grad(loss_of, has_aux=True)(
        jnp.asarray(padded["logp"]), credited
    )

    def ragged(array):
        return [torch.tensor(array[b][mask[b]]) for b in range(len(samples))]

    logp = [x.requires_grad_() for x in ragged(padded["logp"])]
    others = [ragged(padded[key]) for key in ("old", "ref", "sampler")]
    advantages, want = torch_step(samples, logp, *others, **how)
    want.backward()
    for got, expected in (
        (credited.advantage_BT, advantages), (gradient, [x.grad for x in logp]),
    ):  # fmt: skip
        got = np.asarray(got)
        np.testing.assert_allclose(got[mask], torch.cat(expected).detach(), rtol=0, atol=ATOL)
        assert not got[~mask].any()
    assert float(loss) == pytest.approx(want.item(), abs=ATOL)
    assert np.abs(np.asarray(gradient)).max() > 100 * ATOL
