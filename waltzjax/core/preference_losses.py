"""Losses on preferences: they see log-probabilities and pairs, never the model.

Every loss and every metric here is a SUM weighted by ``batch.pair_B``, which sums to 1 over the
pairs of a whole update, so neither microbatches nor devices change a gradient; the pairs that
padding adds have weight 0. Arrays named N have one entry a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from waltzjax.core.losses import nll


class Ratios(NamedTuple):
    """log pi(y | x) - log pi_ref(y | x) of the whole answers, nats, and how many tokens they have.
    Without a reference: log pi(y | x)."""

    chosen_N: jax.Array
    rejected_N: jax.Array
    chosen_tokens_N: jax.Array  # >= 1
    rejected_tokens_N: jax.Array

    @property
    def lead_N(self) -> jax.Array:
        """h of the papers: by how much chosen answers lead rejected ones."""
        return self.chosen_N - self.rejected_N

    @property
    def lead_per_token_N(self) -> jax.Array:
        """``lead_N`` of log-ratios that are averaged over an answer's tokens."""
        return self.chosen_N / self.chosen_tokens_N - self.rejected_N / self.rejected_tokens_N


def sigmoid(r: Ratios, beta: float, label_smoothing: float = 0.0) -> jax.Array:
    """DPO: -log sigmoid(beta h) (arXiv 2305.18290, eq. 7).

    label_smoothing e: -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h), conservative DPO
    (E. Mitchell, "A note on DPO with noisy preferences"). Without a reference it is CPO's
    preference term (arXiv 2401.08417).
    """
    of_pair_N, of_swapped_N = _both_ways(beta * r.lead_N)
    return (1 - label_smoothing) * of_pair_N + label_smoothing * of_swapped_N


def robust(r: Ratios, beta: float, label_smoothing: float) -> jax.Array:
    """Robust DPO (arXiv 2403.00409): (-(1 - e) log sigmoid(beta h) + e log sigmoid(-beta h)) /
    (1 - 2 e). Its mean over pairs of which the share e was swapped is DPO's loss without that."""
    of_pair_N, of_swapped_N = _both_ways(beta * r.lead_N)
    e = label_smoothing
    return ((1 - e) * of_pair_N - e * of_swapped_N) / (1 - 2 * e)


def ipo_sum(r: Ratios, beta: float) -> jax.Array:
    """IPO (arXiv 2310.12036, eq. 17): (h - 1 / (2 beta))^2, beta being its tau."""
    return jnp.square(r.lead_N - 1 / (2 * beta))


def ipo(r: Ratios, beta: float) -> jax.Array:
    """IPO as in ``ipo_sum``, of log-ratios averaged over tokens.

    Differs from the paper, whose equation has the answers' sums: according to TRL's authors, those
    of IPO report that the paper's results are of the average.
    """
    return jnp.square(r.lead_per_token_N - 1 / (2 * beta))


def hinge(r: Ratios, beta: float) -> jax.Array:
    """max(0, 1 - beta h): the hinge loss of arXiv 2309.06657, its margin 1 / beta nats.

    Without a reference that is SLiC-HF's calibration loss (arXiv 2305.10425) with
    delta = 1 / beta, times beta. Differs from that paper: the reference, and no regularisation but
    ``sft_weight``.
    """
    return jax.nn.relu(1 - beta * r.lead_N)


def apo_zero(r: Ratios, beta: float) -> jax.Array:
    """APO-zero (arXiv 2408.06266, eq. 7): chosen answers become likelier than under the reference,
    rejected ones less likely. Differs from the paper by adding 1, as TRL does: >= 0."""
    return jax.nn.sigmoid(-beta * r.chosen_N) + jax.nn.sigmoid(beta * r.rejected_N)


def sigmoid_norm(r: Ratios, beta: float, margin: float = 0.0) -> jax.Array:
    """DPO of log-ratios averaged over tokens: -log sigmoid(beta h' - margin).

    Without a reference that is SimPO (arXiv 2405.14734, eq. 6), ``margin`` its gamma.
    """
    return -jax.nn.log_sigmoid(beta * r.lead_per_token_N - margin)


