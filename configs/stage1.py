"""WaltzRL stage 1: the feedback agent is trained, the conversation agent is frozen.

Paper: arXiv 2510.08240. Commands:
  full size   python -m waltzjax.train --config=configs/stage1.py --workdir=runs/stage1
  adapters    python -m waltzjax.train --config=configs/stage1.py:lora --workdir=runs/stage1-lora
  laptop      python -m waltzjax.train --config=configs/stage1.py:tiny --workdir=runs/stage1-tiny
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Judge: take WildGuard or an endpoint at full size (--config.judge.name=wildguard
  --config.judge.model=allenai/wildguard, or name=openai with model and url). The default "label" is
  rules, whose floor is ASR 3.0 on Llama 2 answers where people say 0.0: as large as the target.
Measured, tiny: the column "stage 1" of README's table.
"""

from ml_collections import ConfigDict

from waltzjax.config import defaults


def get_config(arg: str = "") -> ConfigDict:
    c = variant(arg)
    c.stages = ("stage1",)
    return c


def variant(arg: str) -> ConfigDict:
    """What stands after the colon: nothing, ``lora``, ``tiny`` or ``coded``."""
    return defaults.choose({"": defaults.default, "lora": lora, "tiny": tiny, "coded": coded}, arg)


def lora() -> ConfigDict:
    """``:lora`` trains adapters over one frozen base that both agents share. Numbers [ours]."""
    c = defaults.default()
    c.lora.rank, c.lora.alpha = 64, 64.0
    c.model.param_dtype = "bfloat16"  # of the base; adapters and their moments are float32
    # Ten times that of full fine-tuning, as adapters want ("LoRA without regret", 2025).
    c.optim.lr.conversation = c.optim.lr.feedback = 5e-6
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model, data and prompts are embedded."""
    c = defaults.default()
    c.mesh = (1, 1, 1)
    c.model.base = defaults.EMBEDDED
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.prompts.conversation = "tiny/conversation.txt"
    c.prompts.feedback = "tiny/feedback.txt"
    c.prompts.template = "tiny/template.txt"
    c.data.directory = defaults.EMBEDDED
    c.rollout.batch = 64
    c.rollout.max_new_tokens = 56
    c.rollout.length_multiple = 64
    c.rollout.cache_tokens = 16384
    c.rl.microbatches = 1
    c.sft.length, c.sft.batch, c.sft.microbatches = 256, 16, 1
    c.optim.lr.conversation = 5e-4  # at 2e-4 its first answers do not learn in 60 steps
    c.optim.lr.feedback = 2e-4
    c.optim.warmup_steps = 5
    # Once all but a few answers of a step are good, their z-score makes advantages of order 1 of
    # what their KL differs by, and with the usual 1e-8 Adam makes whole steps of gradients that are
    # mostly noise: seed 1 then ended with 80.7 % of the ordinary chats' likelihood.
    c.optim.eps = 1e-4
    # Once first answers are good, wrong flags cost nothing in stage 2 (its label reward is off):
    # what holds the reviewer is the KL to what stage 1 has made of it.
    c.rl.beta.stage2 = 0.05
    c.optim.schedule = "linear"
    c.train.steps.stage1 = 140
    c.train.steps.stage2 = 60
    c.train.steps.single = 200
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
