"""The one table of stages: what each name in ``config.stages`` means.

The loop and the commands know only these records. A new stage is one entry here; a new algorithm is
one in ``stages/algorithms.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ml_collections import ConfigDict

from waltzjax.config import check
from waltzjax.config.key import (
    CHATS,
    DPO,
    MATHS,
    PREFERENCES,
    REINFORCE,
    RLVR,
    SELF_PLAY,
    SFT,
    VERIFIED,
    WALTZ,
    readers_in,
)
from waltzjax.preference.task import dpo_job
from waltzjax.rlvr.recipe import rlvr
from waltzjax.rlvr.task import rlvr_job
from waltzjax.stages import stage
from waltzjax.stages.algorithms import ALGORITHMS
from waltzjax.stages.stage import StageSpec
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY
from waltzjax.waltz.recipe import game_turns, waltzrl
from waltzjax.waltz.task import waltz_job


def _game(name: str, trained: tuple[str, ...], stream: int) -> StageSpec:
    """A stage in which episodes of the game are played and ``trained`` learn from them."""
    return StageSpec(
        kind=stage.REINFORCE,
        job=waltz_job,
        reads=(WALTZ, REINFORCE, SELF_PLAY),
        roles=lambda config: trained,
        turns=partial(game_turns, trained=trained),
        recipe=partial(waltzrl, stage=name, trained=trained, stream=stream),
    )


def _no_turns(config: ConfigDict) -> dict[str, int]:
    return {}


def _one(role: str) -> Callable[[ConfigDict], tuple[str, ...]]:
    return lambda config: (role,)


STAGES = {  # in the order in which they run
    SFT: StageSpec(
        stage.SUPERVISE, waltz_job, (WALTZ, CHATS), lambda c: (c.sft.role,), _no_turns, None
    ),
    "stage1": _game("stage1", (FEEDBACK,), stream=1),
    "stage2": _game("stage2", (CONVERSATION, FEEDBACK), stream=2),
    # The baseline without feedback: first answers alone, with the same reward.
    "single": _game("single", (CONVERSATION,), stream=5),
    RLVR: StageSpec(
        stage.REINFORCE, rlvr_job, (MATHS, REINFORCE, VERIFIED), _one(POLICY),
        lambda config: {POLICY: 1}, rlvr,
    ),
    DPO: StageSpec(
        stage.PREFER, dpo_job, (MATHS, PREFERENCES), _one(POLICY), _no_turns, None
    ),
}  # fmt: skip


def readers(config: ConfigDict) -> frozenset[str]:
    """The readers (``config.key``) whose keys the stages of ``config`` read."""
    return readers_in(config, STAGES)


def validate(
    config: ConfigDict, *, training: bool = False, reads: frozenset[str] | None = None
) -> None:
    """Check every rule of ``config.check`` against the stages and algorithms there are."""
    check.validate(config, STAGES, ALGORITHMS, training=training, reads=reads)
