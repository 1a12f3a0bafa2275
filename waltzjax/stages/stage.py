"""A stage of training: as the loop sees it, as the table of stages names it, and its run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.source import Batches
from waltzjax.run.trainable import Trainable
from waltzjax.stages.recipe import Recipe
from waltzjax.types import AgentState


class StepResult(NamedTuple):
    """The outcome of a training step.

    agents: as they are after it.
    metrics: its figures, by name.
    texts: what of it is to be read by people, by name: an example of its rollouts.
    """

    agents: dict[str, AgentState]
    metrics: dict[str, float]
    texts: Mapping[str, str] = {}


class Stage(NamedTuple):
    """The parts of a stage that the loop needs, whatever it trains and however.

    epoch_ends: steps after which a checkpoint is due.
    batches: what each step is given; knows its position.
    optimizers: of each role that is trained.
    kl_coef: the KL coefficient that agents begin with.
    steps_key: of the config, which says how many steps there are.
    divergence_hint: what to change of the config where losses are not finite.
    step: (agents, batch, number of the step, watch) -> what it came to; ``watch`` is told how
      generation goes.
    """

    name: str
    total: int
    epoch_ends: Collection[int]
    batches: Batches
    optimizers: Mapping[str, optax.GradientTransformation]
    kl_coef: float
    steps_key: str
    divergence_hint: str
    step: Callable[..., StepResult]


class StageInputs(NamedTuple):
    """The inputs that a stage is built from.

    trainable: how a role's parameters are trained.
    base: the parameters that every role begins at.
    trained: what is trained of each role, as earlier stages left it.
    """

    trainable: Trainable
    base: Any
    trained: Mapping[str, Any]


class Job(NamedTuple):
    """A run whose inputs were found to be good, as the train command sees it.

    fingerprint: what agents and judge are shown, by whom, and which pairs a policy learns from; the
      run's directory remembers it.
    run: -> the final results; within the run's directory.
    write: (results, seconds) -> None; the results, for people and programs.
    """

    fingerprint: Mapping[str, str]
    run: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any], float], None]


class StageSpec(NamedTuple):
    """The meaning of a stage's name, in the table of stages.

    kind: how a step learns, one of KINDS; a plan of the stage depends on it.
    job: (config, workdir, mesh, table of all stages) -> the run that the stage is part of. The
      stages of one run have one job.
    reads: of whom it reads the config's keys, of the names in ``config.key``.
    roles: config -> whom the stage trains.
    turns: config -> how many turns each role takes in an episode, at most; {}: nothing is rolled
      out.
    recipe: config -> how episodes are played and become samples; None: nothing is rolled out.
    """

    kind: str
    job: Callable[[ConfigDict, Path, Mesh, Mapping[str, StageSpec]], Job]
    reads: tuple[str, ...]
    roles: Callable[[ConfigDict], tuple[str, ...]]
    turns: Callable[[ConfigDict], dict[str, int]]
    recipe: Callable[[ConfigDict], Recipe] | None


KINDS = REINFORCE, SUPERVISE, PREFER = "reinforce", "supervise", "prefer"
