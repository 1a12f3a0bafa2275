"""Slow float64 references, written from the papers' equations with plain loops.

Nothing here shares code with the library. Every function takes array-likes, computes in float64
and returns numpy arrays or floats. Log-probabilities and KL values are in nats.
Shape letters: B rows, T tokens, V vocabulary.
"""

import math
from typing import NamedTuple

import numpy as np

LOG_RATIO_LIMIT = 20.0
K3_LIMIT = 10.0
MIN_VARIANCE = 1e-8


def _clip(x, low, high):
    return min(max(float(x), low), high)


def _log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def _rows(array):
    return np.asarray(array, dtype=np.float64)


def kept_tokens(logits_V, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """Which tokens top-k, then top-p, leave in the support (bool, [V]).

    Top-k keeps the k most probable tokens (0 or k >= V: all). Top-p then keeps the smallest set
    of most probable tokens whose cumulative probability, under the softmax of what top-k left,
    reaches top_p (1.0: all). Min-p keeps those at least min_p times as probable as the most
    probable one. Equal logits are taken in order of their index.
    Source: nucleus sampling, arXiv 1904.09751, equation 2; top-k, arXiv 1805.04833, section 5;
    min-p, arXiv 2407.01082, algorithm 1.
    """
    z_V = _rows(logits_V) / float(temperature)
    order = sorted(range(len(z_V)), key=lambda v: (-z_V[v], v))
    if 0 < top_k < len(order):
        order = order[: int(top_k)]
    if top_p < 1.0:
        normaliser = _log_sum_exp([z_V[v] for v in order])
        cumulative, nucleus = 0.0, []
        for v in order:
            nucleus.append(v)
            cumulative += math.exp(z_V[v] - normaliser)
            if cumulative >= top_p:
                break
        order = nucleus
    kept_V = np.zeros(len(z_V), dtype=bool)
    kept_V[order] = True
    if min_p > 0:
        kept_V &= np.exp(z_V - z_V.max()) >= min_p
    return kept_V


def top_p_margin(logits_V, temperature=1.0, top_k=0, top_p=1.0):
    """Distance from top_p to the nearest cumulative probability: tests avoid rounding ties."""
    z_V = _rows(logits_V) / float(temperature)
    z_V = np.sort(z_V[kept_tokens(logits_V, temperature, top_k)])[::-1]
    probability_V = np.exp(z_V - _log_sum_exp(list(z_V)))
    return float(np.min(np.abs(np.cumsum(probability_V) - top_p)))


def token_log_probs(logits_TV, targets_T, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """Log-probability of each target under the truncated, renormalised softmax.

    log p(y) = z_y - log sum_{v in K or v = y} exp(z_v), z = logits / temperature, K the tokens
    that top-k and then top-p keep. The target is always counted as kept.
    Source: softmax with temperature; truncation as in arXiv 1904.09751, equation 3.
    """
    logits_TV = _rows(logits_TV)
    out_T = np.zeros(len(logits_TV))
    for t, target in enumerate(targets_T):
        kept_V = kept_tokens(logits_TV[t], temperature, top_k, top_p, min_p)
        kept_V[int(target)] = True
        z_V = logits_TV[t] / float(temperature)
        out_T[t] = z_V[int(target)] - _log_sum_exp(list(z_V[kept_V]))
    return out_T


def entropy(logits_TV, temperature=1.0):
    """H_t = -sum_v p_v log p_v with p = softmax(logits_t / temperature), in nats.

    Source: Shannon entropy of the untruncated policy.
    """
    logits_TV = _rows(logits_TV)
    out_T = np.zeros(len(logits_TV))
    for t, logits_V in enumerate(logits_TV):
        z_V = logits_V / float(temperature)
        normaliser = _log_sum_exp(list(z_V))
        for z in z_V:
            log_p = z - normaliser
            out_T[t] -= math.exp(log_p) * log_p
    return out_T


def _per_token(function, first, second):
    first, second = _rows(first), _rows(second)
    out = np.zeros(first.shape)
    for index in np.ndindex(first.shape):
        out[index] = function(first[index], second[index])
    return out


def attention(q_BTHC, k_BTJC, v_BTJC, length_B, window=0):
    """Query t of a row sees keys max(0, t - window + 1) to t, all from 0 where window is 0; head h
    shares key head h J / H. Zero in the padding behind length_B."""
    q_BTHC, k_BTJC, v_BTJC = map(_rows, (q_BTHC, k_BTJC, v_BTJC))
    out_BTHC = np.zeros_like(q_BTHC)
    H, J, C = q_BTHC.shape[2], k_BTJC.shape[2], q_BTHC.shape[3]
    for b, length in enumerate(length_B):
        for t in range(length):
            seen = slice(max(0, t - window + 1) if window else 0, t + 1)
            for h in range(H):
                j = h * J // H
                score = k_BTJC[b, seen, j] @ q_BTHC[b, t, h] / math.sqrt(C)
                weight = np.exp(score - _log_sum_exp(score))
                out_BTHC[b, t, h] = weight @ v_BTJC[b, seen, j]
    return out_BTHC


def kl_k1(logp, ref_logp):
    """k1 = -r, r = log(pi_ref / pi). Source: Schulman, "Approximating KL Divergence" (2020)."""
    return _per_token(lambda p, q: -(q - p), logp, ref_logp)


def kl_k2(logp, ref_logp):
    """k2 = r^2 / 2, r = log(pi_ref / pi). Source: as kl_k1."""
    return _per_token(lambda p, q: (q - p) ** 2 / 2, logp, ref_logp)


def kl_k3(logp, ref_logp):
    """k3 = clip(e^d - d - 1, +-10), d = clip(log(pi_ref / pi), +-20).

    Source: as kl_k1; GRPO, arXiv 2402.03300, equation 4; the two clamps are verl's low_var_kl.
    """

    def one(p, q):
        d = _clip(q - p, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        return _clip(math.exp(d) - d - 1.0, -K3_LIMIT, K3_LIMIT)

    return _per_token(one, logp, ref_logp)


def adaptive_coefficient(beta, kl, target, gain):
    """beta_{t+1} = beta_t (1 + K e_t), e_t = clip((KL - target) / target, -0.2, 0.2).

    Ziegler et al. 2019 (arXiv 1909.08593), section 2.2."""
    error = _clip((kl - target) / target, -0.2, 0.2)
    return beta * (1.0 + gain * error)


def reinforce_pp_returns(reward_B, kl_BT, mask_BT, beta, reward_clip=10.0):
    """A_i = clip(R, +-reward_clip) - beta * sum_{j >= i} kl_j over trained tokens, 0 elsewhere."""
    kl_BT, mask_BT = _rows(kl_BT), np.asarray(mask_BT).astype(bool)
    out_BT = np.zeros(kl_BT.shape)
    B, T = kl_BT.shape
    for b in range(B):
        for i in range(T):
            if not mask_BT[b, i]:
                continue
            penalty = sum(kl_BT[b, j] for j in range(i, T) if mask_BT[b, j])
            out_BT[b, i] = _clip(reward_B[b], -reward_clip, reward_clip) - beta * penalty
    return out_BT


def z_score(values_BT, mask_BT):
    """(x - mean) / sqrt(max(variance, 1e-8)) over trained tokens, population variance, 0 elsewhere.

    Source: OpenRLHF's normalisation for REINFORCE++ (verl divides by n - 1 instead).
    """
    values_BT, mask_BT = _rows(values_BT), np.asarray(mask_BT).astype(bool)
    trained = [values_BT[i] for i in np.ndindex(values_BT.shape) if mask_BT[i]]
    out_BT = np.zeros(values_BT.shape)
    if not trained:
        return out_BT
    mean = sum(trained) / len(trained)
    variance = sum((x - mean) ** 2 for x in trained) / len(trained)
    scale = math.sqrt(max(variance, MIN_VARIANCE))
    for i in np.ndindex(values_BT.shape):
        if mask_BT[i]:
            out_BT[i] = (values_BT[i] - mean) / scale
    return out_BT


def reinforce_pp_advantages(reward_B, logp_old_BT, ref_logp_BT, mask_BT, beta, reward_clip=10.0):
    """REINFORCE++: reward to go with the k1 KL inside the reward, then one z-score.

    A_i = clip(R, +-reward_clip) - beta * sum_{j >= i} log(pi_old / pi_ref)_j over trained tokens;
    then z_score over all trained tokens of the batch.
    Source: REINFORCE++, arXiv 2501.03262, equations for the token-level KL reward and the
    global advantage normalisation.
    """
    kl_BT = kl_k1(logp_old_BT, ref_logp_BT)
    return z_score(reinforce_pp_returns(reward_B, kl_BT, mask_BT, beta, reward_clip), mask_BT)


def token_weights(mask_BT, kind):
    """Weight of every token in the loss of one update; sums to 1 if any token is trained.

    "sequence": 1 / (B' * len_row), B' the number of rows that have a trained token.
    "token": 1 / (number of trained tokens in the update).
    Source: the 1/|y| inside WaltzRL's objective, and the token mean of DAPO, arXiv 2503.14476.
    """
    mask_BT = np.asarray(mask_BT).astype(bool)
    lengths = [sum(1 for m in row if m) for row in mask_BT]
    rows = sum(1 for n in lengths if n > 0)
    out_BT = np.zeros(mask_BT.shape)
    for b, t in np.ndindex(mask_BT.shape):
        if not mask_BT[b, t]:
            continue
        if kind == "sequence":
            out_BT[b, t] = 1.0 / (rows * lengths[b])
        elif kind == "token":
            out_BT[b, t] = 1.0 / sum(lengths)
        else:
            raise ValueError(f"kind: got {kind!r}, allowed 'sequence' or 'token'")
    return out_BT


def clipped_objective(logp, old_logp, advantage, clip_low, clip_high, dual_clip=None):
    """One token's objective, and whether the clipped branch is the strictly smaller one.

    s = exp(clip(log pi - log pi_old, +-20)); min(s A, clip(s, 1 - clip_low, 1 + clip_high) A);
    with a dual clip c, for A < 0: max(that, c A).
    Source: PPO, arXiv 1707.06347, equation 7; dual clip, arXiv 1912.09729, equation 5; separate
    low and high limits, arXiv 2503.14476, equation 10.
    """
    s = math.exp(_clip(logp - old_logp, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))
    plain = s * advantage
    clipped = _clip(s, 1.0 - clip_low, 1.0 + clip_high) * advantage
    value = min(plain, clipped)
    if dual_clip is not None and advantage < 0:
        value = max(value, dual_clip * advantage)
    return value, clipped < plain


def clipped_tokens(logp, old_logp, adv, clip_low, clip_high):
    """1.0 where the clipped branch of the objective is strictly smaller, 0.0 elsewhere."""
    logp, old_logp, adv = _rows(logp), _rows(old_logp), _rows(adv)
    out = np.zeros(logp.shape)
    for i in np.ndindex(logp.shape):
        out[i] = clipped_objective(logp[i], old_logp[i], adv[i], clip_low, clip_high)[1]
    return out


def clipped_pg_loss(
    logp, old_logp, adv, weight, clip_low, clip_high, dual_clip=None, is_weight=None
):
    """(loss, clip fraction) of the clipped policy gradient.

    loss = -sum_i weight_i * is_weight_i * objective_i (see clipped_objective).
    Clip fraction: trained tokens (weight > 0) whose clipped branch is strictly smaller, divided
    by the number of trained tokens.
    Source: as clipped_objective.
    """
    logp, old_logp, adv, weight = _rows(logp), _rows(old_logp), _rows(adv), _rows(weight)
    is_weight = np.ones(logp.shape) if is_weight is None else _rows(is_weight)
    loss, clipped, trained = 0.0, 0, 0
    for i in np.ndindex(logp.shape):
        if weight[i] == 0:
            continue
        value, is_clipped = clipped_objective(
            logp[i], old_logp[i], adv[i], clip_low, clip_high, dual_clip
        )
        loss -= weight[i] * is_weight[i] * value
        clipped += is_clipped
        trained += 1
    return loss, clipped / max(trained, 1)


def truncated_is(logp_trainer, logp_sampler, cap):
    """min(exp(clip(log pi_trainer - log pi_sampler, +-20)), cap), per token.

    Source: truncated importance sampling between a rollout engine and a trainer (Yao et al.,
    2025, "Your efficient RL framework secretly brings you off-policy RL training").
    """

    def one(p, q):
        return min(math.exp(_clip(p - q, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)), cap)

    return _per_token(one, logp_trainer, logp_sampler)


class FeedbackReward(NamedTuple):
    """The parts of one feedback turn's reward."""

    dir: float
    label: float
    format: float
    total: float


def waltz_rewards(judge_bad_by_turn, labels_by_feedback, alpha, lam, gamma):
    """Rewards of one WaltzRL trajectory: ([R_c for each answer], [FeedbackReward for each f_t]).

    R_c(c_t) = 1 if neither judge label is set, else 0.
    R_DIR(f_t) = R_c(c_{t+1}) - R_c(c_t), 0 if there is no c_{t+1} or f_t does not parse.
    R_label = 1 if the feedback's label pair equals the judge's pair for c_t, else 0.
    R_format = 1 if f_t parses, else 0. Not parseable: all three are 0.
    R_f = alpha * R_DIR * R_label + lam * R_label + gamma * R_format.
    Arguments: judge_bad_by_turn, one (unsafe, overrefuse) per answer; labels_by_feedback, one
    such pair per feedback turn, or None for a feedback that does not parse. The last answer may
    or may not have been read by the feedback agent.
    Source: WaltzRL, the dynamic improvement reward and the feedback reward.
    """
    answers, feedbacks = len(judge_bad_by_turn), len(labels_by_feedback)
    if feedbacks not in (answers - 1, answers):
        raise ValueError(f"labels_by_feedback: got {feedbacks} turns for {answers} answers")
    conversation = []
    for unsafe, overrefuse in judge_bad_by_turn:
        conversation.append(0.0 if unsafe or overrefuse else 1.0)
    feedback = []
    for t, labels in enumerate(labels_by_feedback):
        if labels is None:
            feedback.append(FeedbackReward(0.0, 0.0, 0.0, 0.0))
            continue
        improvement = conversation[t + 1] - conversation[t] if t + 1 < answers else 0.0
        judge_unsafe, judge_overrefuse = judge_bad_by_turn[t]
        same = bool(labels[0]) == bool(judge_unsafe) and bool(labels[1]) == bool(judge_overrefuse)
        right = 1.0 if same else 0.0
        total = alpha * improvement * right + lam * right + gamma * 1.0
        feedback.append(FeedbackReward(improvement, right, 1.0, total))
    return conversation, feedback
