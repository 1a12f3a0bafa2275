"""Every row of WaltzRL's table (arXiv 2510.08240, table 1, and its reward ablation): what is
trained for it, and whose agents are played.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from waltzjax.config.key import EMBEDDED

IN_PASSING = 120  # prompts that a run is evaluated on while it trains: the rows are played anew
BASE = "base"  # whose agents are the untrained model


class Row(NamedTuple):
    """conversation, feedback: whose agents are played, of ``base`` or of the run of that name."""

    label: str
    conversation: str
    feedback: str
    overrides: Mapping[str, Any] = {}


ALONE = {"rollout.t_max": 0}
GUARD, ORACLE = ({"rollout.variant": name} for name in ("safeguard", "oracle"))
ROWS = {
    "base": Row("base", "base", "base", ALONE),
    "base_safeguard": Row("base + safeguard", "base", "base", GUARD),
    "single": Row("single-model RL", "single", "base", ALONE),
    "single_safeguard": Row("single-model RL + safeguard", "single", "base", GUARD),
    "untrained": Row("collaboration, untrained", "base", "base"),
    "oracle": Row(
        "oracle labels, template feedback", "base", "base", {"rollout.variant": "oracle"}
    ),
    "frozen": Row("frozen conversation agent (ablation A)", "base", "waltzrl/stage1"),
    "waltzrl": Row("WaltzRL", "waltzrl", "waltzrl"),
    "ablation_b": Row("ablation B: no label reward", "base", "ablation_b"),
    "ablation_c": Row("ablation C: nor condition", "base", "ablation_c"),
}


def runs(config: ConfigDict, directory: Path) -> dict[str, ConfigDict]:
    """The configs of one seed's runs, by name, in order; all but the first train from its base."""

    def variant(**changes: Any) -> ConfigDict:
        c = ConfigDict(config.to_dict())
        if changes and c.model.base == EMBEDDED:
            c.model.base = str(directory / "waltzrl/base")
        c.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
        c.eval.prompts = IN_PASSING
        return c

    steps = config.train.steps.stage1 + config.train.steps.stage2
    alone = {"train__steps__single": steps} if steps else {"train__epochs": 2 * config.train.epochs}
    ablated = {"stages": ("stage1",), "reward__lam__stage1": 0.0}
    return {
        "waltzrl": variant(),
        "single": variant(stages=("single",), **alone),
        "ablation_b": variant(**ablated),
        "ablation_c": variant(**ablated, reward__conditioned=False),
    }
