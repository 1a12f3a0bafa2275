"""What a run on preferences came to, besides its evaluations: its pairs, the loss of each epoch."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from waltzjax.config import DPO
from waltzjax.dpo import epoch_ends
from waltzjax.types import POLICY, Preference


def dpo_outcome(
    config: ConfigDict, pairs: Sequence[Preference], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """``pairs``: how many; ``pair_types``: of each type; ``epoch_losses``: the mean loss of the
    steps of each epoch, every pair before the policy has learned from it in that epoch, without the
    likelihood term; NaN: of an epoch there are no records, another run has trained it."""
    loss = {m["step"]: m[f"pair_loss/{POLICY}"] for m in metrics if m["stage"] == DPO}
    ends = [0, *epoch_ends(config, len(pairs))]
    epochs = [
        [loss[step] for step in range(first + 1, last + 1) if step in loss]
        for first, last in itertools.pairwise(ends)
    ]
    return {
        "pairs": len(pairs),
        "pair_types": dict(Counter(pair.pair_type for pair in pairs).most_common()),
        "epoch_losses": [float(np.mean(of)) if of else math.nan for of in epochs],
    }


def told(results: Mapping[str, Any]) -> str:
    """The same in words."""
    types = ", ".join(f"{count} {name}" for name, count in results["pair_types"].items())
    losses = ", ".join(f"{loss:.3f}" for loss in results["epoch_losses"])
    return f"{results['pairs']} pairs ({types}); loss by epoch {losses}"
