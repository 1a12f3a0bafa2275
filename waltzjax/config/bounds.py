"""What each key may be by itself, whatever the others are."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.judge import USED
from waltzjax.config.rlvr import ALGORITHMS, NEEDS
from waltzjax.types import BOXED, COLDEST, LEAST_MASS, LINE

ONE_OF: dict[str, tuple[str, ...]] = {
    "embedded.held_out": ("validation", "development"),
    "embedded_maths.held_out": ("validation", "development"),
    "judge.name": tuple(USED),
    "model.attention": ("auto", "xla", "cudnn"),
    "model.dtype": ("float32", "bfloat16"),
    "model.param_dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "full", "dots"),
    "optim.schedule": ("constant", "linear"),
    "problems.form": (BOXED, LINE),
    "reward.needs.format": NEEDS,
    "reward.needs.reflect": NEEDS,
    "reward.order": ("sum", "normalise"),
    "rl.algorithm": ALGORITHMS,
    "rl.kl_estimator": ("k1", "k2", "k3"),
    "rl.kl_in": ("reward", "loss"),
    "rl.weights": ("auto", "sequence", "token", "constant"),
    "rollout.variant": ("waltz", "oracle", "safeguard"),
    "sft.role": ("conversation", "feedback"),
}
AT_LEAST_1 = (
    "dpo.batch", "dpo.epochs", "dpo.max_tokens", "dpo.microbatches",
    "embedded.batch", "embedded.card_steps", "embedded.demo_steps", "embedded.heads",
    "embedded.kv_heads", "embedded.layers", "embedded.mlp_width", "embedded.width",
    "embedded_maths.batch", "embedded_maths.card_steps", "embedded_maths.demo_steps",
    "embedded_maths.heads", "embedded_maths.kv_heads", "embedded_maths.layers",
    "embedded_maths.max_positions", "embedded_maths.mlp_width", "embedded_maths.width",
    "eval.samples", "judge.concurrency", "judge.max_tokens", "model.vocab_block",
    "problems.max_tokens", "rl.microbatches", "rl.updates_per_rollout",
    "rollout.batch", "rollout.group", "rollout.length_multiple", "rollout.max_new_tokens",
    "rollout.slots", "sft.batch", "sft.epochs", "sft.length", "sft.microbatches",
    "train.checkpoint_every", "train.epochs", "train.keep_checkpoints", "verify.workers",
)  # fmt: skip
AT_LEAST_0 = (
    "collect.questions", "dpo.margin", "dpo.sft_weight", "embedded.data_seed",
    "embedded_maths.data_seed", "eval.prompts", "judge.patience_s", "lora.rank",
    "optim.warmup_steps", "optim.weight_decay", "pairs.coherence_per_question",
    "pairs.correctness_per_question", "pairs.least_difference", "pairs.most",
    "reward.alpha", "reward.gamma", "reward.lam.stage1", "reward.lam.stage2",
    "reward.overlong_buffer", "reward.signals.format", "reward.signals.overlong",
    "reward.signals.reflect", "reward.signals.verify", "rl.beta.rlvr", "rl.beta.single",
    "rl.beta.stage1", "rl.beta.stage2", "rl.clip_high", "rl.entropy_bonus",
    "rl.is_cap", "rl.kl_gain", "rl.kl_target", "rl.refills", "rl.token_budget",
    "rollout.t_max", "rollout.top_k", "seed", "sft.examples", "train.steps.rlvr",
    "train.steps.single", "train.steps.stage1", "train.steps.stage2", "train.validate_every",
)  # fmt: skip
ABOVE_0 = (
    "dpo.beta", "dpo.lr", "embedded.card_loss", "embedded.card_lr", "embedded.init_scale",
    "embedded.lr", "embedded_maths.card_loss", "embedded_maths.card_lr",
    "embedded_maths.init_scale", "embedded_maths.lr", "judge.timeout_s", "lora.alpha",
    "optim.eps", "optim.grad_clip", "optim.lr.conversation", "optim.lr.feedback",
    "optim.lr.policy", "rl.reward_clip", "rollout.cache_tokens", "sft.lr", "verify.timeout_s",
)  # fmt: skip
UP_TO_1 = ("embedded.coded", "judge.max_unparsed", "rollout.min_p", "rollout.p_first")
BELOW_1 = ("lora.dropout", "optim.b1", "optim.b2", "rl.clip_low")


def broken_bounds(c: ConfigDict) -> Iterator[str]:
    """What of ``c`` is outside its bounds."""
    for path, allowed in ONE_OF.items():
        if value_at(c, path) not in allowed:
            yield f"config.{path}: got {value_at(c, path)!r}, allowed are {', '.join(allowed)}"
    if c.model.template_date and not _is_day(c.model.template_date):
        yield (
            f"config.model.template_date: got {c.model.template_date!r}, allowed are '' and a day, "
            "YYYY-MM-DD"
        )
    for paths, fits, what in (
        (AT_LEAST_1, lambda v: v >= 1, ">= 1"),
        (AT_LEAST_0, lambda v: v >= 0, ">= 0"),
        (ABOVE_0, lambda v: v > 0, "> 0"),
        (UP_TO_1, lambda v: 0 <= v <= 1, "[0, 1]"),
        (BELOW_1, lambda v: 0 <= v < 1, "[0, 1)"),
        (("rollout.temperature",), lambda v: v >= COLDEST, f">= {COLDEST:g}"),
        (("eval.temperature",), lambda v: v == 0 or v >= COLDEST, f"0 or >= {COLDEST:g}"),
        (("rollout.top_p",), lambda v: LEAST_MASS <= v <= 1, f"{LEAST_MASS:f} to 1"),
    ):
        for path in paths:
            if not fits(value := value_at(c, path)):
                yield f"config.{path}: got {value}, allowed is {what}"


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def value_at(c: ConfigDict, path: str) -> Any:
    for key in path.split("."):
        c = c[key]
    return c
