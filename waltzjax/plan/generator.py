"""The architectures that generate, the policy's and a judge's, as a GPU would run them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from waltzjax.config.key import MATHS
from waltzjax.engine.engine import Engine
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.attention import choose_queries, choose_visit
from waltzjax.model.hf import config as hf_config
from waltzjax.plan.xla_report import device_bytes
from waltzjax.recipes import STAGES
from waltzjax.rlvr.runtime import longest_text
from waltzjax.run.runtime import read_model_config


def generator_config(config: ConfigDict, directory: Path) -> ModelConfig:
    """The architecture in ``directory`` with the kernels that a GPU would take."""
    longest = longest_text(config) if MATHS in STAGES[config.stages[-1]].reads else 0
    return dataclasses.replace(
        read_model_config(config, directory, longest),
        page_visit=choose_visit("gpu"),
        query_block=choose_queries("gpu"),
    )


def in_float32(cfg: ModelConfig) -> ModelConfig:
    """The architecture as CPUs compile its generation without copies of all weights."""
    return dataclasses.replace(cfg, dtype=jnp.dtype("float32"))


def judge_config(config: ConfigDict) -> tuple[ModelConfig | None, str]:
    """The architecture of a judge on the run's own devices (``judge.build.local_wildguard``), or
    what is left out because it is not at hand."""
    j = config.judge
    if j.name != "wildguard" or j.url:
        return None, ""
    try:
        return generator_config(config, hf_config.resolve(j.model)), ""
    except hf_config.ModelNotFound:
        return None, (
            f"the judge {j.model}, whose weights stay on the devices too: it is not at hand; "
            "config.judge.model may be a directory with its config.json"
        )


def generation_bytes(engine: Engine, whose: str, *models: Any) -> dict[str, int]:
    """The bytes that a session of the engine holds on each device."""
    weights = sum(device_bytes(engine.generation_shapes(model)) for model in models)
    return {
        f"{whose} weights as generation reads them": weights,
        "keys and values": device_bytes(jax.eval_shape(engine.programs.new_cache)),
    }
