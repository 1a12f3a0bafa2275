"""Algorithms of reinforcement: how rewards become advantages. A new one is one record here."""

from __future__ import annotations

from typing import NamedTuple


class Algorithm(NamedTuple):
    """How rewards become advantages.

    baseline: within a group of answers to one prompt, a key of ``core.advantages.BASELINES``.
    normalise: whether the advantages of all tokens of the batch are z-scored together.
    weights: how tokens are averaged, where ``config.rl.weights`` is "auto".
    """

    baseline: str
    normalise: bool
    weights: str


ALGORITHMS = {
    "reinforce_pp": Algorithm("none", True, "sequence"),  # arXiv 2501.03262
    "reinforce_pp_baseline": Algorithm("mean", True, "sequence"),  # the same
    "grpo": Algorithm("grpo", False, "sequence"),  # arXiv 2402.03300
    "dr_grpo": Algorithm("mean", False, "constant"),  # arXiv 2503.20783
    "rloo": Algorithm("rloo", False, "sequence"),  # arXiv 2402.14740
}
