"""Direct preference optimisation (arXiv 2305.18290): a policy learns from pairs of answers.

Beside the stage: what a run on preferences came to, its pairs and the loss of each epoch.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import DPO
from waltzjax.core.advantages import ROUNDING
from waltzjax.core.preference_losses import PER_TOKEN, SQUARED, preference_loss
from waltzjax.data.source import epoch_ends, steps_per_run
from waltzjax.metrics.clock import program
from waltzjax.model import sharding
from waltzjax.preference.batch import PairTokens, device_pairs, make_answer_logp
from waltzjax.preference.reference_cache import cached_reference, reference_name
from waltzjax.run.runtime import Runtime
from waltzjax.run.trainable import merged_params
from waltzjax.stages.data_stage import data_stage
from waltzjax.stages.stage import Stage, StageInputs
from waltzjax.training.step import LossFn
from waltzjax.types import POLICY, PairBatch, Preference

STREAM = 7  # apart from the random streams of other stages and of evaluation
TOLD_APART = 0.01  # beta nats; pairs with a larger mean margin are no longer at their beginning


class NotLearning(ValueError):
    """A step that changed nothing, with the likely cause."""


def place_pairs(config: ConfigDict, mesh: Mesh, pairs: Sequence[PairTokens]) -> PairBatch:
    """At most ``config.dpo.batch`` pairs as one batch on the devices."""
    d, multiple = config.dpo, config.rollout.pad_to_multiple_of
    return device_pairs(
        pairs,
        mesh,
        microbatches=d.microbatches,
        multiple=multiple,
        max_length=d.max_tokens,
        min_pairs=d.batch,
    )


def dpo_loss(config: ConfigDict) -> LossFn:
    """The loss that ``config.dpo`` names, with its coefficients."""
    d = config.dpo
    return partial(
        preference_loss,
        kind=d.loss,
        beta=d.beta,
        label_smoothing=d.label_smoothing,
        margin=d.margin,
        sft_weight=d.sft_weight,
    )


def dpo(
    config: ConfigDict,
    runtime: Runtime,
    inputs: StageInputs,
    pairs: Sequence[PairTokens],
    workdir: Path,
) -> Stage:
    """The stage "dpo". The policy as it is at the beginning is the reference: with adapters, these
    turned off."""
    d, mesh = config.dpo, runtime.mesh
    reference = merged_params(inputs.trainable, inputs.base, inputs.trained)[POLICY]
    answer_logp = make_answer_logp(runtime.cfg, block=config.model.logit_chunk)
    names = [repr(pair) for pair in pairs]
    if d.reference == "cached":
        everywhere = jax.jit(answer_logp, out_shardings=sharding.replicated(mesh))
        pairs = cached_reference(
            workdir / "reference.npz",
            pairs,
            names,
            d.batch,
            lambda batch: np.asarray(everywhere(reference, place_pairs(config, mesh, batch))),
            reference_name(runtime.cfg, reference),
        )

    def place(chosen: Sequence[PairTokens]) -> PairBatch:
        batch = place_pairs(config, mesh, chosen)
        if d.reference == "live":
            batch = batch._replace(ref_logp_B=program("reference", answer_logp, reference, batch))
        return batch

    def measure(
        step: int, chosen: Sequence[PairTokens], metrics: Mapping[str, float]
    ) -> dict[str, float]:
        tokens = {"tokens": float(sum(len(p.chosen_ids) + len(p.rejected_ids) for p in chosen))}
        check_learning(config, step, {**metrics, **tokens})
        return tokens

    return data_stage(
        config,
        runtime,
        inputs,
        name=DPO,
        role=POLICY,
        items=pairs,
        names=names,
        stream=STREAM,
        loss=dpo_loss(config),
        place=place,
        measure=measure,
        lengths=answer_lengths,
        forwards=int(d.reference == "live"),
        divergence_hint="lower config.optim.lr.policy or raise config.dpo.beta",
    )


def answer_lengths(pairs: Sequence[PairTokens]) -> list[int]:
    """The tokens of each answer with its prompt, two for each pair."""
    return [
        len(pair.prompt_ids) + len(answer)
        for pair in pairs
        for answer in (pair.chosen_ids, pair.rejected_ids)
    ]


def dpo_steps(config: ConfigDict, pairs: int) -> int:
    """Updates of ``config.dpo.epochs`` passes over so many pairs."""
    d = config.dpo
    if total := steps_per_run(pairs, d.batch, d.epochs):
        return total
    raise ValueError(
        f"config.dpo.batch: got {d.batch}, allowed is at most pairs * epochs = {pairs} * {d.epochs}"
    )


def check_learning(config: ConfigDict, step: int, metrics: Mapping[str, float]) -> None:
    """Raise NotLearning where an update has no gradient, or none but rounding, or has changed
    nothing, for no good reason.

    A hinge loss of zero is one: every pair of the step is told apart by more than its margin.
    Rounding is what moving all weights by a distance of 1 along the gradient would change the loss
    by less than float32 rounds the log-probabilities that it is made of, while the answers are not
    told apart. Adam would make whole steps of it.
    """
    # A momentum moves weights without a gradient. What is not finite the loop stops at.
    noise = 0 < metrics["grad_norm"] <= _rounding(config, metrics)
    still = metrics["change_norm"] == 0 or metrics["grad_norm"] == 0 or noise
    if not still or not np.isfinite(metrics["grad_norm"]):
        return
    if noise:
        cause = (
            f"the gradient's norm, {metrics['grad_norm']:.3g}, is no more than what rounding "
            "leaves of terms that cancel each other: the two answers of the pairs are the same to "
            "the model, or the pairs contradict each other"
        )
    elif metrics["grad_norm"] > 0:
        cause = (
            f"the gradient has norm {metrics['grad_norm']:.3g}, but nothing of what is trained has "
            f"changed: config.optim.lr.policy = {config.optim.lr.policy:g} (with "
            f"config.optim.warmup_steps = {config.optim.warmup_steps}) is too small for the type "
            "of the weights"
        )
    elif config.dpo.loss == "hinge" and metrics["loss"] == 0:
        return
    elif metrics["logps/chosen"] == 0 and metrics["logps/rejected"] == 0:
        cause = (
            "the gradient is zero, and so is the log-probability of every answer: no token of an "
            "answer is counted, a mask is wrong"
        )
    else:
        cause = (
            "the gradient is zero: nothing of what is trained reaches the answers' "
            "log-probabilities; a frozen target, or adapters whose two factors are both zero "
            f"(config.lora.targets = {tuple(config.lora.targets)}, start of the policy)"
        )
    raise NotLearning(f"{DPO}, step {step}: {cause}; nothing of this step is saved")


def _rounding(config: ConfigDict, metrics: Mapping[str, float]) -> float:
    """How far float32 rounds a step's loss: of its terms, answers' log-probabilities times the
    loss's slope; 0 where pairs are told apart, whose small gradients are what is left to learn."""
    if abs(metrics.get("rewards/margins", 0.0)) > TOLD_APART:
        return 0.0
    d = config.dpo
    slope = 1 / d.beta if d.loss in SQUARED else d.beta
    if d.loss in PER_TOKEN:
        slope *= 2 * d.batch / metrics["tokens"]
    return ROUNDING * slope * (abs(metrics["logps/chosen"]) + abs(metrics["logps/rejected"]))


