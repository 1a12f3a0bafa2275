"""The least that a run needs of devices, host and disk, by arithmetic; nothing is compiled.

Activations and what XLA takes beside them are left out: the plan itself has them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.flops import token_bytes, weight_bytes
from waltzjax.model.lora import init_adapter
from waltzjax.model.sharding import params_sharding
from waltzjax.model.transformer import init_params
from waltzjax.plan.xla_report import device_bytes
from waltzjax.recipes import STAGES
from waltzjax.run.trainable import adapter_form
from waltzjax.training.learner import abstract

STATE = 3  # AdamW keeps two moments of every trained number, as large as itself
HOST_BASE = 2**30  # Python, jax, a tokenizer, one file's tensors at a time


class Needs(NamedTuple):
    """Bytes."""

    device: int  # of each device
    host: int  # beside the devices' own
    checkpoint: int  # the largest stage's
    disk: int  # all checkpoints that stay, one more while it is written, and the trained agents


def needs(config: ConfigDict, cfg: ModelConfig, mesh: Mesh, *, training: bool = True) -> Needs:
    """What ``config`` needs for a model of ``cfg`` on ``mesh``; ``training`` False: it only
    generates, as ``waltzjax.collect`` does."""
    tensor, groups = mesh.shape["tensor"], mesh.size // mesh.shape["tensor"]
    whole = _placed(jax.eval_shape(partial(init_params, cfg), jax.random.key(0)), mesh)
    cache = config.rollout.cache_tokens // groups * token_bytes(cfg) // tensor
    stay = device_bytes(whole)
    if not training:
        return Needs(stay + weight_bytes(cfg) // tensor + cache, HOST_BASE, 0, 0)
    trained = whole
    if config.lora.rank:
        form = adapter_form(config)
        trained = _placed(jax.eval_shape(partial(init_adapter, cfg, form), jax.random.key(0)), mesh)
    roles = [STAGES[stage].roles(config) for stage in config.stages]
    states = [len(of_stage) * STATE * _size(trained) for of_stage in roles]
    stay += len(roles[-1]) * STATE * device_bytes(trained)
    generating = len(roles[-1]) * weight_bytes(cfg) // tensor + cache
    if config.lora.rank:
        generating = weight_bytes(cfg) // tensor + cache
    exported = len({role for of_stage in roles for role in of_stage}) * _size(trained)
    return Needs(
        device=stay + max(device_bytes(trained), generating),
        host=HOST_BASE + max(states) // jax.process_count(),
        checkpoint=max(states),
        disk=config.train.keep_checkpoints * sum(states) + max(states) + exported,
    )


def _placed(shapes: Any, mesh: Mesh) -> Any:
    return abstract(shapes, params_sharding(mesh, shapes))


def _size(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * jnp.dtype(x.dtype).itemsize for x in leaves)
