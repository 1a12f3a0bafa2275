"""A stage of training as the loop sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import optax

from waltzjax.data.source import Batches
from waltzjax.types import AgentState


class Stage(NamedTuple):
    """What the loop needs of a stage, whatever it trains and however.

    epoch_ends: steps after which a checkpoint is due.
    batches: what each step is given; knows its position.
    optimizers: of each role that is trained.
    beta: the KL coefficient that agents begin with.
    steps_key: of the config, which says how many steps there are.
    calmer: what to change of the config where losses are not finite.
    step: (agents, batch, number of the step, watch) -> agents after it, and its metrics; ``watch``
      is told how generation goes.
    """

    name: str
    total: int
    epoch_ends: Collection[int]
    batches: Batches
    optimizers: Mapping[str, optax.GradientTransformation]
    beta: float
    steps_key: str
    calmer: str
    step: Callable[..., tuple[dict[str, AgentState], dict[str, float]]]