def dpo_outcome(
    config: ConfigDict, pairs: Sequence[Preference], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """``pairs``: how many; ``pair_types``: of each type; ``epoch_losses``: the mean loss of the
    steps of each epoch, every pair before the policy has learned from it in that epoch, without the
    likelihood term; NaN: of an epoch there are no records, another run has trained it."""
    loss = {m["step"]: m[f"pair_loss/{POLICY}"] for m in metrics}
    ends = [0, *epoch_ends(len(pairs), config.dpo.batch, config.dpo.epochs)]
    epochs = [
        [loss[step] for step in range(first + 1, last + 1) if step in loss]
        for first, last in itertools.pairwise(ends)
    ]
    return {
        "pairs": len(pairs),
        "pair_types": dict(Counter(pair.pair_type for pair in pairs).most_common()),
        "epoch_losses": [float(np.mean(losses)) if losses else math.nan for losses in epochs],
    }


def outcome_text(results: Mapping[str, Any]) -> str:
    """The results of ``dpo_outcome``, in words."""
    types = ", ".join(f"{count} {name}" for name, count in results["pair_types"].items())
    losses = ", ".join(f"{loss:.3f}" for loss in results["epoch_losses"])
    return f"{results['pairs']} pairs ({types}); loss by epoch {losses}"
