"""Losses on preference pairs in float64, from the papers' equations, a pair at a time.

Nothing here shares code with the library. Log-probabilities in nats.
"""

import math

import numpy as np


def sigma(x):
    return 1 / (1 + math.exp(-x))


def pair_loss(
    kind, chosen, rejected, chosen_tokens, rejected_tokens, beta, label_smoothing=0.0, margin=0.0
):
    """One pair's loss; ``chosen`` and ``rejected`` are log(pi / pi_ref) of whole answers.

    Equations: sigmoid 2305.18290 (7), and with smoothing Mitchell's note on cDPO; robust
    2403.00409; ipo 2310.12036 (17), of sums or averages; hinge 2305.10425 in the form of 2309.06657
    (margin 1 / beta, all times beta); apo_zero 2408.06266 (7), plus 1; sigmoid_norm 2405.14734 (6).
    """
    e = label_smoothing
    preferred = sigma(beta * chosen - beta * rejected)  # Bradley and Terry's p(chosen > rejected)
    if kind == "sigmoid":
        return -(1 - e) * math.log(preferred) - e * math.log(1 - preferred)
    if kind == "robust":
        right, wrong = -math.log(preferred), -math.log(1 - preferred)
        return ((1 - e) * right - e * wrong) / (1 - 2 * e)
    if kind == "ipo_sum":
        return (chosen - rejected - 1 / beta / 2) ** 2
    if kind == "ipo":
        return (chosen / chosen_tokens - rejected / rejected_tokens - 1 / beta / 2) ** 2
    if kind == "hinge":
        return beta * max(0.0, 1 / beta - chosen + rejected)
    if kind == "apo_zero":
        return 1 - sigma(beta * chosen) + sigma(beta * rejected)
    if kind == "sigmoid_norm":
        lead = beta / chosen_tokens * chosen - beta / rejected_tokens * rejected
        return -math.log(sigma(lead - margin))
    raise KeyError(kind)


def preference(logp_BT, batch, kind, beta, label_smoothing=0.0, margin=0.0, sft_weight=0.0):
    """(loss, metrics) of rows of which 2n is the chosen one of pair n, 2n + 1 the rejected one;
    all pairs count the same, those without tokens not at all."""
    logp_BT = np.asarray(logp_BT, np.float64)
    rows = [
        [logp_BT[b, t] for t in range(logp_BT.shape[1]) if batch.action_BT[b, t]]
        for b in range(len(logp_BT))
    ]
    losses, found = [], {}
    said = []
    for n in range(0, len(rows), 2):
        chosen, rejected = rows[n : n + 2]
        if not chosen:
            continue
        said += chosen
        ratios = [sum(rows[b]) - float(batch.ref_logp_B[b]) for b in (n, n + 1)]
        losses.append(
            pair_loss(kind, *ratios, len(chosen), len(rejected), beta, label_smoothing, margin)
        )
        one = {
            "pair_loss": losses[-1],
            "rewards/margins": beta * (ratios[0] - ratios[1]),
            "rewards/accuracies": float(ratios[0] > ratios[1]),
            "rewards/chosen": beta * ratios[0],
            "rewards/rejected": beta * ratios[1],
            "logps/chosen": sum(chosen),
            "logps/rejected": sum(rejected),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    metrics = {name: float(np.mean(values)) for name, values in found.items()}
    loss = float(np.mean(losses))
    if sft_weight:
        metrics["sft_nll"] = -float(np.mean(said))
        loss += sft_weight * metrics["sft_nll"]
    return loss, metrics
