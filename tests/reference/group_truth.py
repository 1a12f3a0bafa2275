"""Slow float64 references for rewards of groups, packed rows and the entropy bonus.

As ``numpy_truth``: written from the papers' equations with plain loops, no code of the library.
Shape letters: P prompts, K samples a prompt, R reward signals, B rows, T tokens, V vocabulary.
"""

import math

import numpy as np

from reference import numpy_truth as truth

EPSILON = 1e-6  # beside the standard deviation of "grpo"


def _float64(array):
    return np.asarray(array, dtype=np.float64)


def _one_group(reward_K, kind):
    """The advantages of one group, as a list."""
    count = len(reward_K)
    mean = sum(reward_K) / count
    out = []
    for i, r in enumerate(reward_K):
        if kind == "none":
            out.append(r)
        elif kind == "mean":
            out.append(r - mean)
        elif kind == "grpo":
            deviation = math.sqrt(sum((x - mean) ** 2 for x in reward_K) / count)
            same = min(reward_K) == max(reward_K)
            out.append(0.0 if same else (r - mean) / (deviation + EPSILON))
        elif kind == "rloo":
            others = [x for j, x in enumerate(reward_K) if j != i]
            if not others:
                raise ValueError("reward_PK: got 1 sample a prompt, 'rloo' needs others: 2 or more")
            out.append(r - sum(others) / len(others))
        else:
            raise ValueError(f"kind: got {kind!r}, allowed 'none', 'mean', 'grpo', 'rloo'")
    return out


def group_advantage(reward_PK, kind):
    """Advantage of every sample of every group, [P, K].

    "none": r. "mean": r - mean (REINFORCE++ with a baseline, arXiv 2501.03262; Dr. GRPO, arXiv
    2503.20783). "grpo": (r - mean) / (std + 1e-6), arXiv 2402.03300, section 4.1.2; std is the
    population's; equal rewards: 0. "rloo": r_i - mean of r_j, j != i, arXiv 2402.14740, equation 8.
    """
    return np.array([_one_group([float(r) for r in row], kind) for row in _float64(reward_PK)])


def combine(signal_PKR, weight_R, kind, order):
    """Advantages [P, K] of several signals with a weight each.

    "sum": group_advantage of sum_r w_r s_r. "normalise": sum_r w_r group_advantage(s_r).
    Source: GDPO, arXiv 2601.05242: the two orders of its title, without its last step, which
    normalises over the batch.
    """
    signal_PKR = _float64(signal_PKR)
    P, K, R = signal_PKR.shape
    out_PK = np.zeros((P, K))
    for p in range(P):
        if order == "sum":
            total_K = [
                sum(float(weight_R[r]) * signal_PKR[p, k, r] for r in range(R)) for k in range(K)
            ]
            out_PK[p] = _one_group(total_K, kind)
        elif order == "normalise":
            for r in range(R):
                own_K = _one_group(list(signal_PKR[p, :, r]), kind)
                for k in range(K):
                    out_PK[p, k] += float(weight_R[r]) * own_K[k]
        else:
            raise ValueError(f"order: got {order!r}, allowed 'sum', 'normalise'")
    return out_PK


def same_reward(reward_PK):
    """Groups, bool [P], in which every sample has the first one's reward."""
    return np.array([all(float(r) == float(row[0]) for r in row) for row in _float64(reward_PK)])


def texts(mask_BT, start_BT=None):
    """Every text with a trained token, as (row, its trained tokens in order).

    start_BT[b, t] is where the text of token t begins in row b; None: a row is one text.
    """
    mask_BT = np.asarray(mask_BT).astype(bool)
    found = []
    for b, row in enumerate(mask_BT):
        tokens_of = {}
        for t in range(len(row)):
            if row[t]:
                begins = 0 if start_BT is None else int(start_BT[b][t])
                tokens_of.setdefault(begins, []).append(t)
        found += [(b, tokens_of[begins]) for begins in sorted(tokens_of)]
    return found


def token_advantages(advantage_BT, kl_BT, mask_BT, start_BT=None, *, beta, normalise=False):
    """A_i = A - beta * sum_{j >= i} kl_j over the text's trained tokens.

    A is the text's advantage, which stands at each of its tokens; 0 off the mask. normalise: then
    one z-score over all trained tokens of the batch (see numpy_truth.z_score).
    Source: REINFORCE++, arXiv 2501.03262, as numpy_truth.reinforce_pp_advantages.
    """
    advantage_BT, kl_BT = _float64(advantage_BT), _float64(kl_BT)
    out_BT = np.zeros(kl_BT.shape)
    for b, tokens in texts(mask_BT, start_BT):
        for n, i in enumerate(tokens):
            out_BT[b, i] = advantage_BT[b, i] - beta * sum(kl_BT[b, j] for j in tokens[n:])
    return truth.z_score(out_BT, mask_BT) if normalise else out_BT


def constant_weights(mask_BT, start_BT, texts_in_update, tokens):
    """Dr. GRPO's weights: every trained token 1 / (texts_in_update * tokens), whatever its text.

    texts_in_update: also those in other microbatches or without a trained token; tokens: the most
    that a text may have. They sum to at most 1, to 1 only where every text is that long.
    Source: arXiv 2503.20783, the objective without its 1 / |o_i|, over a constant instead.
    """
    mask_BT = np.asarray(mask_BT).astype(bool)
    found = texts(mask_BT, start_BT)
    longest = max((len(trained) for _, trained in found), default=0)
    if longest > tokens or len(found) > texts_in_update:
        raise ValueError(
            f"got {len(found)} texts of up to {longest} trained tokens, "
            f"allowed are {texts_in_update} of {tokens}"
        )
    out_BT = np.zeros(mask_BT.shape)
    for b, trained in found:
        for t in trained:
            out_BT[b, t] = 1.0 / (texts_in_update * tokens)
    return out_BT


def entropy_bonus_loss(loss, weight, entropy, coefficient):
    """loss - coefficient * sum_i weight_i * H_i, H in nats.

    Source: the entropy term of A3C, arXiv 1602.01783, section 4, with the loss's own weights; its
    coefficient 0.001 in RLVR from one example, arXiv 2504.20571. DAPO (arXiv 2503.14476) has none:
    it keeps entropy up by clip_high > clip_low instead, see numpy_truth.clipped_objective.
    """
    weight, entropy = _float64(weight).ravel(), _float64(entropy).ravel()
    return loss - coefficient * sum(w * h for w, h in zip(weight, entropy, strict=True))


def central_difference(function, x, step=1e-5):
    """d function / d x entry by entry: (f(x + step) - f(x - step)) / (2 step), of order step^2."""
    x = _float64(x)
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        sides = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[i] += sign * step
            sides.append(float(function(moved)))
        out[i] = (sides[0] - sides[1]) / (2 * step)
    return out
