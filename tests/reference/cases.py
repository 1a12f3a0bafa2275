"""Random ragged batches for the numeric tests, as float32 numpy arrays."""

from typing import NamedTuple

import numpy as np

GARBAGE = 37.0  # what untrained positions hold: large, finite, and wrong if it leaks in


class LossBatch(NamedTuple):
    """The attributes a loss reads; a NamedTuple, so that it crosses jit."""

    old_logp_BT: np.ndarray
    advantage_BT: np.ndarray
    weight_BT: np.ndarray
    action_BT: np.ndarray
    is_weight_BT: np.ndarray


def ragged_mask(rng, B, T):
    """Bool [B, T]: context, then trained tokens, some with holes; one row has 0, one has 1."""
    mask_BT = np.zeros((B, T), dtype=bool)
    for b in range(B):
        start = int(rng.integers(0, T // 2))
        stop = int(rng.integers(start + 2, T + 1))
        mask_BT[b, start:stop] = True
        if b % 3 == 2:
            mask_BT[b] &= rng.random(T) < 0.7
    mask_BT[0] = False
    mask_BT[1] = False
    mask_BT[1, int(rng.integers(0, T))] = True
    return mask_BT


def log_probs(rng, shape):
    """Plausible token log-probabilities, float32."""
    return -rng.gamma(1.5, 1.0, size=shape).astype(np.float32)


def with_garbage(rng, values_BT, mask_BT):
    """`values_BT` with large wrong values wherever the mask is False."""
    noise_BT = rng.choice([-GARBAGE, GARBAGE], size=values_BT.shape)
    return np.where(mask_BT, values_BT, noise_BT).astype(np.float32)
