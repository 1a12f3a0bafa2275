"""WaltzRL stage 1: the feedback agent is trained, the conversation agent is frozen.

Paper: arXiv 2510.08240. Commands:
  full size   python -m waltzjax.train --config=configs/stage1.py --workdir=runs/stage1
  adapters    python -m waltzjax.train --config=configs/stage1.py:lora --workdir=runs/stage1-lora
  laptop      python -m waltzjax.train --config=configs/stage1.py:tiny --workdir=runs/stage1-tiny
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Judge: take WildGuard or an endpoint at full size (--config.judge.name=wildguard
  --config.judge.model=allenai/wildguard, or name=openai with model and url). The default "label" is
  rules, whose floor is ASR 3.0 on Llama 2 answers where people say 0.0: as large as the target.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import waltz


def get_config(arg: str = ""):
    c = waltz.variant(arg)
    c.stages = ("stage1",)
    if arg == "lora":  # ten times that of whole models ("LoRA without regret", 2025)
        c.optim.lr.feedback = 5e-6
    if arg in waltz.SMALL:
        waltz.small_reinforcement(c)
        c.optim.lr.feedback = 2e-4
        c.train.steps.stage1 = 140
    return c
