"""The runtime that a policy on maths needs once a model is chosen."""

from __future__ import annotations

from pathlib import Path

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.run.runtime import Runtime, make_runtime


def maths_runtime(config: ConfigDict, directory: Path, mesh: Mesh) -> Runtime:
    """``make_runtime`` for a policy that answers problems."""
    return make_runtime(
        config, directory, mesh, lambda chat: [chat.problem_text("1 + 1?")], longest_text(config)
    )


def longest_text(config: ConfigDict) -> int:
    """Tokens of a problem and its answer, at most."""
    return config.problems.max_tokens + config.rollout.max_new_tokens
