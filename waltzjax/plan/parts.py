"""The parts of a step as a calibrated time is predicted from them: how often layers run one after
the other, FLOPs, bytes of weights and cache, numbers of activations."""

from __future__ import annotations

from typing import NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.model.architecture import ModelConfig
from waltzjax.plan.work import step_work, update_shape
from waltzjax.recipes import STAGES
from waltzjax.run.runtime import make_engine
from waltzjax.stages.stage import PREFER, REINFORCE


class Part(NamedTuple):
    """One part of a step: all turns of a role, both models' log-probs, all updates."""

    role: str
    phase: str  # prefill | decode | log-probs | update
    calls: float  # runs of one layer, one after the other, forward
    flops: float
    bytes: float  # of weights, keys and values, gradients and moments
    values: float  # numbers of activations: of each layer, of scores and of logits


FEATURES = Part._fields[2:]
PHASES = ("prefill", "decode", "log-probs", "update")  # those that are measured


def step_parts(config: ConfigDict, cfg: ModelConfig, mesh: Mesh, prompt_tokens: int) -> list[Part]:
    """The parts of one step of the last stage of ``config`` on each device, in the order of
    ``flops.step_work``; the same worst case is counted.

    Raises:
      ValueError: the engine has no room for such a turn.
    """
    stage, r = STAGES[config.stages[-1]], config.rollout
    engine = make_engine(config, cfg, mesh, (0,), None)
    rows = -(-r.batch * r.group // engine.groups)  # of a group of devices
    longest = prompt_tokens + r.max_new_tokens
    microbatches, update_rows, row = update_shape(config, mesh, prompt_tokens)
    tokens = microbatches * update_rows * row / mesh.size
    trained = _values(cfg, tokens, row, logits=tokens)
    updates = config.rl.updates_per_rollout if stage.kind == REINFORCE else 1
    models = _scored_models(config, stage.kind)
    parts = []
    for work in step_work(config, cfg, mesh, prompt_tokens):
        if work.phase not in PHASES:
            continue
        turns = stage.turns(config).get(work.role, 0)
        if work.phase == "prefill":
            runs = turns * -(-rows * prompt_tokens // (engine.prefill_widths[0] * engine.page_size))
            values = turns * _values(cfg, rows * prompt_tokens, prompt_tokens / 2, logits=0)
        elif work.phase == "decode":
            room = engine.pages // -(-longest // engine.page_size)
            runs = turns * -(-rows // min(engine.slots, room)) * r.max_new_tokens
            drawn = turns * rows * r.max_new_tokens
            values = _values(cfg, drawn, prompt_tokens + r.max_new_tokens / 2, logits=drawn)
        elif work.phase == "log-probs":
            runs, values = models * microbatches, models * trained
        else:
            runs, values = updates * microbatches, updates * trained
        parts.append(Part(work.role, work.phase, runs * cfg.layers, work.flops, work.bytes, values))
    return parts


def _scored_models(config: ConfigDict, kind: str) -> float:
    """Whose log-probabilities a step computes besides its update."""
    if kind == PREFER:
        return {"live": 1, "cached": 1 / config.dpo.epochs, "none": 0}[config.dpo.reference]
    return 2 if kind == REINFORCE else 0


def _values(cfg: ModelConfig, tokens: float, seen: float, logits: float) -> float:
    """Numbers that ``tokens`` have in all layers, which each see ``seen`` tokens, and the logits
    of ``logits`` of them."""
    layer = 6 * cfg.width + 3 * cfg.mlp_width + 2 * cfg.heads * seen
    return tokens * cfg.layers * layer + 2 * logits * cfg.vocab_size
