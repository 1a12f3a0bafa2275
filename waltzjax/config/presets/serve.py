"""Serving at two sizes: agents of the paper's size, and those of the embedded world."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.config.key import EMBEDDED
from waltzjax.config.presets.variants import choose


def variant(arg: str) -> ConfigDict:
    """The config for ``arg``, what stands after the colon: nothing or ``tiny``."""
    return choose({"": full, "tiny": tiny}, arg)


def full() -> ConfigDict:
    """Both agents on one 80 GB device, or a copy of them on each of several."""
    c = default()
    c.model.param_dtype = "bfloat16"  # as they compute: 15 GiB an agent
    c.rollout.cache_tokens = 196_608  # 3,072 a turn that is under way; 128 KiB a token, 24 GiB
    return c


def tiny() -> ConfigDict:
    """``:tiny`` serves what ``configs/stage2.py:tiny`` has trained, on a laptop."""
    c = default()
    c.mesh = (1, 1, 1)
    c.model.base = EMBEDDED
    c.model.dtype = "float32"
    c.prompts.conversation = "tiny/conversation.txt"
    c.prompts.feedback = "tiny/feedback.txt"
    c.rollout.max_new_tokens = 56
    c.rollout.max_num_seqs = 32
    c.rollout.cache_tokens = 8192  # 256 a turn: the model has no more positions
    return c
