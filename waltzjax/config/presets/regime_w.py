"""Regime W at the sizes its two configs share: the sources' run and the embedded world."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.config.key import DPO
from waltzjax.config.preferences import ARMS
from waltzjax.config.presets.maths import small_world
from waltzjax.config.presets.variants import choose


def variant(arg: str) -> ConfigDict:
    """The settings collecting and training share; ``arg``, after the colon: nothing or ``tiny``."""
    return choose({"": full, "tiny": tiny}, arg)


def full() -> ConfigDict:
    """The sources' run, on a Mistral-7B-architecture maths model."""
    c = default()
    c.stages = (DPO,)
    c.model.base = "mistralai/Mathstral-7B-v0.1"
    c.prompts.maths = "regime_w/solve.txt"
    c.problems.train = "data/gsm8k/train.jsonl"
    c.problems.validation = "data/gsm8k/test.jsonl"
    c.problems.instruction = ""  # the prompts ask for the form of the answer
    c.problems.form = "line"
    c.problems.max_tokens = 512  # GSM8K's questions are short; a persona takes some 150
    c.rollout.max_new_tokens = 512
    c.rollout.max_num_seqs = 512  # 64 a device
    c.rollout.cache_tokens = 524_288  # 1,024 a slot; 128 KiB a token, 8 GiB a device
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model and problems are embedded."""
    c = full()
    small_world(c)
    return c


def small_arms(c: ConfigDict) -> None:
    """Set the arms of the embedded world, and how often its base is right under each persona."""
    # P(right) on problems of level 2.
    rights = {
        "wolfram": 0.1,
        "maudlin": 0.9,
        "standard": 0.3,
        "rephrase": 0.3,
        "counterfactual": 0.8,
    }
    c.embedded_maths.personas = tuple(
        (f"tiny/regime_w/{name}.txt", right) for name, right in rights.items()
    )
    # Twice as hot as the sources' arms: a small model's answers are too much alike otherwise.
    c.collect.arms = tuple(
        (name, f"tiny/{persona}", 2 * temperature, seed, role)
        for name, persona, temperature, seed, role in ARMS
    )


def small_preferences(c: ConfigDict) -> None:
    """Set what learning from preferences has besides, in the embedded world."""
    c.model.base = "runs/regime_w_collect/base"
    c.problems.validation = "runs/regime_w_collect/data/validation.jsonl"
    c.dpo.max_tokens = 96
    c.dpo.microbatches = 1
    c.dpo.sft_weight = 0.3  # without it answers that name no result become likelier
    c.optim.lr.policy = 3e-4
    c.optim.warmup_steps = 5
    c.optim.schedule = "linear"
