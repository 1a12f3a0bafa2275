"""WaltzRL at the sizes its configs share: the paper's, adapters, and the embedded world."""

from __future__ import annotations

from ml_collections import ConfigDict

from waltzjax.config.defaults import default
from waltzjax.config.key import EMBEDDED
from waltzjax.config.presets.variants import choose

SMALL = ("tiny", "coded")  # variants that run on a laptop


def variant(arg: str) -> ConfigDict:
    """The settings that do not depend on the stages, for ``arg``, what stands after the colon:
    nothing, ``lora``, ``tiny`` or ``coded``."""
    return choose({"": default, "lora": lora, "tiny": tiny, "coded": coded}, arg)


def lora() -> ConfigDict:
    """``:lora`` trains adapters over one frozen base that both agents share. Numbers [ours]."""
    c = default()
    c.lora.rank, c.lora.alpha = 64, 64.0
    c.model.param_dtype = "bfloat16"  # of the base; adapters and their moments are float32
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model, data and prompts are embedded."""
    c = default()
    c.mesh = (1, 1, 1)
    c.model.base = c.data.directory = EMBEDDED
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.prompts.conversation = "tiny/conversation.txt"
    c.prompts.feedback = "tiny/feedback.txt"
    c.prompts.template = "tiny/template.txt"
    c.rollout.max_new_tokens = 56
    c.rollout.cache_tokens = 16384
    c.sft.length, c.sft.batch, c.sft.microbatches = 256, 16, 1
    c.optim.warmup_steps = 5
    c.optim.schedule = "linear"
    # Once all but a few answers of a step are good, their z-score makes advantages of order 1 of
    # what their KL differs by, and with the usual 1e-8 Adam makes whole steps of gradients that are
    # mostly noise: seed 1 then ended with 80.7 % of the benign chats' likelihood.
    c.optim.eps = 1e-4
    c.train.checkpoint_every = 50
    c.train.validate_every = 0
    c.eval.prompts = 600
    c.eval.temperature = 1.0  # as sampled as the rollouts: a policy has to be right every time
    return c


def coded() -> ConfigDict:
    """``:coded`` is ``:tiny`` in a world that no answer given right away wins: a quarter of the
    prompts has to be worked out first. To compare methods; its base takes twice as long."""
    c = tiny()
    c.embedded.coded = 0.3
    return c


def small_reinforcement(c: ConfigDict) -> None:
    """Set what the stages of reinforcement have besides, in the embedded world."""
    c.rollout.batch = 64
    c.rollout.pad_to_multiple_of = 64
    c.rl.microbatches = 1