def _both_ways(z_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """DPO's loss of the pairs, and of the pairs swapped."""
    return -jax.nn.log_sigmoid(z_N), -jax.nn.log_sigmoid(-z_N)


PAIR_LOSSES: dict[str, Callable[..., jax.Array]] = {
    "sigmoid": sigmoid,
    "robust": robust,
    "ipo": ipo,
    "ipo_sum": ipo_sum,
    "hinge": hinge,
    "apo_zero": apo_zero,
    "sigmoid_norm": sigmoid_norm,
}
PER_TOKEN = ("ipo", "sigmoid_norm")  # of log-ratios averaged over an answer's tokens
SQUARED = ("ipo", "ipo_sum")  # whose slope where answers are not told apart is 1 / beta, not beta


def preference_loss(
    logp_BT: jax.Array,
    batch,
    *,
    kind: str,
    beta: float,
    label_smoothing: float = 0.0,
    margin: float = 0.0,
    sft_weight: float = 0.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss ``kind`` of PAIR_LOSSES, and ``sft_weight`` times the chosen answers' negative
    log-likelihood, nats a token.

    Args:
      logp_BT: log pi of each token, nats; only those at ``batch.action_BT`` are read.
      batch: a ``types.PairBatch``.
      beta: > 0. How strongly the policy is held to the reference; tau of IPO.
      label_smoothing: of "sigmoid" in [0, 0.5), of "robust" in (0, 0.5).
      margin: of "sigmoid_norm", >= 0, in units of beta * nats a token.
      sft_weight: >= 0.

    Returns:
      The loss, and metrics, means over pairs, by TRL's names: "rewards/chosen" and
      "rewards/rejected", the implicit reward beta (log pi - log pi_ref) of whole answers whatever
      the kind, "rewards/margins" between the two, "rewards/accuracies", the share of pairs where it
      is above 0, "logps/chosen" and "logps/rejected", nats an answer; and "pair_loss", the loss
      without the likelihood term, with ``sft_weight`` "sft_nll", nats a token.

    Raises:
      ValueError: another kind; an odd number of rows, so that a pair was split.
      TypeError: a smoothing or margin that this kind does not have, or none where it needs one.
    """
    if kind not in PAIR_LOSSES:
        raise ValueError(f"preference loss: got {kind!r}, allowed are {', '.join(PAIR_LOSSES)}")
    if logp_BT.shape[0] % 2:
        raise ValueError(
            f"preference loss: got {logp_BT.shape[0]} rows, allowed is an even number, two a pair: "
            "pad with whole pairs before they are split (preference.batch.device_pairs)"
        )
    options = {"label_smoothing": label_smoothing, "margin": margin}
    logp_N, rejected_logp_N = _by_pair(jnp.where(batch.action_BT, logp_BT, 0).sum(1))
    ref_N, rejected_ref_N = _by_pair(batch.ref_logp_B)
    tokens = (jnp.maximum(n, 1) for n in _by_pair(batch.action_BT.sum(1)))
    ratios = Ratios(logp_N - ref_N, rejected_logp_N - rejected_ref_N, *tokens)
    weight_N, _ = _by_pair(batch.pair_B)

    def mean(value_N: jax.Array) -> jax.Array:
        return jnp.sum(weight_N * value_N)

    loss = mean(PAIR_LOSSES[kind](ratios, beta, **{k: v for k, v in options.items() if v}))
    metrics = {
        "pair_loss": loss,
        "rewards/margins": mean(beta * ratios.lead_N),
        "rewards/accuracies": mean(ratios.lead_N > 0),
        "rewards/chosen": mean(beta * ratios.chosen_N),
        "rewards/rejected": mean(beta * ratios.rejected_N),
        "logps/chosen": mean(logp_N),
        "logps/rejected": mean(rejected_logp_N),
    }
    if sft_weight:
        metrics["sft_nll"], _ = nll(logp_BT, batch)
        loss += sft_weight * metrics["sft_nll"]
    return loss, metrics


def _by_pair(value_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The values of the chosen answers and those of the rejected ones, each [N]."""
    value_N2 = value_B.reshape(-1, 2)
    return value_N2[:, 0], value_N2[:, 1]
