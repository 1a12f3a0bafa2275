"""A run of the stage "dpo": a policy learns from preferences, and is evaluated on maths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.preference.batch import PairTokens
from waltzjax.preference.dpo import dpo, dpo_outcome, dpo_steps, outcome_text
from waltzjax.preference.pairs import digest, pair_tokens, training_pairs
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.task import TrainingData, maths_job
from waltzjax.run.runtime import Runtime
from waltzjax.stages.stage import Job, Stage, StageInputs, StageSpec


def dpo_job(config: ConfigDict, workdir: Path, mesh: Mesh, stages: Mapping[str, StageSpec]) -> Job:
    """The run; what can be found wrong with config, pairs or model before any work is."""
    pairs = training_pairs(config)
    steps = partial(dpo_steps, config, len(pairs))

    def prepare(runtime: Runtime) -> Sequence[PairTokens]:
        steps()
        return pair_tokens(config, runtime, pairs)

    def build(
        tokens: Sequence[PairTokens], runtime: Runtime, verifier: Verifier, inputs: StageInputs
    ) -> Stage:
        del verifier
        return dpo(config, runtime, inputs, tokens, workdir)

    return maths_job(
        config,
        workdir,
        mesh,
        TrainingData(
            questions=[pair.question for pair in pairs],
            graded=(),
            record={"pairs": digest(pairs)},  # pairs that were made anew are another run's
            steps=steps,
            prepare=prepare,
            build=build,
            outcome=partial(dpo_outcome, config, pairs),
            note=outcome_text,
            method=f"DPO, {config.dpo.loss}",
        ),
    )
