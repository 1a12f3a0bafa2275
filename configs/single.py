"""The baseline without feedback: the conversation agent alone learns, from its first answers.

Paper: arXiv 2510.08240, table 1, "single-model RL"; the reward of first answers is WaltzRL's.
Commands:
  full size   python -m waltzjax.train --config=configs/single.py --workdir=runs/single
  adapters    the same with --config=configs/single.py:lora
  laptop      the same with --config=configs/single.py:tiny (builds its base model first)
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import waltz


def get_config(arg: str = ""):
    c = waltz.variant(arg)
    c.stages = ("single",)
    if arg == "lora":  # ten times that of whole models ("LoRA without regret", 2025)
        c.optim.lr.conversation = 5e-6
    if arg in waltz.SMALL:
        waltz.small_reinforcement(c)
        c.optim.lr.conversation = 5e-4
        c.train.steps.single = 200
    return c
