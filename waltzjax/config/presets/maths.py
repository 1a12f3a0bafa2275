"""RLVR at the sizes its configs share: the sources' run, a trial, and the embedded world."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.config.key import EMBEDDED, RLVR
from waltzjax.config.presets.variants import choose


def variant(arg: str) -> ConfigDict:
    """The config for ``arg``, what stands after the colon: nothing, ``quick`` or ``tiny``."""
    return choose({"": full, "quick": quick, "tiny": tiny}, arg)


def full() -> ConfigDict:
    """The sources' run."""
    c = default()
    c.stages = (RLVR,)
    c.model.base = "Qwen/Qwen2.5-Math-1.5B"
    c.rl.algorithm = "grpo"
    c.rl.kl_in, c.rl.kl_estimator, c.rl.beta.rlvr = "loss", "k3", 0.001
    c.rl.token_budget = 20_000
    c.rollout.batch, c.rollout.group = 64, 4
    c.rollout.temperature = 0.6
    c.rollout.max_new_tokens = 1536
    c.rollout.max_num_seqs = 256  # all answers of a step at once
    c.rollout.cache_tokens = 655_360  # 2,560 of each; 28 KiB a token, 2.2 GiB a device
    c.train.steps.rlvr = 220
    c.train.checkpoint_every = c.train.validate_every = 50
    c.train.validate_first = False
    return c


def quick() -> ConfigDict:
    """``:quick`` shows that everything is in its place: three small steps of the same model."""
    c = full()
    c.train.steps.rlvr = 3
    c.rollout.batch, c.rollout.group = 16, 2
    c.rollout.max_new_tokens = 512
    c.rollout.max_num_seqs = 32
    c.rollout.cache_tokens = 65_536
    c.eval.prompts = 35
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model and problems are embedded."""
    c = full()
    small_world(c)
    c.problems.instruction = ""
    c.rollout.temperature = 1.0
    c.rollout.pad_to_multiple_of = 64
    c.rl.token_budget = 5632  # three rows hold a step's answers
    c.rl.entropy_bonus = 0.02  # answers become alike within 20 steps
    c.optim.lr.policy = 2e-4
    c.optim.warmup_steps = 5
    c.optim.schedule = "linear"
    c.train.steps.rlvr = 50
    c.train.checkpoint_every = 50
    c.train.validate_every = 10
    c.train.validate_first = True
    return c


def small_world(c: ConfigDict) -> None:
    """Set model and problems of the embedded maths world, and generation for their sizes."""
    c.mesh = (1, 1, 1)
    c.model.base = EMBEDDED
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.prompts.maths = "tiny/maths.txt"
    c.problems.train = c.problems.validation = EMBEDDED
    c.problems.max_tokens = 52
    c.rollout.max_new_tokens = 44
    c.rollout.max_num_seqs = 128
    c.rollout.cache_tokens = 16_384
